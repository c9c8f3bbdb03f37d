"""What counts as harm, and how points are written: the same wherever a gain is shown, predicted or graded."""

from __future__ import annotations

import numpy as np

HARM = 1.0
"""Points that a donor has to cost to be called harmful. Less is the luck of the draw: of the few hundred test examples
of a measurement, a point is a handful."""


def harms(gains: np.ndarray) -> np.ndarray:
    """Which of the gains are harm, bool; one that was not measured is none."""
    return np.asarray(gains) <= -HARM


def signed(value: float) -> str:
    """A gain as people read it, to a tenth of a point, such as ``+2.5``."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")  # no negative zero


def points(value: float) -> str:
    """The same with its unit, such as ``+2.5 points``."""
    return f"{signed(value)} points"
