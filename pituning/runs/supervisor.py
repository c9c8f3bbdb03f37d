"""The supervisor: one process per workspace that takes runs from the queue and does each in a process group of its own.

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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from filelock import FileLock, Timeout

from pituning.errors import BadInput, PiTuningError
from pituning.runs import failures
from pituning.runs.processes import (
    STORAGE_STATUS,
    child_environment,
    created_at,
    end_leftovers,
    how_it_ended,
    is_worker,
    signal_group,
    start_worker,
)
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.records import Claim, Run
from pituning.runs.slots import Slot, make_slots
from pituning.runs.waiting import SUPERVISOR, held_up
from pituning.workspace.atomic import storage_error
from pituning.workspace.layout import Workspace
from pituning.workspace.space import disk_full

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


@dataclass
class _Child:
    claim: Claim
    process: subprocess.Popen[bytes]


class Supervisor:
    """Takes runs and looks after their processes; `step` does whatever is due.

    Args:
        workspace: whose queue is worked on.
        slots: where runs are done, one each at a time; by default what `make_slots` finds.
    """

    def __init__(self, workspace: Workspace, *, slots: Sequence[Slot] | None = None):
        self.queue = RunQueue(workspace)
        self.workspace = workspace
        self.slots = list(slots or make_slots())
        self.host = socket.gethostname()
        self.owner = f"{self.host}:{os.getpid()}:{secrets.token_hex(4)}"
        self._children: dict[str, _Child] = {}
        self._asked: dict[Claim, float] = {}
        self._signalled: dict[Claim, int] = {}
        self._heard: dict[Claim, tuple[float | None, float]] = {}

    def introduce(self) -> None:
        """Writes down who works on the queue, and where."""
        self.queue.set(SUPERVISOR, {
            "owner": self.owner, "host": self.host, "pid": os.getpid(), "since": time.time(),
            "slots": [slot.name for slot in self.slots],
        })  # fmt: skip

    def step(self) -> bool:
        """One round: buries the dead, ends the cancelled, starts the next.

        Returns:
            whether there is anything to do or to wait for.
        """
        self._bury_children()
        here = self._look_after(self.queue.list(states=["running"]))
        free = self._free_slots(here)
        if free and held_up(self.queue) is None:
            for slot in free:
                run = self.queue.claim(self.owner, slot=slot.name, host=self.host)
                if run is None:
                    break
                self._start(run, slot)
        return bool(self._children or here or self.queue.counts().get("queued"))

    def stop(self) -> None:
        """Ends all own workers and gives their runs back to the queue."""
        for child in self._children.values():
            if child.process.poll() is None:
                signal_group(child.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + TERM_SECONDS
        for child in self._children.values():
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                signal_group(child.process.pid, signal.SIGKILL)
                child.process.wait()
            with suppress(LostClaimError):  # the worker did so itself, or had finished
                self.queue.release(child.claim)
        self._children.clear()

    def _start(self, run: Run, slot: Slot) -> None:
        try:
            process = start_worker(self.workspace, run.claim, slot.environment)
        except OSError as error:
            if failures.classify(error) == failures.DISK_FULL:
                self.queue.release(run.claim, "the disk is full")
                return
            self.queue.finish(
                run.claim, "failed", failure=failures.UNEXPECTED, error=f"the worker could not start ({error})",
                mend=failures.mend_of(failures.UNEXPECTED, run.id),
            )  # fmt: skip
            return
        self._children[run.id] = _Child(run.claim, process)
        with suppress(LostClaimError):  # it has ended already
            # Now rather than once it has begun: should both be killed, the next supervisor knows at once.
            self.queue.begin(run.claim, process.pid, pid_created=created_at(process.pid), host=self.host)

    def _bury_children(self) -> None:
        for run_id, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                # Whatever it may have left behind: its number is not anybody else's before its group is gone.
                end_leftovers(child.process.pid)
                if code == STORAGE_STATUS and disk_full(self.workspace.root) is not None:
                    with suppress(LostClaimError):
                        self.queue.release(child.claim, "the disk was full")
                else:
                    self._lost(child.claim, how_it_ended(code))
                del self._children[run_id]  # not before: should the database be locked, this is done again

    def _lost(self, claim: Claim, why: str) -> None:
        self.queue.lost(claim, why, mend=failures.mend_of(failures.LOST, claim.run_id))

    def _look_after(self, running: Sequence[Run]) -> list[Run]:
        """Returns the runs that are under way on this machine."""
        here: list[Run] = []
        for run in running:
            child = self._children.get(run.id)
            pid = child.process.pid if child else run.pid
            silent = self._silent(run)
            if child is None and run.host not in (None, self.host):
                if silent > STALE_SECONDS:  # its process cannot be seen from here
                    self._lost(run.claim, f"nothing was heard from {run.host} for {silent:.0f} s")
                continue
            alive = child is not None or (pid is not None and is_worker(pid, run.id, run.pid_created))
            if not alive and (pid is not None or silent > STALE_SECONDS):
                if pid is not None:
                    end_leftovers(pid)
                self._lost(run.claim, "the worker is gone")
                continue
            if alive and pid is not None and silent > HUNG_SECONDS:
                signal_group(pid, signal.SIGKILL)
            elif alive and run.cancel_requested and pid is not None:
                self._press(run.claim, pid)
            here.append(run)
        current = {run.claim for run in running}
        for kept in (self._asked, self._signalled, self._heard):
            for claim in [claim for claim in kept if claim not in current]:
                del kept[claim]
        return here

    def _silent(self, run: Run) -> float:
        """Seconds since the last heartbeat, by this process's clock, which stands still while the machine sleeps."""
        now = time.monotonic()
        heartbeat, since = self._heard.get(run.claim, (None, now))
        if heartbeat != run.heartbeat or run.claim not in self._heard:
            self._heard[run.claim] = (run.heartbeat, now)
            return 0.0
        return now - since

    def _free_slots(self, here: Sequence[Run]) -> list[Slot]:
        taken = [run.slot for run in here]
        free = [slot for slot in self.slots if slot.name not in taken]
        # Runs of an earlier supervisor with other slots count as well.
        return free[: max(0, len(self.slots) - len(here))]

    def _press(self, claim: Claim, pid: int) -> None:
        """Makes a cancelled run stop: the flag first, SIGTERM, SIGKILL."""
        waited = time.monotonic() - self._asked.setdefault(claim, time.monotonic())
        wanted = signal.SIGKILL if waited > KILL_SECONDS else signal.SIGTERM if waited > TERM_SECONDS else None
        if wanted is not None and self._signalled.get(claim) != wanted:
            signal_group(pid, wanted)
            self._signalled[claim] = wanted


