"""What a training step costs with 2, 4 and 8 interpolated experts, against the same step with one.

Run with ``python -m benchmarks.interpolate`` or ``pituning bench interpolate``. Peers: training one plain expert
through PEFT's own layers, and 8 LoRAs concatenated to one of 8 times the rank, as PEFT's "cat" combination does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.setting import make_backbone, make_examples, seconds
from pituning.backbones.encoded import Batch
from pituning.experts.kinds import mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent
from pituning.tuning.interpolation import Mixture

COUNTS = (1, 2, 4, 8)


def run(
    *, batch_size: int = 32, rounds: int = 9, d_model: int = 128, layers: int = 3, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Measures one optimiser step (forward, backward, AdamW) of each kind.

    Args:
        reporter: is told of every round, of which there are ``rounds`` for each kind.

    Returns:
        ``experts``: the step's time with 1, 2, 4 and 8 experts over that with one, the worst of the kinds. The one is a
        mixture of one or a plain PEFT expert, whichever is faster. ``kinds``: the same for each kind. ``peer_ratio``:
        8 experts over one by the peers.
    """
    backbone = make_backbone(d_model=d_model, layers=layers)
    batch = make_examples(backbone, batch_size).batch(range(batch_size))
    progress = reporter or Silent()
    progress.phase("measure training steps", len(mixable_kinds()) * rounds)
    kinds: dict[str, dict[str, float]] = {}
    peer = 0.0
    for kind in mixable_kinds():
        model = ExpertModel(backbone, kind)
        mixture = Mixture(model)
        work = {str(count): mixture_step(mixture, count, batch) for count in COUNTS}
        work["plain"] = plain_step(model, batch)
        if kind == "lora":
            work["peer"] = plain_step(ExpertModel(backbone, kind, {"rank": 8 * int(model.space.config["rank"])}), batch)
        took = seconds(work, rounds=rounds, reporter=progress)
        one = min(took["1"], took["plain"])
        kinds[kind] = {name: round(value / one, 3) for name, value in took.items()}
        kinds[kind]["milliseconds"] = round(1000 * took["8"], 1)
        if kind == "lora":
            peer = round(took["peer"] / took["plain"], 3)
    worst = {str(count): max(figures[str(count)] for figures in kinds.values()) for count in COUNTS}
    return {"experts": worst, "kinds": kinds, "peer_ratio": {"lora concatenated in PEFT": peer}}


def mixture_step(mixture: Mixture, count: int, batch: Batch, *, trained: int | None = None) -> Callable[[], None]:
    """One step of training ``count`` experts, or only the first ``trained`` of them, and their weights."""
    generator = torch.Generator().manual_seed(0)
    noise, device = 0.05 * torch.randn(count, mixture.space.size, generator=generator), mixture.model.device
    start = (mixture.model.initial(0) + noise).to(device)
    learned, still = start[:trained].clone().requires_grad_(True), start[len(start[:trained]) :]
    alpha = torch.zeros(len(mixture.space.sites), count, device=device).requires_grad_(True)

    def loss() -> Tensor:
        experts = torch.cat([learned, still]) if len(still) else learned
        return mixture.loss(experts, alpha.softmax(1), batch).mean()

    return optimised([learned, alpha], loss)


def plain_step(model: ExpertModel, batch: Batch) -> Callable[[], None]:
    """One step of training one expert through PEFT's layers."""
    values = model.initial(0).to(model.device).requires_grad_(True)
    return optimised([values], lambda: model.loss(values, batch).mean())


def optimised(parameters: list[Tensor], loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A step of AdamW, as a tuning takes it."""
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    return step


if __name__ == "__main__":
    print(json.dumps(run()))
