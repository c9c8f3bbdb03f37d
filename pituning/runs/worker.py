"""Does one run in a process of its own: ``python -m pituning.runs.worker RUN --workspace W --owner O --attempt N``.

Standard output and error are the run's log. The outcome is in the database; the exit status only says whether this
process could write it there.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from pituning.errors import PiTuningError, RunCancelled
from pituning.runs.plans import expected_plan
from pituning.runs.queue import LostClaimError, RunQueue, checkpoint_dir
from pituning.runs.records import Claim, Run
from pituning.runs.reporter import DatabaseReporter
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace

Work = Callable[[Run, Workspace, DatabaseReporter], Mapping[str, Any]]

NICENESS = 5


def run_claimed(queue: RunQueue, claim: Claim, work: Work) -> str | None:
    """Does the work of a claimed run and writes down how it ended.

    Args:
        work: gives the run's result as plain JSON.

    Returns:
        the state the run was left in, or None when somebody else owns it by now.
    """
    run = queue.get(claim.run_id)
    workspace = queue.workspace
    try:
        queue.begin(claim, os.getpid())
        reporter = DatabaseReporter(queue, claim, plan=expected_plan(queue, run), log=sys.stdout)
        # SIGTERM comes from a supervisor that ends, or that loses its patience with a cancelled run.
        previous = signal.signal(signal.SIGTERM, lambda _number, _frame: reporter.interrupt())
        try:
            with reporter:
                result = dict(work(run, workspace, reporter))
            path = workspace.run_dir(run.id) / "result.json"
            write_json(path, {**result, "run": run.id})
        except (RunCancelled, KeyboardInterrupt) as error:
            print(error)
            if queue.get(run.id).cancel_requested:
                queue.finish(claim, "cancelled")
                return "cancelled"
            queue.release(claim)
            return "queued"
        except LostClaimError:
            raise
        except Exception as error:
            traceback.print_exc()
            queue.finish(claim, "failed", error=one_line(error))
            return "failed"
        finally:
            signal.signal(signal.SIGTERM, previous)
        queue.finish(claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
        return "succeeded"
    except LostClaimError as error:
        print(error)
        return None


def one_line(error: Exception) -> str:
    """What went wrong and what to do, in one line."""
    if isinstance(error, PiTuningError):
        return " ".join(str(error).split())
    text = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return "out of memory: choose fewer donors, fewer shots or a smaller batch, then retry"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk full: free some space, then retry"
    return f"unexpected {type(error).__name__}: {text or '(no message)'}; the log has the details, retry may help"


def work_on(run: Run, workspace: Workspace, reporter: DatabaseReporter) -> Mapping[str, Any]:
    """The work of a run by its kind; what needs torch is imported only now."""
    reporter.phase("load the libraries", 1)
    from pituning.runs import jobs

    reporter.advance()
    checkpoint = checkpoint_dir(workspace, run.id)
    checkpoint.mkdir(parents=True, exist_ok=True)
    result = jobs.JOBS[run.kind](run.spec.settings(), workspace, reporter, checkpoint)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return result


def main(arguments: list[str] | None = None) -> int:
    """The process of a worker."""
    parser = argparse.ArgumentParser(prog="python -m pituning.runs.worker")
    parser.add_argument("run")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--owner", required=True)
    parser.add_argument("--attempt", type=int, required=True)
    options = parser.parse_args(arguments)
    if hasattr(os, "nice"):
        # Training takes every core for minutes; the app's pages, which need one for moments, should not wait for it.
        # Now, because threads that torch starts later inherit it.
        os.nice(NICENESS)
    queue = RunQueue(Workspace.open(options.workspace))
    claim = Claim(options.run, options.owner, options.attempt)
    state = run_claimed(queue, claim, work_on)
    print(f"run {options.run}: {state or 'lost'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
