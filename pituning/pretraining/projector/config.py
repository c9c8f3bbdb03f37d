"""What the pretraining of a projector is told. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from pituning.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """The recipe. ``steps`` may be raised or lowered between two parts of one run, all else must stay."""

    steps: int = field(default=1200, metadata={"help": "optimiser steps"})
    images: int = field(default=5, metadata={"help": "images per step; each comes with several questions"})
    questions: int = field(default=6, metadata={"help": "questions per image"})
    rate: float = field(default=1.5e-3, metadata={"help": "peak learning rate of the projector (AdamW)"})
    warmup: int = field(default=40, metadata={"help": "steps of linear warm-up"})
    clip: float = field(default=1.0, metadata={"help": "largest norm of the gradient"})
    rank: int = field(default=8, metadata={"help": "of the language model's low-rank update; 0 for none"})
    update_rate: float = field(default=4e-4, metadata={"help": "peak learning rate of that update"})
    update_from: float = field(default=0.1, metadata={"help": "part of the steps after which the update begins"})
    seed: int = field(default=0, metadata={"help": "of the data and of the update's first values"})
    blind: bool = field(default=False, metadata={"help": "show average features in the place of every picture"})

    def __post_init__(self) -> None:
        for name in ("steps", "images", "questions", "warmup"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least 1", field=name)
        if self.rank < 0:
            raise BadInput(f"rank is {self.rank}; give 0 for no update, or its rank", field="rank")

    @property
    def update_begins(self) -> int:
        """The first step that trains the language model's update too; ``steps`` where none does."""
        return int(self.update_from * self.steps) if self.rank else self.steps

    def share(self, step: int) -> float:
        """The learning rate of a step as a part of its peak: a short rise, then a line down to a twentieth."""
        return min(1.0, (step + 1) / self.warmup) * max(0.05, 1 - step / self.steps)

    def update_share(self, step: int) -> float:
        """The same for the update, which rises from where it begins."""
        begun = step - self.update_begins
        return 0.0 if begun < 0 else min(1.0, (begun + 1) / self.warmup) * max(0.05, 1 - step / self.steps)
