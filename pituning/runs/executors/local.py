"""Workers as processes of this machine, each in a process group of its own. Torch-free."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pituning.runs.executors.base import Gone, Standing, Started
from pituning.runs.processes import (
    STORAGE_STATUS,
    created_at,
    end_leftovers,
    how_it_ended,
    is_worker,
    lock_path,
    mark_of,
    signal_group,
    start_worker,
)
from pituning.runs.records import Claim, Run
from pituning.runs.slots import Slot, make_slots
from pituning.workspace.holding import held
from pituning.workspace.layout import Workspace
from pituning.workspace.space import disk_full

END_SECONDS = 10.0
"""Workers have this long to end with their supervisor."""


@dataclass
class _Child:
    claim: Claim
    process: subprocess.Popen[bytes]


class LocalExecutor:
    """Processes of this machine. Those of an earlier supervisor are found by the number that their run has, and told
    from others by the lock that they hold, which lies in the workspace itself.

    Args:
        workspace: whose runs they do.
        slots: where runs are done, one each at a time; by default what `make_slots` finds.
    """

    def __init__(self, workspace: Workspace, *, slots: Sequence[Slot] | None = None):
        self.workspace = workspace
        self.slots = list(slots or make_slots())
        self.host = socket.gethostname()
        self._children: dict[Claim, _Child] = {}

    @property
    def places(self) -> Sequence[str]:
        return [slot.name for slot in self.slots]

    def free(self, under_way: Sequence[Run]) -> Sequence[Slot]:
        here = [run for run in under_way if run.host in (None, self.host)]
        taken = [run.slot for run in here]
        free = [slot for slot in self.slots if slot.name not in taken]
        # Runs of an earlier supervisor with other slots count as well.
        return free[: max(0, len(self.slots) - len(here))]

    def start(self, run: Run, slot: Slot) -> Started:
        process = start_worker(self.workspace, run.claim, slot.environment)
        self._children[run.claim] = _Child(run.claim, process)
        return Started(process.pid, created_at(process.pid))

    def standing(self, run: Run) -> Standing | Gone:
        child = self._children.get(run.claim)
        if child is not None:
            code = child.process.poll()
            if code is None:
                return Standing.ALIVE
            self._clear(run.claim, child.process.pid)
            excused = code == STORAGE_STATUS and disk_full(self.workspace.root) is not None
            return Gone(how_it_ended(code), excuse="the disk was full" if excused else None)
        if run.pid is None or run.host not in (None, self.host):
            return Standing.UNSEEN
        if self._is_held(run.claim) is not False:
            if is_worker(run.pid, run.claim, run.pid_created):
                return Standing.ALIVE
            end_leftovers(run.pid, mark_of(self.workspace, run.claim))
            if self._is_held(run.claim):
                return Standing.UNSEEN  # its processes have other numbers here, as in another container
        self._clear(run.claim, run.pid)
        return Gone("the worker is gone")

    def end(self, run: Run, *, at_once: bool) -> None:
        child = self._children.get(run.claim)
        number = signal.SIGKILL if at_once else signal.SIGTERM
        if child is not None:
            if child.process.poll() is None:
                signal_group(child.process.pid, number)
        elif run.pid is not None and self._is_held(run.claim) is not False and is_worker(run.pid, run.claim):
            signal_group(run.pid, number)

    def tidy(self, running: Collection[Claim]) -> bool:
        for claim, child in list(self._children.items()):
            if claim not in running and child.process.poll() is not None:
                self._clear(claim, child.process.pid)
                del self._children[claim]
        return any(child.process.poll() is None for child in self._children.values())

    def stop(self) -> Sequence[Claim]:
        for child in self._children.values():
            if child.process.poll() is None:
                signal_group(child.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        for child in self._children.values():
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                signal_group(child.process.pid, signal.SIGKILL)
                child.process.wait()
            self._clear(child.claim, child.process.pid)
        ended = list(self._children)
        self._children.clear()
        return ended

    def _is_held(self, claim: Claim) -> bool | None:
        """Whether somebody holds the lock of a claim's worker: in a copy of a workspace nobody does."""
        return held(lock_path(self.workspace, claim))

    def _clear(self, claim: Claim, pid: int) -> None:
        """Ends what a worker that has ended left behind, and forgets its lock."""
        end_leftovers(pid, mark_of(self.workspace, claim))
        with suppress(OSError):
            lock_path(self.workspace, claim).unlink(missing_ok=True)
