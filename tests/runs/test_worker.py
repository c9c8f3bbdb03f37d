"""How a run ends, in process: the work is a function."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from pituning.errors import ArtefactError, BackboneMismatch, BadInput, DiskFull, Diverged, OutOfMemory
from pituning.runs import worker
from pituning.runs.attempts import take_over
from pituning.runs.queue import MAX_ATTEMPTS
from pituning.runs.spec import RunSpec
from pituning.runs.worker import run_claimed
from pituning.workspace.space import LEAST_FREE_VARIABLE


@pytest.fixture
def running(queue, submit):
    submit()
    return queue.claim("me")


def test_a_result_is_written_and_found(queue, running, workspace):
    def work(run, _workspace, reporter):
        reporter.curve("pi", 1, {"score": 61.0})
        return {"score": 61.0}

    assert run_claimed(queue, running.claim, work) == "succeeded"
    assert queue.result_of(running.id) == {"score": 61.0, "run": running.id}
    path = workspace.root / queue.get(running.id).result_path
    assert json.loads(path.read_text())["score"] == 61.0
    assert [point.value for point in queue.curves_of(running.id) if point.series == "pi"] == [61.0]


@pytest.mark.parametrize(("kind", "subject", "kept"), [("tune", "target", True), ("train", "task", False)])
def test_what_can_grow_keeps_what_it_goes_on_from(queue, workspace, kind, subject, kept):
    run_id = queue.submit(RunSpec(kind=kind, config={subject: "digits"}))
    checkpoint = []

    def work(run, workspace, _reporter):
        checkpoint.append(take_over(workspace.run_dir(run.id), run.attempt))
        return {}

    assert run_claimed(queue, queue.claim("me").claim, work) == "succeeded"
    assert queue.get(run_id).state == "succeeded"
    assert checkpoint[0].exists() == kept


@pytest.mark.parametrize(
    ("error", "kind", "line", "fix"),
    [
        (BadInput("task 'x' is unknown;\n try 'y'"), "bad_input", "task 'x' is unknown; try 'y'", "--set NAME=VALUE"),
        (MemoryError(), "out_of_memory", "out of memory", "a smaller batch"),
        (RuntimeError("CUDA out of memory. Tried to"), "out_of_memory", "out of memory", "a smaller batch"),
        (OutOfMemory("32 do not fit", batch_size=4), "out_of_memory", "32 do not fit", "a batch of 4 fits"),
        (Diverged("loss is nan at step 3"), "nan_loss", "loss is nan at step 3", "--set learning_rate="),
        (BackboneMismatch("made on another"), "backbone_mismatch", "made on another", "its backbone"),
        (ArtefactError("x has another SHA-256"), "artefact", "x has another SHA-256", "restore that file"),
        (KeyError("a"), "unexpected", "unexpected KeyError: 'a'", "pituning runs retry"),
    ],
)
def test_a_failure_has_a_class_a_line_and_a_fix(queue, running, capsys, error, kind, line, fix):
    def work(*_):
        raise error

    assert run_claimed(queue, running.claim, work) == "failed"
    run = queue.get(running.id)
    assert (run.state, run.failure, run.error, run.result_path) == ("failed", kind, line, None)
    assert fix in run.fix
    assert "Traceback" in capsys.readouterr().err
    assert queue.result_of(running.id) is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), DiskFull("disk full while writing x")])
def test_a_full_disk_sends_the_run_back_until_there_is_room(queue, running, monkeypatch, error):
    def work(*_):
        raise error

    monkeypatch.setenv(LEAST_FREE_VARIABLE, "1e12")  # as if the disk were full
    assert run_claimed(queue, running.claim, work) == "queued"
    run = queue.get(running.id)
    assert run.max_attempts - run.attempt == MAX_ATTEMPTS  # the attempt does not count
    monkeypatch.setenv(LEAST_FREE_VARIABLE, "0")
    for left in (2, 1, 0):  # there is room, but not for this run: it is given up in the end
        state = run_claimed(queue, queue.claim("me").claim, work)
        assert state == ("queued" if left else "failed")
    run = queue.get(running.id)
    assert run.failure == "disk_full"
    assert "free some space" in run.fix


def test_a_worker_insists_on_writing_down_how_the_run_ended(queue, running, monkeypatch):
    monkeypatch.setattr(worker, "INSIST_SECONDS", 0.0)
    finish, refusals = queue.finish, [1, 2, 3]

    def locked(*args, **kwargs):
        if refusals:
            refusals.pop()
            raise ArtefactError("studio.db stayed locked for 30 s")
        return finish(*args, **kwargs)

    monkeypatch.setattr(queue, "finish", locked)
    assert run_claimed(queue, running.claim, lambda *_: {"score": 1.0}) == "succeeded"
    assert queue.get(running.id).state == "succeeded"


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


def test_a_run_has_succeeded_only_when_all_points_are_saved(queue, running, monkeypatch):
    """The database goes away just before the work ends, and comes back."""
    monkeypatch.setattr(worker, "INSIST_SECONDS", 0.0)
    report, away = queue.report, []

    def work(_run, _workspace, reporter):
        for step in range(100):
            if step == 14:
                away.extend(range(4))
            reporter.curve("pi", step, {"loss": 1.0})
        return {"score": 1.0}

    def flaky(*args, **kwargs):
        if away:
            away.pop()
            raise ArtefactError("postgresql://studio cannot be reached")
        return report(*args, **kwargs)

    monkeypatch.setattr(queue, "report", flaky)
    assert run_claimed(queue, running.claim, work) == "succeeded"
    assert [point.step for point in queue.curves_of(running.id) if point.series == "pi"] == list(range(100))


def test_a_run_that_reported_what_cannot_be_saved_has_failed(queue, running, monkeypatch):
    report = queue.report

    def refuse(claim, *, metrics=(), **rest):
        if any(point.series == "pi" for point in metrics):
            raise OverflowError("too large")
        return report(claim, metrics=metrics, **rest)

    monkeypatch.setattr(queue, "report", refuse)

    def work(_run, _workspace, reporter):
        reporter.curve("pi", 1, {"loss": 1.0})
        return {}

    assert run_claimed(queue, running.claim, work) == "failed"
    assert "progress could not be saved: OverflowError: too large" in queue.get(running.id).error
