"""What a mini task is made of: its card and a function that draws one example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from pituning.tasks.base import Modality
from pituning.tasks.mini.drawing import Content

MANY = (6000, 300, 1000)
"""Split sizes of the tasks that compare: with fewer training examples an expert learns them by heart."""


@dataclass(frozen=True)
class Draft:
    """One drawn example before it has a name: what is shown, what is asked, the gold answer."""

    image: Content | None
    text: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A mini task. ``draw(rng, label)`` makes one example; ``label`` is None when answers are open.

    ``since`` is the version of the suite in which the task last changed: until it changes again its examples, and the
    experts trained on them, stay what they are.
    """

    name: str
    title: str
    instruction: str
    modality: Modality
    metric: str
    labels: tuple[str, ...] | None
    families: tuple[str, ...]
    description: str
    draw: Callable[[Random, str | None], Draft]
    sizes: tuple[int, int, int] = (3000, 300, 1000)
    since: str = "2"
