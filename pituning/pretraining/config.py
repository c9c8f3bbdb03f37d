"""What pretraining is told, and what follows from it per step. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """The recipe. ``steps`` may be raised or lowered between two parts of one run, all else must stay."""

    steps: int = field(default=7200, metadata={"help": "optimiser steps"})
    reading: int = field(
        default=1300, metadata={"help": "further steps, nearly all on texts, with a rate that rises and falls again"}
    )
    relating: int = field(
        default=2000,
        metadata={"help": "last steps, mostly on pairs of sentences, with fresh optimisers and a rate of their own"},
    )
    images: int = field(default=44, metadata={"help": "images per step; most come with two prompts"})
    texts: int = field(default=68, metadata={"help": "text-only samples per step"})
    learning_rate: float = field(default=1.6e-3, metadata={"help": "peak learning rate of AdamW"})
    warmup: int = field(default=300, metadata={"help": "steps of linear warm-up"})
    decay: float = field(default=0.4, metadata={"help": "last part of the run in which the rate falls to zero"})
    weight_decay: float = field(default=0.02, metadata={"help": "AdamW's decoupled weight decay"})
    curriculum: tuple[int, int] = field(
        default=(1200, 4200), metadata={"help": "steps between which the mixture goes from seeing to comparing"}
    )
    clip: float = field(default=1.0, metadata={"help": "largest norm of the gradient"})
    workers: int = field(default=2, metadata={"help": "processes of one thread that share a step's batch (CPU)"})
    seed: int = field(default=0, metadata={"help": "of weights and data"})
    blind: bool = field(default=False, metadata={"help": "leave the images out: the text-only baseline"})
    d_model: int = 128
    layers: int = 3
    vision_dims: tuple[int, int] = (64, 128)
    image_size: int = 48
    vocab_size: int = 1200

    @property
    def all_steps(self) -> int:
        """The main part, the reading and the relating after it."""
        return self.steps + self.reading + self.relating

    @property
    def relating_begins(self) -> int:
        """The first of the last steps."""
        return self.steps + self.reading


READING_RATE = RELATING_RATE = 0.6
"""The highest rate of the reading steps and of the relating steps, as a part of the peak."""
READING_IMAGES, READING_TEXTS = 10, 120
RELATING_IMAGES, RELATING_TEXTS = 16, 100


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Warm-up, plateau, linear fall to zero; then twice, for reading and relating, a short rise and a linear fall."""
    if step >= config.relating_begins:
        done = step - config.relating_begins
        return RELATING_RATE * config.learning_rate * min(1.0, (done + 1) / 50) * (1 - done / config.relating)
    if step >= config.steps:
        done = step - config.steps
        return READING_RATE * config.learning_rate * min(1.0, (done + 1) / 50) * (1 - done / config.reading)
    fall = config.decay * config.steps
    return config.learning_rate * min(1.0, (step + 1) / config.warmup, max(0.0, (config.steps - step) / fall))


def curriculum_level(config: PretrainConfig, step: int) -> float:
    """0 until the first of the two steps of ``config.curriculum``, 1 from the second on, a line between; 2 reading;
    3 relating."""
    if step >= config.relating_begins:
        return 3.0
    if step >= config.steps:
        return 2.0
    first, last = config.curriculum
    return min(1.0, max(0.0, (step - first) / (last - first)))
