"""Processes of workers: started in a group of their own, told from others with their number, and ended. Torch-free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

import psutil

from pituning.runs.records import Claim
from pituning.workspace.bounded import child_environment
from pituning.workspace.layout import Workspace

WORKER_MODULE = "pituning.runs.worker"
STORAGE_STATUS = 75
"""The exit status of a worker that could not write down how its run ended."""

SAME_SECONDS = 2.0
"""How far two readings of the time at which one process was started may differ."""


def start_worker(workspace: Workspace, claim: Claim, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts the worker of a claimed run; its output is the end of the run's log.

    Args:
        environment: added to the present one, for example which GPU to use.

    Raises:
        OSError: it could not be started.
    """
    directory = workspace.run_dir(claim.run_id)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER_MODULE, claim.run_id, "--workspace", str(workspace.root),
             "--owner", claim.owner, "--attempt", str(claim.attempt)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**child_environment(), **environment},
        )  # fmt: skip


def created_at(pid: int) -> float | None:
    """When a process was started, in seconds since the epoch; None when there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def is_worker(pid: int, run_id: str, created: float | None = None) -> bool:
    """Whether the process is a worker of that run, and not one that has got its number since.

    Args:
        created: when the worker was started, where that is known.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or not {WORKER_MODULE, run_id} <= set(process.cmdline()):
            return False
        return created is None or abs(process.create_time() - created) < SAME_SECONDS
    except psutil.Error:
        return False


def signal_group(pid: int, number: int) -> None:
    """Signals a worker's process group, which has the worker's number. The worker must be known to be alive."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_leftovers(pid: int) -> None:
    """Kills what a dead worker has left behind in its session, and nothing else.

    A session's number is not given to anybody else while one of its processes lives; where a process has that number
    by now, the worker left nothing behind.
    """
    if psutil.pid_exists(pid):
        return
    for other in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(other) == pid:
                os.kill(other, signal.SIGKILL)


def how_it_ended(code: int) -> str:
    """The exit status of a worker in words."""
    if code == -signal.SIGKILL:
        return "the worker was killed (often for lack of memory: choose fewer donors or a smaller batch)"
    if code < 0:
        return f"the worker was ended by {signal.Signals(-code).name}"
    if code == STORAGE_STATUS:
        return "the worker could not write down how the run ended"
    return f"the worker ended with status {code} and no result"
