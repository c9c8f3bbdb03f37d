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
from pathlib import Path
from types import FrameType

import psutil
from filelock import FileLock, Timeout

import pituning
from pituning.errors import BadInput, PiTuningError
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.records import Claim, Run
from pituning.workspace.atomic import storage_error
from pituning.workspace.layout import Workspace

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
WORKER_MODULE = "pituning.runs.worker"


@dataclass
class _Child:
    claim: Claim
    process: subprocess.Popen[bytes]


class Supervisor:
    """Takes runs and looks after their processes; `step` does whatever is due.

    Args:
        workspace: whose queue is worked on.
        slots: how many runs at once.
    """

    def __init__(self, workspace: Workspace, *, slots: int = 1):
        self.queue = RunQueue(workspace)
        self.workspace = workspace
        self.slots = slots
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._children: dict[str, _Child] = {}
        self._asked: dict[Claim, float] = {}
        self._signalled: dict[Claim, int] = {}

    def step(self) -> bool:
        """One round: buries the dead, ends the cancelled, starts the next.

        Returns:
            whether there is anything to do or to wait for.
        """
        self._bury_children()
        strangers = self._look_after(self.queue.list(states=["running"]))
        while len(self._children) + strangers < self.slots:
            run = self.queue.claim(self.owner)
            if run is None:
                break
            self._start(run)
        return bool(self._children or strangers or self.queue.waiting())

    def stop(self) -> None:
        """Ends all own workers and gives their runs back to the queue."""
        for child in self._children.values():
            _signal_group(child.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + TERM_SECONDS
        for child in self._children.values():
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(child.process.pid, signal.SIGKILL)
                child.process.wait()
            with suppress(LostClaimError):  # the worker did so itself, or had finished
                self.queue.release(child.claim)
        self._children.clear()

    def _start(self, run: Run) -> None:
        directory = self.workspace.run_dir(run.id)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with (directory / "log.txt").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", WORKER_MODULE, run.id, "--workspace", str(self.workspace.root),
                     "--owner", self.owner, "--attempt", str(run.attempt)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                    env=_environment(),
                )  # fmt: skip
        except OSError as error:
            self.queue.finish(run.claim, "failed", error=f"the worker could not start ({error}); mend that, then retry")
            return
        self._children[run.id] = _Child(run.claim, process)

    def _bury_children(self) -> None:
        for run_id, child in list(self._children.items()):
            code = child.process.poll()
            if code is not None:
                del self._children[run_id]
                _signal_group(child.process.pid, signal.SIGKILL)  # whatever it may have left behind
                self.queue.lost(child.claim, _how_it_ended(code))

    def _look_after(self, running: Sequence[Run]) -> int:
        """Returns how many runs other supervisors' workers are at."""
        now = time.time()
        strangers = 0
        for run in running:
            child = self._children.get(run.id)
            pid = child.process.pid if child else run.pid
            alive = child is not None or (pid is not None and is_worker(pid, run.id))
            silent = now - (run.heartbeat or 0.0)
            if not alive and (pid is not None or silent > STALE_SECONDS):
                self.queue.lost(run.claim, "the worker is gone")
                continue
            if alive and pid is not None and silent > HUNG_SECONDS:
                _signal_group(pid, signal.SIGKILL)
                continue
            if run.cancel_requested and pid is not None:
                self._press(run.claim, pid)
            strangers += child is None
        current = {run.claim for run in running}
        self._asked = {claim: since for claim, since in self._asked.items() if claim in current}
        self._signalled = {claim: number for claim, number in self._signalled.items() if claim in current}
        return strangers

    def _press(self, claim: Claim, pid: int) -> None:
        """Makes a cancelled run stop: the flag first, SIGTERM, SIGKILL."""
        waited = time.monotonic() - self._asked.setdefault(claim, time.monotonic())
        wanted = signal.SIGKILL if waited > KILL_SECONDS else signal.SIGTERM if waited > TERM_SECONDS else None
        if wanted is not None and self._signalled.get(claim) != wanted:
            _signal_group(pid, wanted)
            self._signalled[claim] = wanted


def supervise(
    workspace: Workspace, *, slots: int = 1, idle_s: float | None = None, stop: threading.Event | None = None
) -> None:
    """Works on the queue until ``stop`` is set, or nothing was to do for ``idle_s`` seconds (None: for ever).

    Raises:
        BadInput: when another supervisor works on the workspace.
    """
    stop = stop or threading.Event()
    lock = _lock(workspace)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise BadInput(f"another worker is busy with workspace {workspace.root}; let it work or stop it") from error
    supervisor = Supervisor(workspace, slots=slots)
    idle_since = time.monotonic()
    try:
        while not stop.is_set():
            busy = True
            try:
                busy = supervisor.step()
            except PiTuningError as error:  # a full disk or a locked database passes; the runs are still there
                print(time.strftime("%F %T"), error, flush=True)
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
        supervisor.stop()
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


def ensure_supervisor(workspace: Workspace, *, idle_s: float = IDLE_SECONDS) -> bool:
    """Starts a supervisor that outlives this process, unless there is one; call it after queueing a run.

    Returns:
        whether one was started.
    """
    _started[:] = [process for process in _started if process.poll() is None]  # reaps those that have ended
    if supervisor_running(workspace):
        return False
    path = workspace.root / "supervisor.log"
    command = [sys.executable, "-P", "-m", "pituning.runs.supervisor"]
    try:
        with path.open("ab") as log:
            process = subprocess.Popen(
                [*command, "--workspace", str(workspace.root), "--idle", str(idle_s)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=_environment(),
            )  # fmt: skip
    except OSError as error:
        raise storage_error(error, path) from error
    _started.append(process)
    return True


def is_worker(pid: int, run_id: str) -> bool:
    """Whether the process is a worker of that run, and not one that has got its number since."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and {WORKER_MODULE, run_id} <= set(process.cmdline())
    except psutil.Error:
        return False


def _lock(workspace: Workspace) -> FileLock:
    return FileLock(workspace.root / "supervisor.lock")


def _environment() -> dict[str, str]:
    """Lets the child find this very package, also where it runs from a checkout."""
    package = str(Path(pituning.__file__).resolve().parent.parent)
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def _signal_group(pid: int, number: int) -> None:
    """Signals a worker's process group, which has the worker's number."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the worker was killed (often for lack of memory: choose fewer donors or a smaller batch)"
    if code < 0:
        return f"the worker was ended by {signal.Signals(-code).name}"
    return f"the worker ended with status {code} and no result"


def main(arguments: list[str] | None = None) -> int:
    """The process of a supervisor."""
    parser = argparse.ArgumentParser(prog="python -m pituning.runs.supervisor")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS)
    options = parser.parse_args(arguments)
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        supervise(Workspace.open(options.workspace), idle_s=options.idle, stop=stop)
    except BadInput as error:
        print(time.strftime("%F %T"), error, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
