"""The reporter of a worker: what the work tells goes into memory, a thread writes it down twice a second.

The work never waits for the database, a long step still gives heartbeats, and a request to stop reaches the work with
its next report. Torch-free.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

import psutil

from pituning.errors import DiskFull, PiTuningError, RunCancelled, RunFailed
from pituning.runs.eta import PlannedPhase, TimeLeft
from pituning.runs.plans import save_plan
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.records import AlphaPoint, Claim, CurvePoint, RunEvent
from pituning.workspace.space import MIB

WRITE_SECONDS = 0.5
PLAN_SECONDS = 5.0
MEMORY_SECONDS = 10.0
MEMORY = ("system", "memory_mib")
"""Series and name of the curve of the process's memory, by seconds of the attempt."""

PATIENCE_SECONDS = 120.0
"""How long the database may refuse to be written before the run gives up."""


class DatabaseReporter:
    """A `Reporter` that writes a run's progress into the workspace's database under a claim.

    Use it as a context manager: entering starts the writing, leaving writes what is left.

    Args:
        queue: the queue of the workspace.
        claim: under which the run is worked on.
        plan: the phases to expect, for the time left.
        log: where log lines go, one each with the time.
    """

    def __init__(self, queue: RunQueue, claim: Claim, *, plan: Sequence[PlannedPhase] = (), log: TextIO | None = None):
        self._queue = queue
        self._claim = claim
        self._log = log
        self._time_left = TimeLeft(plan)
        self._lock = threading.Lock()
        self._phase, self._done, self._total = "", 0, 0
        self._metrics: list[CurvePoint] = []
        self._alphas: list[AlphaPoint] = []
        self._events: list[RunEvent] = []
        self._restart: dict[tuple[str, str], int] = {}
        self._restart_alphas: int | None = None
        self._begun: set[tuple[str, str]] = set()
        self._alphas_begun = False
        self._stop: PiTuningError | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="reporter", daemon=True)
        self._plan_due = 0.0
        self._began = time.monotonic()
        self._memory_due = 0.0
        self._plan_changed = False

    def __enter__(self) -> DatabaseReporter:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.set()
        self._thread.join(timeout=PATIENCE_SECONDS)

    # What the work calls.

    def phase(self, name: str, total: int) -> None:
        self._check()
        with self._lock:
            self._time_left.phase(name, total)
            self._plan_changed = True
            self._phase, self._done, self._total = name, 0, total
        self._print(f"{name} ({total} steps)")

    def advance(self, steps: int = 1) -> None:
        self._check()
        with self._lock:
            self._time_left.advance(steps)
            self._plan_changed = True
            self._done += steps

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self._check()
        with self._lock:
            for name in values:
                if (series, name) not in self._begun:
                    self._begun.add((series, name))
                    self._restart[series, name] = step
            self._metrics += [CurvePoint(series, int(step), name, float(value)) for name, value in values.items()]

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self._check()
        rows = tuple(tuple(float(weight) for weight in row) for row in weights)
        with self._lock:
            if not self._alphas_begun:
                self._alphas_begun = True
                self._restart_alphas = step
            self._alphas.append(AlphaPoint(int(step), tuple(sites), tuple(experts), rows))

    def log(self, message: str) -> None:
        self._check()
        line = " ".join(message.split())
        with self._lock:
            self._events.append(RunEvent(time.time(), line))
        self._print(line)

    def interrupt(self) -> None:
        """Makes the work stop with its next report, as a request to stop does."""
        self._stop = self._stop or RunCancelled(f"run {self._claim.run_id!r} was interrupted")

    # Inside.

    def _check(self) -> None:
        if self._stop is not None:
            raise self._stop

    def _print(self, line: str) -> None:
        if self._log is None:
            return
        with suppress(OSError):  # a full disk takes no log, and the work goes on
            print(time.strftime("%H:%M:%S"), line, file=self._log, flush=True)

    def _write_on(self) -> None:
        failing_since: float | None = None
        while True:
            closing = self._closing.wait(WRITE_SECONDS)
            try:
                self._write()
                failing_since = None
            except LostClaimError as error:
                self._stop = error
                return
            except PiTuningError as error:
                now = time.monotonic()
                failing_since = failing_since or now
                if now - failing_since > PATIENCE_SECONDS:
                    message = f"progress could not be saved: {error}"
                    self._stop = DiskFull(message) if isinstance(error, DiskFull) else RunFailed(message)
                    return
            if closing:
                return

    def _measure(self) -> None:
        """Notes how much memory the process takes; a curve that begins anew with each attempt."""
        age = time.monotonic() - self._began
        if age < self._memory_due:
            return
        self._memory_due = age + MEMORY_SECONDS
        point = CurvePoint(MEMORY[0], int(age), MEMORY[1], psutil.Process().memory_info().rss / MIB)
        with self._lock:
            if MEMORY not in self._begun:
                self._begun.add(MEMORY)
                self._restart[MEMORY] = 0
            self._metrics.append(point)

    def _write(self) -> None:
        """Writes everything new in one transaction; on failure it stays for the next time."""
        self._measure()
        with self._lock:
            eta = self._time_left.seconds()
            progress = {"phase": self._phase or None, "done": self._done, "total": self._total, "eta_s": eta}
            metrics, alphas, events = list(self._metrics), list(self._alphas), list(self._events)
            restart, restart_alphas = dict(self._restart), self._restart_alphas
            now = time.monotonic()
            plan_due = self._plan_changed and (now >= self._plan_due or self._closing.is_set())
            plan = self._time_left.plan() if plan_due else []
        cancel_requested = self._queue.report(
            self._claim, progress=progress, metrics=metrics, alphas=alphas, events=events, restart=restart,
            restart_alphas=restart_alphas,
        )  # fmt: skip
        with self._lock:
            del self._metrics[: len(metrics)], self._alphas[: len(alphas)], self._events[: len(events)]
            self._restart = {curve: step for curve, step in self._restart.items() if curve not in restart}
            if restart_alphas is not None:
                self._restart_alphas = None
        if cancel_requested:
            self._stop = RunCancelled(f"run {self._claim.run_id!r} was asked to stop")
        if plan:
            with suppress(PiTuningError):  # an estimate is not worth a failure
                save_plan(self._queue.workspace, self._claim.run_id, plan)
            self._plan_due, self._plan_changed = now + PLAN_SECONDS, False
