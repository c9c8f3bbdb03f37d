"""Lets the trackers that `PITUNING_TRACKERS` names follow a run, each in a thread of its own.

The work never waits for a tracker. One that fails is told of once in the run's log; it is tried again with what it
missed, and the run's outcome does not depend on it. Torch-free.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pituning.errors import RunCancelled
from pituning.progress import Reporter
from pituning.runs.records import CurvePoint, Run
from pituning.runs.trackers.base import TimedPoint, Tracker, TrackerError
from pituning.runs.trackers.mlflow import MlflowTracker
from pituning.runs.trackers.tensorboard import TensorBoardTracker
from pituning.workspace.layout import Workspace

TRACKERS_VARIABLE = "PITUNING_TRACKERS"
TRACKERS: Mapping[str, Callable[[Workspace], Tracker]] = {
    "mlflow": lambda _workspace: MlflowTracker(),
    "tensorboard": TensorBoardTracker,
}
PERIOD_SECONDS = 1.0
AGAIN_SECONDS = 15.0
PARTING_SECONDS = 20.0
"""How long a run that has ended waits for a tracker."""

MOST_POINTS = 50_000
"""So many points are kept for a tracker that does not take them."""

ALPHA = "alpha"
"""The series of the interpolation weights: for each expert its mean over the sites."""


@contextmanager
def followed(run: Run, workspace: Workspace, reporter: Reporter) -> Iterator[Reporter]:
    """The reporter, whose curves the chosen trackers follow while the block lasts; itself where none is chosen."""
    wanted = [word.strip() for word in os.environ.get(TRACKERS_VARIABLE, "").split(",") if word.strip()]
    followers = [_Follower(name, run, workspace, reporter.log) for name in dict.fromkeys(wanted)]
    if not followers:
        yield reporter
        return
    state, error = "succeeded", None
    try:
        yield _Followed(reporter, followers)
    except RunCancelled:
        state = "cancelled"
        raise
    except Exception as caught:
        state, error = "failed", " ".join(str(caught).split()) or type(caught).__name__
        raise
    except BaseException:
        state = "queued"
        raise
    finally:
        deadline = time.monotonic() + PARTING_SECONDS
        for follower in followers:
            follower.part(state, error)
        for follower in followers:
            follower.join(max(0.0, deadline - time.monotonic()))


class _Followed:
    """A reporter that hands every value on."""

    def __init__(self, reporter: Reporter, followers: Sequence[_Follower]):
        self._reporter = reporter
        self._followers = followers

    def phase(self, name: str, total: int) -> None:
        self._reporter.phase(name, total)

    def advance(self, steps: int = 1) -> None:
        self._reporter.advance(steps)

    def log(self, message: str) -> None:
        self._reporter.log(message)

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self._reporter.curve(series, step, values)
        self._tell([CurvePoint(series, int(step), name, float(value)) for name, value in values.items()])

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self._reporter.alpha(step, sites, experts, weights)
        means = [sum(float(value) for value in column) / len(column) for column in zip(*weights, strict=True)]
        points = zip(experts, means, strict=True)
        self._tell([CurvePoint(ALPHA, int(step), expert, mean) for expert, mean in points])

    def _tell(self, points: Sequence[CurvePoint]) -> None:
        now = time.time()
        for follower in self._followers:
            follower.add([TimedPoint(now, point) for point in points])


class _Follower:
    """One tracker and its thread."""

    def __init__(self, name: str, run: Run, workspace: Workspace, log: Callable[[str], None]):
        self._name = name
        self._run = run
        self._workspace = workspace
        self._log = log
        self._lock = threading.Lock()
        self._points: list[TimedPoint] = []
        self._tracker: Tracker | None = None
        self._ready = False
        self._told = False
        self._end: tuple[str, str | None] | None = None
        self._parting = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def add(self, points: Sequence[TimedPoint]) -> None:
        with self._lock:
            self._points += points
            del self._points[:-MOST_POINTS]

    def part(self, state: str, error: str | None) -> None:
        """The attempt has ended."""
        self._end = (state, error)
        self._parting.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _follow(self) -> None:
        pause = 0.0
        while True:
            parting = self._parting.wait(pause)
            pause = PERIOD_SECONDS
            try:
                self._deliver()
                if parting and self._tracker is not None and self._end is not None:
                    self._tracker.finish(*self._end)
            except Exception as error:
                pause = AGAIN_SECONDS
                self._tell(error)
            if parting:
                return

    def _deliver(self) -> None:
        if self._tracker is None:
            if self._name not in TRACKERS:
                raise TrackerError(f"{TRACKERS_VARIABLE} names it, but there are only {', '.join(TRACKERS)}")
            self._tracker = TRACKERS[self._name](self._workspace)
        if not self._ready:
            self._tracker.start(self._run)
            self._ready = True
        with self._lock:
            points, self._points = self._points, []
        try:
            if points:
                self._tracker.metrics(points)
        except Exception:
            with self._lock:
                self._points = [*points, *self._points][-MOST_POINTS:]
            raise

    def _tell(self, error: Exception) -> None:
        if self._told:
            return
        self._told = True
        words = " ".join(str(error).split())[:300] or type(error).__name__
        try:
            self._log(f"tracker {self._name}: {words}; the run goes on, and the tracker is tried again")
        except Exception:
            return  # the run is being stopped, and its reporter says so by raising
