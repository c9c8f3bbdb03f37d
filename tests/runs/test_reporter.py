from __future__ import annotations

import io
import time

import pytest

from pituning.errors import RunCancelled, RunFailed
from pituning.runs import reporter as reporter_module
from pituning.runs.plans import expected_plan, load_plan
from pituning.runs.queue import LostClaimError
from pituning.runs.reporter import WRITE_SECONDS, DatabaseReporter


@pytest.fixture
def running(queue, submit):
    submit()
    return queue.claim("me")


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def work_until(reporter, error):
    """Reports until the error comes, as work does."""
    with pytest.raises(error) as caught:
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            reporter.advance()
            time.sleep(0.01)
    return caught.value


def test_everything_arrives_and_little_is_written(queue, running, monkeypatch):
    writes = 0
    report = queue.report

    def counting(*args, **kwargs):
        nonlocal writes
        writes += 1
        return report(*args, **kwargs)

    monkeypatch.setattr(queue, "report", counting)
    log = io.StringIO()
    began = time.monotonic()
    with DatabaseReporter(queue, running.claim, log=log) as reporter:
        reporter.phase("train pi", 400)
        for step in range(400):
            reporter.curve("pi", step, {"loss": 1.0, "score": float(step)})
            reporter.alpha(step, ["s"], ["own", "donor"], [[0.5, 0.5]])
            reporter.advance()
        reporter.log("two\nlines")
    assert writes <= (time.monotonic() - began) / WRITE_SECONDS + 2
    assert len([point for point in queue.curves_of(running.id) if point.series == "pi"]) == 800
    assert len(queue.alphas_of(running.id)) == 400
    assert queue.events_of(running.id)[-1].message == "two lines"
    run = queue.get(running.id)
    assert (run.phase, run.done, run.total) == ("train pi", 400, 400)
    assert "train pi (400 steps)" in log.getvalue()
    assert "two lines" in log.getvalue()


def test_a_request_to_stop_reaches_the_work(queue, running):
    with DatabaseReporter(queue, running.claim) as reporter:
        reporter.phase("train", 10)
        queue.cancel(running.id)
        began = time.monotonic()
        work_until(reporter, RunCancelled)
        assert time.monotonic() - began < 20.0


def test_a_lost_claim_stops_the_work(queue, running):
    with DatabaseReporter(queue, running.claim) as reporter:
        reporter.phase("train", 10)
        queue.lost(running.claim, "thought dead")
        work_until(reporter, LostClaimError)


def test_heartbeats_come_while_the_work_is_silent(queue, running):
    before = queue.get(running.id).heartbeat
    with DatabaseReporter(queue, running.claim):
        wait_for(lambda: queue.get(running.id).heartbeat > before)


def test_a_database_that_cannot_be_written_fails_the_run_in_the_end(queue, running, monkeypatch):
    def full(*_args, **_kwargs):
        raise RunFailed("disk full")

    monkeypatch.setattr(queue, "report", full)
    monkeypatch.setattr(reporter_module, "PATIENCE_SECONDS", 0.1)
    with DatabaseReporter(queue, running.claim) as reporter:
        reporter.phase("train", 10)
        assert "progress could not be saved: disk full" in str(work_until(reporter, RunFailed))


def test_what_could_not_be_written_is_written_later(queue, running, monkeypatch):
    report, failures = queue.report, [True]

    def flaky(*args, **kwargs):
        if failures:
            failures.pop()
            raise RunFailed("database is locked")
        return report(*args, **kwargs)

    monkeypatch.setattr(queue, "report", flaky)
    with DatabaseReporter(queue, running.claim) as reporter:
        reporter.curve("pi", 1, {"loss": 1.0})
        wait_for(lambda: not failures)
    assert [point.name for point in queue.curves_of(running.id) if point.series == "pi"] == ["loss"]


def test_memory_is_a_curve_of_the_attempt(queue, running):
    held = bytearray(50 * 2**20)
    with DatabaseReporter(queue, running.claim):
        pass
    (point,) = queue.curves_of(running.id)
    assert (point.series, point.name) == ("system", "memory_mib")
    assert len(held) / 2**20 < point.value < 16_000
    with DatabaseReporter(queue, running.claim):  # the next attempt: its curve takes the place of the old one
        pass
    assert len(queue.curves_of(running.id)) == 1


def test_the_plan_of_a_run_serves_its_next_attempt(queue, running, workspace):
    assert "train single" in [p.name for p in expected_plan(queue, running)]
    with DatabaseReporter(queue, running.claim) as reporter:
        reporter.phase("train", 4)
        for _ in range(4):
            time.sleep(0.02)
            reporter.advance()
        reporter.phase("test", 2)
        reporter.advance(2)
    kept = load_plan(workspace, running.id)
    assert [(p.name, p.total) for p in kept] == [("train", 4), ("test", 2)]
    assert kept[0].seconds >= 0.08
    assert expected_plan(queue, running) == kept
