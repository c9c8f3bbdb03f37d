"""Does a run in the queue and shows it: the same path as the app's, so the app shows what a terminal started."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pituning.commands.progress import StatusLine, duration, status_line
from pituning.errors import RunCancelled, RunFailed

if TYPE_CHECKING:
    from pituning.runs.queue import RunQueue
    from pituning.runs.records import Run
    from pituning.runs.spec import RunSpec
    from pituning.workspace.layout import Workspace

POLL_SECONDS = 0.5
NUDGE_SECONDS = 10.0
IDLE_SECONDS = 15.0
"""A supervisor that a command starts ends soon after its work; the app's stays longer."""

STOP_SECONDS = 40.0
"""How long Ctrl-C waits for the run to end; its worker is killed before that."""


def submit(workspace: Workspace, spec: RunSpec) -> str:
    """Queues a run and makes sure that somebody works on it; returns its id."""
    from pituning.runs.queue import RunQueue
    from pituning.runs.supervisor import ensure_supervisor

    run_id = RunQueue(workspace).submit(spec)
    ensure_supervisor(workspace, idle_s=IDLE_SECONDS)
    return run_id


Early = Callable[[dict[str, Any]], str | None]
"""What to say of what a run has found so far (`RunStore.partial_of`); None where that says too little yet."""


def follow(workspace: Workspace, run_id: str, early: Early | None = None) -> dict[str, Any]:
    """Shows a run on stderr until it ends; returns its result.

    Args:
        early: words that are shown once, as soon as there are any.

    Raises:
        RunFailed: with the run's own words.
        RunCancelled: when somebody cancelled it.
        KeyboardInterrupt: on Ctrl-C, once the run has been cancelled.
    """
    from pituning.runs.queue import RunQueue

    queue = RunQueue(workspace)
    try:
        with status_line() as line:
            run = _watch(queue, run_id, line, early)
    except KeyboardInterrupt:
        _stop(queue, run_id)
        raise
    if run.state == "failed":
        raise RunFailed(f"run {run_id} failed: {run.error}" + (f"; {run.fix}" if run.fix else ""))
    if run.state == "cancelled":
        raise RunCancelled(f"run {run_id} was cancelled; go on with: pituning runs resume {run_id}")
    return queue.result_of(run_id) or {}


def _watch(queue: RunQueue, run_id: str, line: StatusLine, early: Early | None) -> Run:
    from pituning.runs.supervisor import ensure_supervisor

    printed, nudge = 0, time.monotonic() + NUDGE_SECONDS
    while True:
        run = queue.get(run_id)
        events = queue.events_of(run_id)
        for event in events[printed:]:
            line.log(event.message)
        printed = len(events)
        if not run.active:
            return run
        partial = None if early is None else queue.partial_of(run_id)
        words = early(partial) if early is not None and partial is not None else None
        if words is not None:
            line.log(words)
            early = None
        if time.monotonic() > nudge:  # a supervisor that was killed is replaced
            ensure_supervisor(queue.workspace, idle_s=IDLE_SECONDS)
            nudge = time.monotonic() + NUDGE_SECONDS
        line.show(_words(queue, run), run.fraction())
        time.sleep(POLL_SECONDS)


def _words(queue: RunQueue, run: Run) -> str:
    from pituning.runs.waiting import waits_for

    if run.state == "queued":
        return waits_for(queue).get(run.id, "starting")
    words = f"{run.phase} {run.done}/{run.total}" if run.phase else "loading the backbone"
    return f"{words}, {duration(run.eta_s)} left in all" if run.eta_s is not None else words


def _stop(queue: RunQueue, run_id: str) -> None:
    queue.cancel(run_id)
    deadline = time.monotonic() + STOP_SECONDS
    while queue.get(run_id).active and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
