"""The time left, on a simulated clock whose truth is known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.runs.eta import PlannedPhase, TimeLeft


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def do(left: TimeLeft, clock: Clock, name: str, total: int, per_step: float, *, upto: int | None = None) -> None:
    left.phase(name, total)
    for _ in range(total if upto is None else upto):
        clock.now += per_step
        left.advance(1)


PLAN = [PlannedPhase("encode", 10, 5.0), PlannedPhase("train a", 100, 50.0), PlannedPhase("train b", 100, 100.0)]


def test_the_whole_run_is_counted_not_only_the_phase():
    clock = Clock()
    left = TimeLeft(PLAN, clock=clock)
    assert left.seconds() == pytest.approx(155.0)
    do(left, clock, "encode", 10, 0.5)
    assert left.seconds() == pytest.approx(150.0)
    do(left, clock, "train a", 100, 0.5, upto=50)
    assert left.seconds() == pytest.approx(125.0)


@settings(deadline=None)
@given(st.floats(0.2, 20.0))
def test_a_machine_of_another_speed_is_noticed(slower):
    clock = Clock()
    left = TimeLeft(PLAN, clock=clock)
    do(left, clock, "encode", 10, 0.5 * slower)
    do(left, clock, "train a", 100, 0.5 * slower, upto=50)
    assert left.seconds() == pytest.approx(125.0 * slower, rel=0.6 if slower < 1 else 0.25)
    do(left, clock, "train b", 100, 1.0 * slower, upto=60)
    assert left.seconds() == pytest.approx(40.0 * slower, rel=0.15)


def test_another_number_of_steps_scales_the_phase():
    clock = Clock()
    left = TimeLeft(PLAN, clock=clock)
    left.phase("encode", 20)
    assert left.seconds() == pytest.approx(160.0)


def test_the_time_left_is_right_at_once_after_a_resume():
    """80 of 100 steps of "train a" come back from a checkpoint in a blink."""
    clock = Clock()
    first = TimeLeft(PLAN, clock=clock)
    do(first, clock, "encode", 10, 1.0)  # a machine half as fast as planned
    do(first, clock, "train a", 100, 1.0, upto=80)
    again = TimeLeft(first.plan(), clock=clock)  # what the worker kept is the plan of the next attempt
    do(again, clock, "encode", 10, 1.0)
    again.phase("train a", 100)
    clock.now += 0.01
    again.advance(80)
    assert again.seconds() == pytest.approx(20 * 1.0 + 200.0, rel=0.1)
    clock.now += 1.0
    again.advance(1)
    assert again.seconds() == pytest.approx(19 * 1.0 + 200.0, rel=0.1)
    # The restored steps do not make the kept plan shorter, either.
    assert {p.name: p.seconds for p in again.plan()}["train a"] == pytest.approx(100.0, rel=0.1)


def test_steps_of_a_checkpoint_say_nothing_where_there_is_no_plan():
    clock = Clock()
    left = TimeLeft(clock=clock)
    left.phase("pretrain", 1000)
    clock.now += 0.01
    left.advance(800)
    assert left.seconds() is None
    for _ in range(20):
        clock.now += 0.5
        left.advance(1)
    assert left.seconds() == pytest.approx(180 * 0.5, rel=0.2)


def test_a_fast_machine_is_not_taken_for_a_resume():
    clock = Clock()
    left = TimeLeft(PLAN, clock=clock)
    do(left, clock, "encode", 10, 0.005)
    do(left, clock, "train a", 100, 0.005, upto=90)
    do(left, clock, "train b", 100, 0.01, upto=50)
    assert left.seconds() == pytest.approx(0.5, rel=0.5)


def test_phases_that_are_left_out_are_not_waited_for():
    clock = Clock()
    left = TimeLeft(PLAN, clock=clock)
    do(left, clock, "train b", 100, 1.0, upto=50)
    assert left.seconds() == pytest.approx(50.0, rel=0.05)


def test_without_a_plan_the_phase_speaks_for_itself():
    clock = Clock()
    left = TimeLeft(clock=clock)
    assert left.seconds() is None
    left.phase("train", 100)
    assert left.seconds() is None
    for _ in range(50):
        clock.now += 2.0
        left.advance(1)
    assert left.seconds() == pytest.approx(100.0, rel=0.1)
    left.phase("test", 10)
    assert [p.name for p in left.plan()] == ["train", "test"]
    assert left.plan()[0].seconds == pytest.approx(200.0)


def test_more_steps_than_announced_do_no_harm():
    clock = Clock()
    left = TimeLeft(clock=clock)
    left.phase("odd", 0)
    clock.now += 1.0
    left.advance(5)
    assert left.seconds() == 0.0
