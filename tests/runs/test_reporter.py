from __future__ import annotations

import io
import itertools
import math
import time
from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pituning.errors import BadInput, RunCancelled, RunFailed
from pituning.runs import reporter as reporter_module
from pituning.runs.attempts import CHECKPOINT, take_over
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


BOTH = pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
SHARED = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def do_steps(reporter, first: int, last: int, happens, full=()) -> None:
    """Work of two curves and weights: each number of step is drawn upon for what happens after it.

    Args:
        full: the steps in which no file takes anything.
    """
    put = reporter._unsaved._put
    for step in range(first, last):
        reporter._unsaved._put = put if step not in full else lambda _number, _line: False
        reporter.curve("a", step, {"loss": step / 7})
        if step % 3 == 0:
            reporter.curve("b", step, {"score": float(step), "nan": math.nan})
            reporter.alpha(step, ["s"], ["own", "donor"], [[step / 40, 1 - step / 40]])
        happens(step, reporter)


@BOTH
@SHARED
@given(
    kills=st.lists(st.tuples(st.integers(1, 39), st.booleans()), max_size=4),
    writes=st.sets(st.integers(0, 39)),
    every=st.integers(1, 12),
    full=st.sets(st.integers(0, 39)),
)
def test_no_point_is_lost_or_doubled_by_kills(queue, submit, kills, writes, every, full):
    """Killed after any steps, before or after any commit, with a disk that is full at times: the curves are those of
    work that nobody disturbed.
    """
    run_id = submit(max_attempts=9)
    saved = 0

    def happens(step, reporter):
        nonlocal saved
        if step in full:
            return
        if step in writes:
            reporter.flush()
        if (step + 1) % every == 0:
            reporter.advance(0)  # as a training does before it saves
            saved = step + 1

    for killed_after, committed in [*kills, (None, True)]:
        claim = queue.claim("me").claim
        reporter = DatabaseReporter(queue, claim)
        reporter.recover()
        do_steps(reporter, saved, 40 if killed_after is None else max(killed_after, saved), happens, full)
        if killed_after is None:
            reporter.flush()
        else:
            if committed:  # and killed before it knew
                reporter._unsaved.drop = lambda _number: None
                reporter.flush()
            queue.lost(claim, "killed")
    curves = [p for p in queue.curves_of(run_id) if p.series != "system"]
    assert sorted((p.series, p.step, p.name, p.value) for p in curves) == sorted(
        [("a", step, "loss", step / 7) for step in range(40)]
        + [("b", step, "score", float(step)) for step in range(0, 40, 3)]
    )
    assert [alpha.step for alpha in queue.alphas_of(run_id)] == list(range(0, 40, 3))
    queue.finish(claim, "cancelled")
    assert list((queue.workspace.run_dir(run_id) / CHECKPOINT).glob("unsaved-*")) == []


def test_what_a_worker_told_after_it_was_given_up_counts_no_more(queue, submit):
    """It wakes up when the next attempt is at work, which is killed before the old one learns of it."""
    run_id = submit(max_attempts=9)
    reporters = []
    for step in (0, 1, 2):
        claim = queue.claim("me").claim
        reporter = DatabaseReporter(queue, claim)
        reporter.recover()
        take_over(queue.workspace.run_dir(run_id), claim.attempt)
        reporter.curve("a", step, {"loss": float(step)})
        reporter.flush()
        for woken in reporters:
            woken._unsaved.turn()  # as it tries to write what it has into the database
            woken.curve("a", 7, {"loss": 7.0})
        reporters.append(reporter)
        queue.lost(claim, "given up for dead")
    claim = queue.claim("me").claim
    DatabaseReporter(queue, claim).recover()
    assert [point.step for point in queue.curves_of(run_id) if point.series == "a"] == [0, 1, 2]
    queue.finish(claim, "cancelled")


ANY_TEXT = st.text(st.characters(codec=None), max_size=8)
ANY_NUMBER = st.one_of(st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([10**400, 2**31]))


@BOTH
@SHARED
@given(text=ANY_TEXT, step=st.one_of(st.integers(), st.integers(2**31, 2**70)), value=ANY_NUMBER, total=st.integers(0))
def test_nothing_that_work_reports_silences_the_heartbeat(queue, submit, text, step, value, total):
    run_id = submit()
    claim = queue.claim("me").claim
    reporter = DatabaseReporter(queue, claim)
    reporter.phase(text, total)
    reporter.advance(total)
    for report in (
        lambda: reporter.curve(text, step, {text: value}),
        lambda: reporter.alpha(step, [text], [text], [[value]]),
    ):
        with pytest.raises(BadInput) if abs(step) >= 2**31 else nullcontext():
            report()
    reporter.log(text)
    before = queue.get(run_id).heartbeat
    reporter.flush()
    assert reporter.refused is None
    assert queue.get(run_id).heartbeat > before
    queue.finish(claim, "cancelled")


def test_what_no_database_holds_fails_the_run_and_heartbeats_go_on(queue, running, monkeypatch):
    report, refusals = queue.report, itertools.count()

    def refuse(claim, *, metrics=(), **rest):
        if any(point.series == "pi" for point in metrics):
            next(refusals)
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return report(claim, metrics=metrics, **rest)

    monkeypatch.setattr(queue, "report", refuse)
    with DatabaseReporter(queue, running.claim) as reporter:
        reporter.curve("pi", 1, {"loss": 1.0})
        assert "progress could not be saved: OverflowError" in str(work_until(reporter, RunFailed))
        before = queue.get(running.id).heartbeat
        wait_for(lambda: queue.get(running.id).heartbeat > before)
    assert next(refusals) == 1  # it was left aside
