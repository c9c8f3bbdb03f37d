"""What a training is told. Torch-free; the help texts feed the command line and the forms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from pituning.backbones.precision import Precision
from pituning.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Parts:
    """How much of a step is in memory at once; numbers are the same to rounding.

    Args:
        accumulate: into how many parts a step's examples are dealt.
        checkpointing: see `pituning.backbones.base.Backbone.checkpointing`.
    """

    accumulate: int = field(
        default=1, metadata={"help": "Parts in which a step's examples are run one after another, to need less memory."}
    )
    checkpointing: bool = field(
        default=False,
        metadata={"help": "Run layers again for the gradients instead of keeping what they computed, for less memory."},
    )

    def check_parts(self) -> None:
        """Raises BadInput for a number of parts that cannot be."""
        if isinstance(self.accumulate, bool) or not isinstance(self.accumulate, int) or self.accumulate < 1:
            raise BadInput(f"accumulate is {self.accumulate!r}; give a whole number of at least 1", field="accumulate")


@dataclass(frozen=True, kw_only=True)
class Footprint(Precision, Parts):
    """What decides how much memory a run that trains takes, and not what it learns."""

    def check_footprint(self) -> None:
        """Raises BadInput for a value out of its range."""
        self.check_precision()
        self.check_parts()


def without_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those of a footprint that are as they always were: what was digested before there were any
    keeps its digest."""
    usual = {item.name: item.default for item in fields(Footprint)}
    return {name: value for name, value in settings.items() if name not in usual or value != usual[name]}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Parts):
    """Settings of one training.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    steps: int = field(default=400, metadata={"help": "Optimiser steps."})
    batch_size: int = field(default=32, metadata={"help": "Examples per step."})
    learning_rate: float = field(default=5e-3, metadata={"help": "Peak learning rate of AdamW."})
    warmup: int = field(default=20, metadata={"help": "Steps of linear warm-up, at most a fifth of all steps."})
    schedule: Literal["cosine", "constant"] = field(
        default="cosine", metadata={"help": "Learning rate after the warm-up: cosine to zero, or constant."}
    )
    weight_decay: float = field(default=0.0, metadata={"help": "Decoupled weight decay."})
    clip: float = field(default=1.0, metadata={"help": "Largest norm of the gradient."})
    seed: int = field(default=0, metadata={"help": "Seed of the starting values and of the order of examples."})
    eval_every: int = field(default=0, metadata={"help": "Steps between evaluations; 0 for none before the end."})
    checkpoint_every: int = field(default=100, metadata={"help": "Steps between checkpoints, where one is kept."})

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_every"):
            self._require(name, getattr(self, name) >= 1, "a whole number of at least 1")
        for name in ("warmup", "eval_every", "seed"):
            self._require(name, getattr(self, name) >= 0, "a whole number of at least 0")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "a number above 0")
        self._require("weight_decay", math.isfinite(self.weight_decay) and self.weight_decay >= 0, "0 or more")
        self.check_parts()
        self._require("schedule", self.schedule in ("cosine", "constant"), "cosine or constant")

    def _require(self, name: str, fine: bool, wanted: str) -> None:
        if not fine:
            raise BadInput(f"{name} is {getattr(self, name)!r}; give {wanted}", field=name)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warmup = min(self.warmup, self.steps // 5)
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - warmup) / max(1, self.steps - warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


FULL_RATE = 5e-4
"""The learning rate of full fine-tuning."""

BITFIT_RATE = 2e-2
"""The learning rate of the backbone's biases alone."""
