"""The supervisor: one process per workspace that takes runs from the queue and has each done by a worker of its own.

Where workers run is the executor's business: in process groups of this machine, or on a cluster.

It holds a file lock while it lives. A run outlives the app, and a supervisor that was killed: its worker goes on and is
looked after by the next supervisor. Torch-free.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

from filelock import FileLock, Timeout

from pituning.errors import BadInput, PiTuningError
from pituning.runs import failures
from pituning.runs.executors.base import ClusterError, Executor, Gone, Standing
from pituning.runs.executors.choice import make_executor
from pituning.runs.executors.local import LocalExecutor
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.records import Claim, Run
from pituning.runs.restoring import tidy
from pituning.runs.slots import Slot
from pituning.runs.store import PAUSED
from pituning.runs.waiting import held_up
from pituning.workspace.atomic import storage_error
from pituning.workspace.bounded import child_environment
from pituning.workspace.holding import Whereabouts
from pituning.workspace.layout import Workspace
from pituning.workspace.leftovers import remove_leftovers
from pituning.workspace.ownership import SUPERVISOR, remember_supervisor

POLL_SECONDS = 0.5
IDLE_SECONDS = 600.0
STALE_SECONDS = 60.0
"""A run without a heartbeat for so long, and without a process, is given to somebody else."""

HUNG_SECONDS = 600.0
"""A process without a heartbeat for so long is ended, and its run given to somebody else."""

TERM_SECONDS = 10.0
KILL_SECONDS = 20.0
"""A cancelled run has this long until its process group gets SIGTERM, and until SIGKILL."""

LOCK_SECONDS = 5.0
CLEAR_SECONDS = 3600.0
"""How often one that works without end clears up."""


class Supervisor:
    """Takes runs and looks after their workers; `step` does whatever is due.

    Args:
        workspace: whose queue is worked on.
        executor: where workers run; by default on this machine.
    """

    def __init__(self, workspace: Workspace, *, executor: Executor | None = None):
        self.queue = RunQueue(workspace)
        self.workspace = workspace
        self.executor = executor or LocalExecutor(workspace)
        self.host = socket.gethostname()
        self.owner = f"{self.host}:{os.getpid()}:{secrets.token_hex(4)}"
        self._asked: dict[Claim, float] = {}
        self._pressed: dict[Claim, bool] = {}
        self._heard: dict[Claim, tuple[float | None, float]] = {}
        self._cleared = time.monotonic()

    def introduce(self) -> None:
        """Writes down who works on the queue, and where."""
        remember_supervisor(self.workspace.root, self.owner)
        self.queue.set(SUPERVISOR, {
            "owner": self.owner, "host": self.host, "pid": os.getpid(), "since": time.time(),
            "slots": list(self.executor.places),
        })  # fmt: skip

    def step(self) -> bool:
        """One round: gives up the dead, ends the cancelled, starts the next.

        Returns:
            whether there is anything to do or to wait for.
        """
        running = self.queue.list(states=["running"])
        lingering = self._forget_others({run.claim for run in running})
        under_way = [run for run in running if self._look_after(run)]
        begun = False
        free = self.executor.free(under_way)
        if free and held_up(self.queue) is None:
            for slot in free:
                run = self.queue.claim(self.owner, slot=slot.name, host=self.host)
                if run is None:
                    break
                self._start(run, slot)
                begun = True
        return bool(lingering or under_way or begun or self.waited_for())

    def waited_for(self) -> bool:
        """Whether a queued run may be taken without anybody's doing: one of a paused queue may not."""
        return self.queue.setting(PAUSED) is None and bool(self.queue.counts().get("queued"))

    def stop(self, *, give_back: bool = True) -> None:
        """Ends the workers that do not outlive their supervisor, and gives their runs back to the queue."""
        for claim in self.executor.stop():
            if not give_back:
                continue
            with suppress(LostClaimError):  # the worker did so itself, or had finished
                self.queue.release(claim)

    def _start(self, run: Run, slot: Slot) -> None:
        try:
            started = self.executor.start(run, slot)
        except ClusterError as error:
            self.queue.release(run.claim, str(error))
            return
        except OSError as error:
            if failures.classify(error) == failures.DISK_FULL:
                self.queue.release(run.claim, "the disk is full")
                return
            self.queue.finish(
                run.claim, "failed", failure=failures.UNEXPECTED, error=f"the worker could not start ({error})",
                fix=failures.fix_for(failures.UNEXPECTED, run.id),
            )  # fmt: skip
            return
        if started.pid is not None:
            with suppress(LostClaimError):  # it has ended already
                # Now rather than once it has begun: should both be killed, the next supervisor knows at once.
                self.queue.begin(run.claim, started.pid, pid_created=started.pid_created, host=self.host)

    def _look_after(self, run: Run) -> bool:
        """Does what is due about a running run; returns whether it is under way, as far as can be seen."""
        silent = self._silent(run)
        standing = self.executor.standing(run)
        if isinstance(standing, Gone):
            if standing.excuse is None:
                self._lost(run.claim, standing.why)
            else:
                with suppress(LostClaimError):
                    self.queue.release(run.claim, standing.excuse)
            return False
        if standing is Standing.UNSEEN and silent > STALE_SECONDS:
            elsewhere = f"nothing was heard from {run.host} for {silent:.0f} s"
            self._lost(run.claim, "the worker is gone" if run.host in (None, self.host) else elsewhere)
            return False
        if standing is Standing.ALIVE and silent > HUNG_SECONDS:
            self.executor.end(run, at_once=True)
            if silent > HUNG_SECONDS + STALE_SECONDS:  # whoever says that it lives is wrong, or it cannot be ended
                self._lost(run.claim, f"nothing was heard from the worker for {silent:.0f} s")
                return False
        elif standing is not Standing.UNSEEN and run.cancel_requested:
            self._press(run)
        return True

    def clear_up(self) -> None:
        """Removes the unfinished files of workers and others that were killed, and what is past its days in the bin."""
        remove_leftovers(self.workspace.root)
        try:
            tidy(self.workspace)
        except PiTuningError as error:  # the runs go on all the same
            _say(f"the bin is not tidied: {error}")
        self._cleared = time.monotonic()

    def clear_up_again(self) -> None:
        """`clear_up`, where the last one was long ago."""
        if time.monotonic() - self._cleared > CLEAR_SECONDS:
            self.clear_up()

    def _lost(self, claim: Claim, why: str) -> None:
        self.clear_up()
        self.queue.lost(claim, why, fix=failures.fix_for(failures.LOST, claim.run_id))

    def _silent(self, run: Run) -> float:
        """Seconds since the last heartbeat, by this process's clock, which stands still while the machine sleeps."""
        now = time.monotonic()
        heartbeat, since = self._heard.get(run.claim, (None, now))
        if heartbeat != run.heartbeat or run.claim not in self._heard:
            self._heard[run.claim] = (run.heartbeat, now)
            return 0.0
        return now - since

    def _press(self, run: Run) -> None:
        """Makes a cancelled run stop: the flag first, then a request to end, then the end."""
        waited = time.monotonic() - self._asked.setdefault(run.claim, time.monotonic())
        if waited > TERM_SECONDS:
            at_once = waited > KILL_SECONDS
            if self._pressed.get(run.claim) != at_once:
                self.executor.end(run, at_once=at_once)
                self._pressed[run.claim] = at_once

    def _forget_others(self, running: set[Claim]) -> bool:
        """Clears away what is known of claims that nobody holds any more; returns whether some worker lingers."""
        for kept in (self._asked, self._pressed, self._heard):
            for claim in [claim for claim in kept if claim not in running]:
                del kept[claim]
        return self.executor.tidy(running)


