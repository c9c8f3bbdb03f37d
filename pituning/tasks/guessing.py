"""What guessing scores on several tasks: it stands beside every score. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from pituning.errors import PiTuningError
from pituning.tasks.metrics import Guessing, guessing
from pituning.tasks.registry import load_task
from pituning.workspace.layout import Workspace

UNKNOWN: dict[str, float | None] = {"chance": None, "largest": None}
"""What documents hold where nothing is known."""


def guesses_of(tasks: Iterable[str], workspace: Workspace | None) -> dict[str, Guessing]:
    """By task; those of which nothing can be known are left out."""
    known: dict[str, Guessing] = {}
    for name in dict.fromkeys(tasks):
        with suppress(PiTuningError):
            guessed = guessing(load_task(name, workspace))
            if guessed is not None:
                known[name] = guessed
    return known


def document(guessed: Guessing | None) -> dict[str, float | None]:
    """For JSON: ``chance`` and ``largest``, None where they are not known."""
    return dict(UNKNOWN) if guessed is None else guessed.to_json()


def mean_guess(guesses: Mapping[str, Guessing], tasks: Iterable[str]) -> Guessing | None:
    """The mean over tasks, to compare mean scores with; None where one of them is not known.

    Where answers are open there is no largest class, and guessing at random takes its place.
    """
    names = list(dict.fromkeys(tasks))
    if not names or any(name not in guesses for name in names):
        return None
    each = [guesses[name] for name in names]
    chance = float(np.mean([one.chance for one in each]))
    if not all(one.counted for one in each):
        return Guessing(chance, None, False)
    return Guessing(chance, float(np.mean([one.chance if one.largest is None else one.largest for one in each])))


def guess_rows(guessed: Guessing | Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """What is known, in the words and the order in which it stands in a table of methods."""
    values = guessed.to_json() if isinstance(guessed, Guessing) else guessed or {}
    rows = (("always the largest class", values.get("largest")), ("at random", values.get("chance")))
    return [(what, float(points)) for what, points in rows if points is not None]
