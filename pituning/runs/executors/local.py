"""Workers as processes of this machine, each in a process group of its own. Torch-free."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pituning.runs.executors.base import Gone, Standing, Started
from pituning.runs.processes import (
    STORAGE_STATUS,
    created_at,
    end_leftovers,
    how_it_ended,
    is_worker,
    signal_group,
    start_worker,
)
from pituning.runs.records import Claim, Run
from pituning.runs.slots import Slot, make_slots
from pituning.workspace.layout import Workspace
from pituning.workspace.space import disk_full

END_SECONDS = 10.0
"""Workers have this long to end with their supervisor."""


@dataclass
class _Child:
    claim: Claim
    process: subprocess.Popen[bytes]


class LocalExecutor:
    """Processes of this machine; those of an earlier supervisor are found by the number that their run has.

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
            end_leftovers(child.process.pid)
            excused = code == STORAGE_STATUS and disk_full(self.workspace.root) is not None
            return Gone(how_it_ended(code), excuse="the disk was full" if excused else None)
        if run.pid is None or run.host not in (None, self.host):
            return Standing.UNSEEN
        if is_worker(run.pid, run.id, run.pid_created):
            return Standing.ALIVE
        end_leftovers(run.pid)
        return Gone("the worker is gone")

    def end(self, run: Run, *, at_once: bool) -> None:
        child = self._children.get(run.claim)
        pid = child.process.pid if child is not None else run.pid
        if pid is not None:
            signal_group(pid, signal.SIGKILL if at_once else signal.SIGTERM)

    def tidy(self, running: Collection[Claim]) -> bool:
        for claim, child in list(self._children.items()):
            if claim not in running and child.process.poll() is not None:
                end_leftovers(child.process.pid)
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
        ended = list(self._children)
        self._children.clear()
        return ended