def supervise(
    workspace: Workspace,
    *,
    executor: str | None = None,
    slots: int | None = None,
    gpus: float | None = None,
    idle_s: float | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Works on the queue until ``stop`` is set, or nothing was to do for ``idle_s`` seconds (None: for ever).

    Args:
        executor: where workers run; with slots and gpus as in `make_executor`.

    Raises:
        BadInput: when another supervisor works on the workspace, or the executor is not set up.
        ClusterError: the cluster does not answer.
    """
    stop = stop or threading.Event()
    lock = _lock(workspace)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise BadInput(f"another worker is busy with workspace {workspace.root}; let it work or stop it") from error
    try:
        supervisor = Supervisor(workspace, executor=make_executor(workspace, executor, slots=slots, gpus=gpus))
    except PiTuningError:
        lock.release()
        raise
    introduced, last_line = False, ""
    whereabouts = Whereabouts(workspace.root)
    idle_since = time.monotonic()
    try:
        while not stop.is_set():
            busy = True
            if whereabouts.moved():
                # Its workers see it, too. Whoever works on it where it is now finds that they have gone.
                _say(f"workspace {workspace.root} has been moved, removed or replaced; whatever works there ends")
                return
            try:
                if not introduced:
                    supervisor.clear_up()
                    supervisor.introduce()
                    introduced = True
                busy = supervisor.step()
                supervisor.clear_up_again()
                last_line = ""
            except PiTuningError as error:  # a full disk, a locked database or a lost cluster passes; the runs stay
                if str(error) != last_line:
                    last_line = str(error)
                    _say(last_line)
            if busy:
                idle_since = time.monotonic()
            elif idle_s is not None and time.monotonic() - idle_since > idle_s:
                # Whoever queues a run or ends a pause looks for the lock afterwards: free it first, then look for
                # runs once more.
                lock.release()
                if not supervisor.waited_for():
                    return
                lock.acquire(timeout=LOCK_SECONDS)
                idle_since = time.monotonic()
            stop.wait(POLL_SECONDS)
    except Timeout:
        return  # another one has taken over
    finally:
        try:
            supervisor.stop(give_back=not whereabouts.moved())
        except PiTuningError as error:  # the next supervisor finds its runs without a process
            _say(str(error))
        finally:
            lock.release()


def supervisor_running(workspace: Workspace) -> bool:
    """Whether some process works on the queue of the workspace."""
    lock = _lock(workspace)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _paused(workspace: Workspace) -> bool:
    """Whether the queue is paused and no run under way, whose worker somebody would have to look after."""
    queue = RunQueue(workspace)
    try:
        return queue.setting(PAUSED) is not None and not queue.counts().get("running")
    except PiTuningError:
        return False  # a database that cannot be read now is the supervisor's business


_started: list[subprocess.Popen[bytes]] = []


def ensure_supervisor(workspace: Workspace, *, idle_s: float = IDLE_SECONDS, slots: int | None = None) -> bool:
    """Starts a supervisor that outlives this process, unless there is one, or nothing for it to do in a paused queue.

    Call it after queueing a run and after ending a pause.

    Returns:
        whether one was started.
    """
    _started[:] = [process for process in _started if process.poll() is None]  # reaps those that have ended
    if supervisor_running(workspace) or _paused(workspace):
        return False
    path = workspace.root / "supervisor.log"
    command = [sys.executable, "-P", "-m", "pituning.runs.supervisor", "--workspace", str(workspace.root)]
    options = ["--idle", str(idle_s), *(["--slots", str(slots)] if slots else [])]
    try:
        with path.open("ab") as log:
            process = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=child_environment(),
            )  # fmt: skip
    except OSError as error:
        raise storage_error(error, path) from error
    _started.append(process)
    return True


def _lock(workspace: Workspace) -> FileLock:
    return FileLock(workspace.root / "supervisor.lock")


def _say(line: str) -> None:
    with suppress(OSError):  # the log may be on a full disk
        print(time.strftime("%F %T"), line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The process of a supervisor."""
    parser = argparse.ArgumentParser(prog="python -m pituning.runs.supervisor")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS)
    parser.add_argument("--slots", type=int)
    options = parser.parse_args(arguments)
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        supervise(Workspace.open(options.workspace), slots=options.slots, idle_s=options.idle, stop=stop)
    except PiTuningError as error:
        _say(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
