"""Does one run in a process of its own: ``python -m pituning.runs.worker RUN --workspace W --owner O --attempt N``.

Standard output and error are the run's log. The outcome is in the database; the exit status only says whether this
process could write it there.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from pituning.errors import BadInput, PiTuningError, RunCancelled
from pituning.registry import load
from pituning.runs import failures
from pituning.runs.attempts import remove_checkpoints, take_over
from pituning.runs.eta import PlannedPhase
from pituning.runs.plans import expected_plan
from pituning.runs.processes import STORAGE_STATUS, created_at, lock_path
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.records import Claim, Run
from pituning.runs.reporter import PATIENCE_SECONDS, DatabaseReporter
from pituning.runs.trackers.following import followed
from pituning.workspace.atomic import clear_unfinished, write_json
from pituning.workspace.layout import Workspace
from pituning.workspace.space import disk_full

Work = Callable[[Run, Workspace, DatabaseReporter], Mapping[str, Any]]
Outcome = TypeVar("Outcome")

NICENESS = 5
INSIST_SECONDS = 1.0


def run_claimed(queue: RunQueue, claim: Claim, work: Work) -> str | None:
    """Does the work of a claimed run and writes down how it ended.

    Args:
        work: gives the run's result as plain JSON.

    Returns:
        the state the run was left in, or None when somebody else owns it by now.

    Raises:
        PiTuningError: how it ended could not be written down, for as long as there is patience.
    """
    run = queue.get(claim.run_id)
    workspace = queue.workspace
    try:
        own = (os.getpid(), created_at(os.getpid()), socket.gethostname())
        _insist(lambda: queue.begin(claim, own[0], pid_created=own[1], host=own[2]))
        reporter = DatabaseReporter(queue, claim, plan=_plan(queue, run), log=sys.stdout)
        _insist(reporter.recover)
        # SIGTERM comes from a supervisor that ends, or that loses its patience with a cancelled run.
        previous = signal.signal(signal.SIGTERM, lambda _number, _frame: reporter.interrupt())
        try:
            with reporter:
                result = dict(work(run, workspace, reporter))
                reporter.check_place()
                path = workspace.run_dir(run.id) / "result.json"
                write_json(path, {**result, "run": run.id})
        except (RunCancelled, KeyboardInterrupt) as error:
            _say(str(error))
            return _end(reporter, lambda: _give_back(queue, claim))
        except LostClaimError:
            raise
        except Exception as error:
            with suppress(OSError):  # the log may be on a full disk, too
                traceback.print_exc()
            failure = failures.failure_of(error, run.id, run_kind=run.kind)
            return _end(reporter, lambda: _fail(queue, claim, failure))
        finally:
            signal.signal(signal.SIGTERM, previous)
        where = str(path.relative_to(workspace.root))
        state = _end(reporter, lambda: _succeed(queue, claim, where, reporter.refused))
        if state == "succeeded" and run.spec.record.grows is None:
            remove_checkpoints(workspace.run_dir(run.id))  # not before: they might be needed again
        return state
    except LostClaimError as error:
        _say(str(error))
        return None


def _plan(queue: RunQueue, run: Run) -> Sequence[PlannedPhase]:
    try:
        return expected_plan(queue, run)
    except PiTuningError:
        return ()  # an estimate is not worth a failure; what is wrong with the run shows when it is done


def _end(reporter: DatabaseReporter, write: Callable[[], str]) -> str:
    """Writes down how a run ended, once everything that it has reported is written."""

    def both() -> str:
        reporter.flush()
        return write()

    return _insist(both)


def _succeed(queue: RunQueue, claim: Claim, where: str, refused: PiTuningError | None) -> str:
    if refused is not None:  # something that it reported can be held by no database
        return _fail(queue, claim, failures.failure_of(refused, claim.run_id))
    queue.finish(claim, "succeeded", result_path=where)
    return "succeeded"


def _give_back(queue: RunQueue, claim: Claim) -> str:
    if queue.get(claim.run_id).cancel_requested:
        queue.finish(claim, "cancelled")
        return "cancelled"
    queue.release(claim)
    return "queued"


def _fail(queue: RunQueue, claim: Claim, failure: failures.Failure) -> str:
    if failure.failure_class == failures.DISK_FULL:
        # The queue pauses while there is no room, and the run goes on afterwards.
        if disk_full(queue.workspace.root) is not None:
            queue.release(claim, f"{failure.error}")
            return "queued"
        return queue.lost(claim, failure.error, failure=failure.failure_class, fix=failure.fix)
    queue.finish(claim, "failed", failure=failure.failure_class, error=failure.error, fix=failure.fix)
    return "failed"


def _insist(write: Callable[[], Outcome]) -> Outcome:
    """Tries again while the database cannot be written: a lock or a full disk passes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return write()
        except LostClaimError:
            raise
        except PiTuningError as error:
            if time.monotonic() > deadline:
                raise
            _say(f"{error}; trying again")
            time.sleep(INSIST_SECONDS)


def _say(line: str) -> None:
    with suppress(OSError):
        print(line, flush=True)


def work_on(run: Run, workspace: Workspace, reporter: DatabaseReporter) -> Mapping[str, Any]:
    """The work of a run by its kind."""
    if run.damage is not None:
        raise BadInput(run.damage)
    reporter.phase("load the libraries", 1)
    job = load(run.spec.record.job)  # what needs torch is imported no sooner
    gc.freeze()
    gc.enable()
    reporter.advance()
    run_dir = workspace.run_dir(run.id)
    clear_unfinished(run_dir)  # of an attempt that was killed while it wrote
    checkpoint = take_over(run_dir, run.attempt)
    with followed(run, workspace, reporter) as followed_reporter:
        return job(run.spec.settings(), workspace, followed_reporter, checkpoint)


def main(arguments: list[str] | None = None) -> int:
    """The process of a worker."""
    parser = argparse.ArgumentParser(prog="python -m pituning.runs.worker")
    parser.add_argument("run")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--owner", required=True)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--lock", type=int, help="An open file whose lock this process holds while it lives.")
    options = parser.parse_args(arguments)
    gc.disable()  # until libraries are imported, of which nothing is garbage: to look for it takes a third of the time
    if hasattr(os, "nice"):
        # Training takes every core for minutes; the app's pages, which need one for moments, should not wait for it.
        # Now, because threads that torch starts later inherit it.
        os.nice(NICENESS)
    claim = Claim(options.run, options.owner, options.attempt)
    if options.lock is not None:
        os.set_inheritable(options.lock, False)  # it is this process's, and not that of others which it starts
    try:
        workspace = Workspace.open(options.workspace)
        state = run_claimed(RunQueue(workspace), claim, work_on)
        with suppress(OSError):
            lock_path(workspace, claim).unlink(missing_ok=True)
    except PiTuningError as error:
        _say(str(error))
        return STORAGE_STATUS
    _say(f"run {options.run}: {state or 'lost'}")
    return 0


def leave(status: int) -> NoReturn:
    """Ends the process at once: an interpreter with torch takes seconds, while the run may be another’s already."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
