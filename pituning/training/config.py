"""What a training is told. Torch-free; the help texts feed the command line and the forms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from pituning.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
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
