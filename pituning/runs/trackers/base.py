"""What a tracker is. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pituning.errors import PiTuningError
from pituning.runs.records import CurvePoint, Run


class TrackerError(PiTuningError):
    """A tracker cannot be used; the run goes on without it."""


@dataclass(frozen=True)
class TimedPoint:
    """One value of a curve, and when it was measured (seconds since the epoch)."""

    time: float
    point: CurvePoint


class Tracker(Protocol):
    """Keeps the curves of one attempt of a run somewhere else. Whatever its methods raise, the run goes on.

    The methods are called from one thread, `start` first; after an error they are called again with the same points.
    """

    def start(self, run: Run) -> None:
        """The attempt begins. What an earlier attempt of the run kept is continued, not begun anew."""

    def metrics(self, points: Sequence[TimedPoint]) -> None:
        """New values, in the order in which they were measured."""

    def finish(self, state: str, error: str | None) -> None:
        """The attempt has ended: ``succeeded``, ``failed`` (with its reason), ``cancelled``, or back in the queue."""
