"""Exactness and speed of per-example Fisher information.

Run with ``python -m benchmarks.fisher`` or ``pituning bench fisher``. Peers: a loop of single-example backward passes,
and one plain batched forward and backward pass of the expert's loss, which is a lower limit for anything exact.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from benchmarks.setting import make_backbone, make_examples, seconds
from pituning.embedding.fisher import fisher
from pituning.experts.kinds import mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent

LOOP_ROUNDS = 2
"""The loop of single examples is long enough to be measured in few."""


def run(
    *,
    examples: int = 64,
    batch_size: int = 32,
    rounds: int = 7,
    d_model: int = 128,
    layers: int = 3,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Measures `fisher` for all kinds in float32.

    Args:
        reporter: is told of every round, of which there are ``rounds`` and two more for each kind.

    Returns:
        ``examples``; ``rel_error`` of F against the loop, ``ratio_vs_backward`` and ``speedup_vs_single``, the worst of
        the kinds; ``kinds`` with each kind's own.
    """
    backbone = make_backbone(d_model=d_model, layers=layers)
    encoded = make_examples(backbone, examples)
    progress = reporter or Silent()
    progress.phase("measure Fisher information", len(mixable_kinds()) * (rounds + LOOP_ROUNDS))
    kinds = {
        kind: measure(ExpertModel(backbone, kind), encoded, batch_size, rounds, progress) for kind in mixable_kinds()
    }
    return {
        "examples": examples,
        "rel_error": max(figures["rel_error"] for figures in kinds.values()),
        "speedup_vs_single": min(figures["speedup_vs_single"] for figures in kinds.values()),
        "ratio_vs_backward": max(figures["ratio_vs_backward"] for figures in kinds.values()),
        "kinds": kinds,
    }


def measure(model: ExpertModel, encoded: Any, batch_size: int, rounds: int, reporter: Reporter) -> dict[str, float]:
    """The figures of one kind."""
    generator = torch.Generator().manual_seed(0)
    # Away from the start, where half of a LoRA's gradients are zero.
    values = model.initial(0) + 0.05 * torch.randn(model.space.size, generator=generator)
    count = len(encoded)
    squares = torch.zeros(model.space.size)

    def single() -> None:
        squares.zero_()
        for index in range(count):
            leaf = values.clone().requires_grad_(True)
            model.loss(leaf, encoded.batch([index])).sum().backward()
            squares.add_(leaf.grad.square())  # type: ignore[union-attr]

    def plain() -> None:
        for begin in range(0, count, batch_size):
            leaf = values.clone().requires_grad_(True)
            model.loss(leaf, encoded.batch(range(begin, min(begin + batch_size, count)))).sum().backward()

    took = seconds(
        {"plain": plain, "exact": lambda: fisher(model, values, encoded, batch_size=batch_size)},
        rounds=rounds,
        reporter=reporter,
    )
    loop = seconds({"single": single}, rounds=LOOP_ROUNDS, reporter=reporter)["single"]
    expected = squares / count
    information = torch.from_numpy(fisher(model, values, encoded, batch_size=batch_size).mean)
    return {
        "rel_error": float((information - expected).norm() / expected.norm()),
        "speedup_vs_single": round(loop / took["exact"], 2),
        "ratio_vs_backward": round(took["exact"] / took["plain"], 3),
        "milliseconds": round(1000 * took["exact"], 1),
    }


if __name__ == "__main__":
    print(json.dumps(run()))
