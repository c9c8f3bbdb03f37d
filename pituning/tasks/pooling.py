"""Which rows a tuning is scored on: of a small table all that it does not learn from. Torch-free.

A quarter of 40 rows tells next to nothing. Where the splits were dealt by chance, every row that is no shot is as good
a test row as those of the test split: methods, rates and steps are chosen on the shots alone. A test split that a file
names itself is left as it is, for it may be of another place or time than the rest.

Where even so fewer rows are left than there are shots, the shots are tested as well, by cross-validation: each by what
was trained without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pituning.tasks.base import Example, Task
from pituning.tasks.metrics import METRICS

FEW = 100
"""Test rows below which others are taken, too."""
ENOUGH = 200
"""Rows up to which others are taken."""


def is_pooled(sizes: Mapping[str, int], dealt: Sequence[str]) -> bool:
    """Whether a task is scored on more than its test split.

    Args:
        sizes: rows of each split.
        dealt: the splits that were dealt by chance.
    """
    return {"test", "train"} <= set(dealt) and sizes["test"] < FEW


def scored_count(sizes: Mapping[str, int], dealt: Sequence[str], *, shots: int, most: int) -> int:
    """How many rows a run is scored on, unless some ask the same as a shot does.

    Args:
        shots: rows that it learns from.
        most: as it was told.
    """
    if not is_pooled(sizes, dealt):
        return min(most, sizes["test"])
    return max(0, min(most, ENOUGH, sum(sizes.values()) - shots))


def crossed_count(
    sizes: Mapping[str, int], dealt: Sequence[str], *, metric: str, shots: int, least: int, most: int
) -> int:
    """How many shots are tested as well: all where fewer rows are left than there are shots, else none.

    Args:
        metric: of the task. Where it is no mean over rows, none is: what several models say is not to be correlated.
        shots: rows that the run learns from.
        least: those of the smallest class; a single one cannot be left out of a training.
        most: how many rows are tested at most; as many as all, or none of the shots is.
    """
    left = sum(sizes.values()) - shots
    by_row = METRICS[metric].takes in ("one", "votes")
    some = by_row and is_pooled(sizes, dealt) and least > 1 and 0 <= left <= ENOUGH
    return shots if some and left < shots <= most - left else 0


def others(task: Task, shots: Sequence[Example], count: int) -> list[Example]:
    """At most ``count`` rows of validation and train that the shots do not hold, drawn with a fixed seed, in order.

    Args:
        shots: what is learned from; rows that ask the same are left out.
    """
    learned = {question(shot) for shot in shots}
    free = [row for split in ("validation", "train") for row in task.split(split) if question(row) not in learned]
    chosen = np.sort(np.random.default_rng(0).permutation(len(free))[:count])
    return [free[int(place)] for place in chosen]


def question(row: Example) -> tuple[str, object]:
    """What a row asks: rows of which it is the same are one question."""
    return row.text, row.image
