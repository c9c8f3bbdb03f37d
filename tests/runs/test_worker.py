"""How a run ends, in process: the work is a function."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from pituning.errors import BadInput
from pituning.runs.worker import one_line, run_claimed

OUT_OF_MEMORY = "out of memory: choose fewer donors, fewer shots or a smaller batch, then retry"


@pytest.fixture
def running(queue, submit):
    submit()
    return queue.claim("me")


def test_a_result_is_written_and_found(queue, running, workspace):
    def work(run, _workspace, reporter):
        reporter.metric("pi", 1, {"score": 61.0})
        return {"score": 61.0}

    assert run_claimed(queue, running.claim, work) == "succeeded"
    assert queue.result_of(running.id) == {"score": 61.0, "run": running.id}
    path = workspace.root / queue.get(running.id).result_path
    assert json.loads(path.read_text())["score"] == 61.0
    assert queue.metrics_of(running.id)[0].value == 61.0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BadInput("task 'x' is unknown;\n did you mean 'y'?"), "task 'x' is unknown; did you mean 'y'?"),
        (MemoryError(), OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to"), OUT_OF_MEMORY),
        (OSError(28, "No space left on device"), "disk full: free some space, then retry"),
        (KeyError("a"), "unexpected KeyError: 'a'; the log has the details, retry may help"),
    ],
)
def test_a_failure_is_one_line_and_the_traceback_is_in_the_log(queue, running, capsys, error, line):
    def work(*_):
        raise error

    assert run_claimed(queue, running.claim, work) == "failed"
    run = queue.get(running.id)
    assert (run.state, run.error, run.result_path) == ("failed", line, None)
    assert one_line(error) == line
    assert "Traceback" in capsys.readouterr().err
    assert queue.result_of(running.id) is None


def report_for_ever(_run, _workspace, reporter):
    reporter.phase("train", 1000)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        reporter.advance()
        time.sleep(0.01)
    return {}


def test_cancel(queue, running):
    queue.cancel(running.id)
    assert run_claimed(queue, running.claim, report_for_ever) == "cancelled"
    assert queue.get(running.id).state == "cancelled"


def test_an_interrupted_run_goes_back_to_the_queue(queue, running):
    def work(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return report_for_ever(*arguments)

    before = signal.getsignal(signal.SIGTERM)
    assert run_claimed(queue, running.claim, work) == "queued"
    assert queue.get(running.id).state == "queued"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_worker_whose_run_was_taken_leaves_it_alone(queue, running):
    queue.lost(running.claim, "thought dead")
    other = queue.claim("other")
    assert run_claimed(queue, running.claim, report_for_ever) is None
    assert queue.get(running.id) == other


def test_a_result_that_is_no_json_fails_the_run(queue, running):
    assert run_claimed(queue, running.claim, lambda *_: {"score": float("nan")}) == "failed"
    assert "unexpected ValueError" in queue.get(running.id).error
