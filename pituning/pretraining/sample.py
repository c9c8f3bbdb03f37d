"""One pretraining example."""

from __future__ import annotations

from dataclasses import dataclass

from pituning.tasks.mini.drawing import Content


@dataclass(frozen=True)
class Sample:
    """One pretraining example; ``objective`` names the skill it exercises."""

    objective: str
    prompt: str
    answer: str
    image: Content | None = None
