"""Processes of workers: started in a group of their own, told from others with their number, and ended. Torch-free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from pituning.runs.records import Claim
from pituning.workspace.bounded import child_environment
from pituning.workspace.holding import take
from pituning.workspace.layout import Workspace

WORKER_MODULE = "pituning.runs.worker"
STORAGE_STATUS = 75
"""The exit status of a worker that could not write down how its run ended."""

MARK_VARIABLE = "PITUNING_WORKER"
"""What a worker and all that it starts have in their environment: whose claim of which workspace they are for."""

SAME_SECONDS = 2.0
"""How far two readings of the time at which one process was started may differ."""


def start_worker(workspace: Workspace, claim: Claim, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts the worker of a claimed run, which holds `lock_path` while it lives; its output is the end of the log.

    Args:
        environment: added to the present one, for example which GPU to use.

    Raises:
        OSError: it could not be started.
    """
    directory = workspace.run_dir(claim.run_id)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "log.txt").open("ab") as log, lock_path(workspace, claim).open("ab") as lock:
        take(lock.fileno(), wait=True)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER_MODULE, claim.run_id, "--workspace", str(workspace.root),
             "--owner", claim.owner, "--attempt", str(claim.attempt), "--lock", str(lock.fileno())],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            pass_fds=[lock.fileno()],
            env={**child_environment(), **environment, MARK_VARIABLE: mark_of(workspace, claim)},
        )  # fmt: skip


def lock_path(workspace: Workspace, claim: Claim) -> Path:
    """The file whose lock the worker of a claim holds: one that nobody holds has no worker."""
    return workspace.run_dir(claim.run_id) / f"worker-{claim.attempt}.lock"


def mark_of(workspace: Workspace, claim: Claim) -> str:
    """The value of `MARK_VARIABLE`."""
    return f"{claim.owner} {claim.run_id} {claim.attempt} {workspace.root}"


def created_at(pid: int) -> float | None:
    """When a process was started, on Linux in seconds since the machine was, which no setting of the clock changes.

    None when there is no such process.
    """
    try:
        if sys.platform.startswith("linux"):
            after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return int(after_name[19]) / os.sysconf("SC_CLK_TCK")
        return psutil.Process(pid).create_time()
    except (psutil.Error, OSError, LookupError, ValueError):
        return None


def is_worker(pid: int, claim: Claim, created: float | None = None) -> bool:
    """Whether the process is the worker of that claim, and not one that has got its number since.

    Args:
        created: when the worker was started as `created_at` gives it, where that is known.
    """
    try:
        process = psutil.Process(pid)
        words = {WORKER_MODULE, claim.run_id, claim.owner, str(claim.attempt)}
        if process.status() == psutil.STATUS_ZOMBIE or not words <= set(process.cmdline()):
            return False
    except psutil.Error:
        return False
    now = created_at(pid)
    return created is None or (now is not None and abs(now - created) < SAME_SECONDS)


def signal_group(pid: int, number: int) -> None:
    """Signals a worker's process group, which has the worker's number. The worker must be known to be alive."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_leftovers(pid: int, mark: str) -> None:
    """Kills what a dead worker has left behind in its session, and nothing else.

    Args:
        pid: of the worker, which is the number of its session, too.
        mark: what `mark_of` gave it: others may have a session of that number by now.
    """
    if psutil.pid_exists(pid):
        return
    for other in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(other) == pid and psutil.Process(other).environ().get(MARK_VARIABLE) == mark:
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
