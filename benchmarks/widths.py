"""A training step with 8 interpolated experts against plain PEFT training one, at the widths of real models.

Run with ``pituning bench interpolate --d 128,256,512,768,1024``. LoRA, bottleneck and IA³ are compared with the layers
that PEFT itself puts into the same model; what stands in front of inputs (prefix, soft prompt) with one expert of ours,
which runs what PEFT runs. Memory is counted, not sampled: all bytes that PyTorch allocates in a step, at their highest,
beside those of the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor

from benchmarks.interpolate import mixture_step, optimised, plain_step
from benchmarks.setting import make_backbone, make_examples, seconds
from pituning.backbones.encoded import Batch
from pituning.backbones.florence2 import Florence2Backbone
from pituning.experts.kinds import KINDS
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent
from pituning.tuning.interpolation import Mixture

EXPERTS = 8
MEASURED_KINDS = ("lora", "bottleneck", "prefix", "ia3", "prompt")
MAY_TAKE = {"time": 1.15, "memory": 1.25}
"""Aims: ratios to plain PEFT. The aim for bfloat16 is at least 1.5."""

Step = Callable[[], None]


def run(
    widths: Sequence[int], *, kinds: Sequence[str] = MEASURED_KINDS, batch_size: int = 32, rounds: int = 5,
    reporter: Reporter | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measures every kind at every width, all steps of a kind in turns.

    Returns:
        ``worst``: over all, ``time`` and ``memory`` of a step with 8 experts over PEFT's, and the least ``bfloat16``,
        how many times as fast a step is with a bfloat16 backbone and float32 experts. ``widths``: of each width and
        kind ``time``, ``memory`` with experts ``trained`` or all but the first ``frozen``, ``bfloat16``, and PEFT's
        ``milliseconds`` and ``mebibytes``, the model's weights included.
    """
    progress = reporter or Silent()
    progress.phase("measure training steps", len(widths) * len(kinds) * rounds)
    measured: dict[str, dict[str, Any]] = {}
    for width in widths:
        backbone, half = make_backbone(d_model=width), make_backbone(d_model=width)
        half.model.to(torch.bfloat16)
        batch, half_batch = (make_examples(each, batch_size).batch(range(batch_size)) for each in (backbone, half))
        weights = sum(each.numel() * each.element_size() for each in backbone.model.parameters())
        measured[str(width)] = {}
        for kind in kinds:
            mixture = Mixture(ExpertModel(backbone, kind))
            work = {
                "peft": peft_step(mixture.model, width, batch),
                "trained": mixture_step(mixture, EXPERTS, batch),
                "frozen": mixture_step(mixture, EXPERTS, batch, trained=1),
                "bfloat16": mixture_step(Mixture(ExpertModel(half, kind)), EXPERTS, half_batch),
            }
            took = seconds(work, rounds=rounds, reporter=progress)
            peak = {name: weights + peak_bytes(work[name]) for name in ("peft", "trained", "frozen")}
            measured[str(width)][kind] = {
                "time": {name: round(took[name] / took["peft"], 3) for name in ("trained", "frozen")},
                "memory": {name: round(peak[name] / peak["peft"], 3) for name in ("trained", "frozen")},
                "bfloat16": round(took["trained"] / took["bfloat16"], 2),
                "milliseconds": round(1000 * took["peft"], 1),
                "mebibytes": round(peak["peft"] / 2**20, 1),
            }
    every = [figures for by_kind in measured.values() for figures in by_kind.values()]
    worst = {what: max(max(figures[what].values()) for figures in every) for what in MAY_TAKE}
    worst["bfloat16"] = min(figures["bfloat16"] for figures in every)
    return {
        "worst": worst,
        "aim": {**MAY_TAKE, "bfloat16": 1.5},
        "setting": f"{EXPERTS} experts, {batch_size} examples, 3 + 3 layers, one thread, best of {rounds} in turns",
        "widths": measured,
    }


def peft_step(model: ExpertModel, width: int, batch: Batch) -> Step:
    """One step of training one expert in PEFT's own layers, where they are such that they can stand in a model."""
    if not KINDS[model.kind].of_modules:
        return plain_step(model, batch)
    own: Florence2Backbone = make_backbone(d_model=width)
    with warnings.catch_warnings():  # PEFT calls what transformers 5 deprecates
        warnings.simplefilter("ignore")
        tuned = get_peft_model(own.model, model.peft_config).eval()
    parameters: list[Tensor] = [each for each in tuned.parameters() if each.requires_grad]
    return optimised(parameters, lambda: own.loss(batch).mean())


def peak_bytes(step: Step) -> int:
    """The most bytes that a step has allocated at one time, beyond those that were there when it began."""
    step()  # the optimiser has its moments only after the first
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    now = highest = 0
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    for event in sorted((each for each in events if each.name() == "[memory]"), key=lambda each: each.start_ns()):
        now += event.nbytes()
        highest = max(highest, now)
    return highest
