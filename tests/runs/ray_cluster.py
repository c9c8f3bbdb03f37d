"""A Ray cluster of the tests' own on this machine: a head that runs nothing, and nodes that can be killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

PATIENCE = 240.0
TRIES = 5  # Ray gives a head or a node half a minute to come up, which a busy machine may not manage at once
# A node that is gone is noticed within seconds instead of a minute; usage is told to nobody.
SETTINGS = {
    "RAY_health_check_initial_delay_ms": "3000", "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "10000", "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_AUTH_MODE": "token",
}  # fmt: skip


class LocalRay:
    """A running cluster; `environment` is what a client needs to be let in."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # Ray's sockets need a short path
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.nodes: list[psutil.Process] = []
        for attempt in range(TRIES):
            if self._start_head(f"head-{attempt}"):
                return
            kill_all(self._head)
        said = self._log(f"head-{attempt}")
        self.close()
        raise AssertionError(said)

    @property
    def address(self) -> str:
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.dashboard}"

    def _start_head(self, name: str) -> bool:
        self.port, self.dashboard = _free_port(), _free_port()
        self._head = self._start(
            name, "--head", f"--port={self.port}", f"--dashboard-port={self.dashboard}", "--num-cpus=0",
            f"--ray-client-server-port={_free_port()}",
            f"--temp-dir={self.directory}",
        )  # fmt: skip
        return self._is_up(name, self._head) and self._answers()

    def add_nodes(self, count: int) -> None:
        """Starts nodes of one CPU each until there are so many; `nodes` has the parents of all that runs on them.

        They start side by side, since each waits more than it works; one that did not come up in time has it easier
        the next time, when the others are there.
        """
        for attempt in range(TRIES):
            begun = [f"node-{attempt}-{number}" for number in range(count - len(self.nodes))]
            processes = [self._start(name, f"--address=127.0.0.1:{self.port}", "--num-cpus=1") for name in begun]
            for name, process in zip(begun, processes, strict=True):
                if self._is_up(name, process):
                    self.nodes.append(process)
                else:
                    kill_all(process)
            if len(self.nodes) == count:
                return
        raise AssertionError(self._log(begun[-1]))

    def _is_up(self, name: str, process: psutil.Process) -> bool:
        """Waits until what was started blocks, as it does when all is well, or has ended."""
        deadline = time.monotonic() + PATIENCE
        while _alive(process) and time.monotonic() < deadline:
            if "will now block forever" in self._log(name):
                return True
            time.sleep(0.5)
        return False

    def close(self) -> None:
        for process in [*self.nodes, self._head]:
            kill_all(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self, name: str, *options: str) -> psutil.Process:
        with (self.directory / f"{name}.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats",
                 "--node-ip-address=127.0.0.1", "--num-gpus=0", "--object-store-memory=80000000",
                 "--include-log-monitor=false", "--dashboard-agent-listen-port=0", *options],
                env={**os.environ, **SETTINGS, **self.environment}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return psutil.Process(process.pid)

    def _answers(self) -> bool:
        """Waits for the part that takes jobs, which comes up last; whether it did."""
        deadline = time.monotonic() + PATIENCE
        while _alive(self._head) and time.monotonic() < deadline:
            if self._takes_jobs():
                return True
            time.sleep(0.5)
        return False

    def _takes_jobs(self) -> bool:
        request = urllib.request.Request(
            f"{self.address}/api/version", headers={"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        )
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def _log(self, name: str) -> str:
        return (self.directory / f"{name}.txt").read_text(errors="replace")[-3000:]


def kill_all(process: psutil.Process) -> None:
    """Kills a process and all of its session and its descendants, as when a machine loses its power."""
    family = {process.pid}
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == process.pid:
                family.add(pid)
    with contextlib.suppress(psutil.Error):
        family |= {child.pid for child in process.children(recursive=True)}
    for number in (signal.SIGSTOP, signal.SIGKILL):  # first nobody may notice that others die
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