def supervise(
    workspace: Workspace,
    *,
    slots: int | None = None,
    idle_s: float | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Works on the queue until ``stop`` is set, or nothing was to do for ``idle_s`` seconds (None: for ever).

    Args:
        slots: how many runs at once; by default one for each GPU, or one.

    Raises:
        BadInput: when another supervisor works on the workspace.
    """
    stop = stop or threading.Event()
    lock = _lock(workspace)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise BadInput(f"another worker is busy with workspace {workspace.root}; let it work or stop it") from error
    supervisor = Supervisor(workspace, slots=make_slots(slots))
    introduced = False
    idle_since = time.monotonic()
    try:
        while not stop.is_set():
            busy = True
            try:
                if not introduced:
                    supervisor.introduce()
                    introduced = True
                busy = supervisor.step()
            except PiTuningError as error:  # a full disk or a locked database passes; the runs are still there
                _say(str(error))
            if busy:
                idle_since = time.monotonic()
            elif idle_s is not None and time.monotonic() - idle_since > idle_s:
                # Whoever queues a run looks for the lock afterwards: free it first, then look for runs once more.
                lock.release()
                if not supervisor.queue.waiting():
                    return
                lock.acquire(timeout=LOCK_SECONDS)
                idle_since = time.monotonic()
            stop.wait(POLL_SECONDS)
    except Timeout:
        return  # another one has taken over
    finally:
        try:
            supervisor.stop()
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


_started: list[subprocess.Popen[bytes]] = []


def ensure_supervisor(workspace: Workspace, *, idle_s: float = IDLE_SECONDS, slots: int | None = None) -> bool:
    """Starts a supervisor that outlives this process, unless there is one; call it after queueing a run.

    Returns:
        whether one was started.
    """
    _started[:] = [process for process in _started if process.poll() is None]  # reaps those that have ended
    if supervisor_running(workspace):
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
    except BadInput as error:
        _say(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
