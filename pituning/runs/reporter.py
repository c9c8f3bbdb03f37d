"""The reporter of a worker: what the work tells goes into memory, a thread writes it down twice a second.

The work never waits for the database, a long step still gives heartbeats, and a request to stop reaches the work with
its next report. No exception ends the heartbeats; what the database could never hold is refused when it is told. Until
curves and weights are in the database they are in a file beside the checkpoint (`pituning.runs.unsaved`). Torch-free.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

import psutil

from pituning.errors import BadInput, DiskFull, PiTuningError, RunCancelled, RunFailed
from pituning.runs.attempts import CHECKPOINT
from pituning.runs.eta import PlannedPhase, TimeLeft
from pituning.runs.plans import save_plan
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.records import AlphaPoint, Claim, CurvePoint, RunEvent
from pituning.runs.store import storable
from pituning.runs.unsaved import Unsaved
from pituning.workspace.database import LARGEST
from pituning.workspace.holding import Whereabouts
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

    Use it as a context manager: entering starts the writing, leaving ends it. Call `recover` before and `flush`
    afterwards, each until it succeeds, and only then say how the run ended; ``refused`` then says what was reported
    that no database can hold.

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
        self._unsaved = Unsaved(queue.workspace.run_dir(claim.run_id) / CHECKPOINT, claim.attempt)
        self.refused: PiTuningError | None = None
        self._whereabouts = Whereabouts(queue.workspace.root)
        self._failing_since: float | None = None
        self._writing = threading.Lock()
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

    def recover(self) -> None:
        """Writes what an attempt that was killed has left.

        Raises:
            PiTuningError: it cannot be written now; it is still there.
        """
        self._unsaved.recover(self._queue, self._claim)

    def flush(self) -> None:
        """Writes what the database has not taken yet.

        Raises:
            PiTuningError: it cannot be written now; it is still there.
        """
        self._write()

    # What the work calls.

    def phase(self, name: str, total: int) -> None:
        self._check()
        with self._lock:
            self._time_left.phase(name, total)
            self._plan_changed = True
            self._phase, self._done, self._total = storable(name), 0, total
        self._print(f"{name} ({total} steps)")

    def advance(self, steps: int = 1) -> None:
        self._check()
        with self._lock:
            self._time_left.advance(steps)
            self._plan_changed = True
            self._done += steps

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self._check()
        at = _step(step, f"curve {series!r}")
        self._add([CurvePoint(storable(series), at, storable(name), _float(value)) for name, value in values.items()])

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self._check()
        rows = tuple(tuple(_float(weight) for weight in row) for row in weights)
        names = [tuple(map(storable, words)) for words in (sites, experts)]
        point = AlphaPoint(_step(step, "the table of weights"), names[0], names[1], rows)
        if not all(math.isfinite(weight) for row in rows for weight in row):
            return  # as in a curve
        with self._lock:
            begins = None
            if not self._alphas_begun:
                self._alphas_begun = True
                begins = self._restart_alphas = point.step
            self._alphas.append(point)
            self._unsaved.add_alpha(point, begins)

    def log(self, message: str) -> None:
        self._check()
        line = storable(" ".join(message.split()))
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
        self.check_place()  # before the work writes a checkpoint, which would make the old place again
        with self._lock:
            self._unsaved.retry()

    def _print(self, line: str) -> None:
        if self._log is None:
            return
        with suppress(OSError):  # a full disk takes no log, and the work goes on
            print(time.strftime("%H:%M:%S"), line, file=self._log, flush=True)

    def _add(self, points: Sequence[CurvePoint], *, anew_from: int | None = None) -> None:
        """Keeps points of curves until they are written; what is no finite number is no point.

        Args:
            anew_from: the step from which a curve that begins takes the place of an earlier attempt's; its first one.
        """
        with self._lock:
            for point in points:
                curve, begins = (point.series, point.name), None
                if curve not in self._begun:
                    self._begun.add(curve)
                    begins = self._restart[curve] = point.step if anew_from is None else anew_from
                if math.isfinite(point.value):
                    self._metrics.append(point)
                    self._unsaved.add_point(point, begins)

    def _write_on(self) -> None:
        """Writes until the work has ended or somebody else has the run, whatever goes wrong."""
        closing = False
        while not closing:
            closing = self._closing.wait(WRITE_SECONDS)
            try:
                self._write()
            except LostClaimError:
                return
            except Exception:
                continue  # it passes, or has been told to the work

    def _give_up(self, error: PiTuningError) -> None:
        """Tells the work that what it reports cannot be saved, when that has lasted for long; heartbeats go on."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > PATIENCE_SECONDS:
            message = f"progress could not be saved: {error}"
            self._stop = self._stop or (DiskFull(message) if isinstance(error, DiskFull) else RunFailed(message))

    def _measure(self) -> None:
        """Notes how much memory the process takes; a curve that begins anew with each attempt."""
        age = time.monotonic() - self._began
        if age < self._memory_due:
            return
        self._memory_due = age + MEMORY_SECONDS
        with suppress(psutil.Error):
            held = psutil.Process().memory_info().rss / MIB
            self._add([CurvePoint(MEMORY[0], int(age), MEMORY[1], held)], anew_from=0)

    def _write(self) -> None:
        """Writes everything new in one transaction; on failure it stays for the next time.

        Raises:
            LostClaimError: the claim is no longer valid, which the work learns with its next report.
            PiTuningError: nothing was written.
        """
        try:
            with self._writing:
                self._write_all()
            self._failing_since = None
        except LostClaimError as error:
            self._stop = error
            self._unsaved.abandon(remove=not self._whereabouts.moved())
            raise
        except PiTuningError as error:
            self._give_up(error)
            raise
        except Exception as error:  # no storage that is away, but something that it will never take
            words = " ".join(str(error).split())[:200]
            self.refused = RunFailed(f"progress could not be saved: {type(error).__name__}: {words}")
            self._stop = self._stop or self.refused
            with self._lock:
                self._metrics, self._alphas, self._events = [], [], []
                self._phase, self._done, self._total = "", 0, 0
                self._unsaved.drop(self._unsaved.turn())
            self._queue.report(self._claim, progress={})  # only that the worker lives

    def check_place(self) -> None:
        """Raises LostClaimError when the workspace is no longer where it was.

        What is written from then on lands in the old place; the run is done again where the workspace is now.
        """
        if self._whereabouts.moved():
            root = self._queue.workspace.root
            raise LostClaimError(f"workspace {root} has been moved, removed or replaced; its worker stops")

    def _write_all(self) -> None:
        self.check_place()
        self._measure()
        with self._lock:
            eta = self._time_left.seconds()
            done, total = (min(max(int(steps), 0), LARGEST) for steps in (self._done, self._total))
            progress = {"phase": self._phase or None, "done": done, "total": total, "eta_s": eta}
            metrics, alphas, events = list(self._metrics), list(self._alphas), list(self._events)
            restart, restart_alphas = dict(self._restart), self._restart_alphas
            written = self._unsaved.turn()
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
        self._unsaved.drop(written)
        if cancel_requested:
            self._stop = RunCancelled(f"run {self._claim.run_id!r} was asked to stop")
        if plan:
            with suppress(PiTuningError):  # an estimate is not worth a failure
                save_plan(self._queue.workspace, self._claim.run_id, plan)
            self._plan_due, self._plan_changed = now + PLAN_SECONDS, False


def _step(step: int, what: str) -> int:
    """The step itself.

    Raises:
        BadInput: no database holds it.
    """
    if not -LARGEST <= step <= LARGEST:
        raise BadInput(f"{what} has a value at step {step}; a step is at most {LARGEST}", field="step")
    return int(step)


def _float(value: float) -> float:
    """The value; one that is larger than any is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
