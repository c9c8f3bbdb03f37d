from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.errors import RunFailed
from pituning.progress import Reporter, Silent
from pituning.training.config import TrainConfig
from pituning.training.spare import sharing
from pituning.tuning.selection import Fold, check_every, choose, held_out_loss, make_folds, train


class Rows(list[int]):
    """Stands for encoded examples."""

    def subset(self, indices: Any) -> Rows:
        return Rows(self[int(i)] for i in indices)


class Parabola:
    """A learner whose held-out loss after s steps at rate r is (r·s − 1)²; it diverges above a rate."""

    def __init__(self, too_fast: float = 1.0):
        self.too_fast = too_fast
        self.seen: list[tuple[float, set[int], set[int]]] = []
        self.training: set[int] = set()

    def fit(self, encoded: Rows, config: TrainConfig, *, series: str, reporter: Reporter, callback: Any) -> None:
        self.training, rate = set(encoded), config.learning_rate
        for step in range(1, config.steps + 1):
            if rate >= self.too_fast:
                raise RunFailed(f"diverged with {rate}")
            if step % config.eval_every == 0 or step == config.steps:
                callback(step, (rate, step))
            reporter.advance()

    def losses(self, state: tuple[float, int], encoded: Rows) -> np.ndarray:
        rate, step = state
        self.seen.append((rate, self.training, set(encoded)))
        return np.full(len(encoded), (rate * step - 1) ** 2)


class Count(Silent):
    def __init__(self) -> None:
        self.total, self.done = 0, 0

    def phase(self, name: str, total: int) -> None:
        self.total, self.done = total, 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps


def test_folds_are_stratified_and_disjoint() -> None:
    answers = [label for label, count in (("a", 16), ("b", 16), ("c", 5), ("d", 1)) for _ in range(count)]
    folds = make_folds(answers, closed=True, count=3, seed=0)
    assert len(folds) == 3
    for fold in folds:
        assert sorted([*fold.train, *fold.held_out]) == list(range(len(answers)))
        assert Counter(answers[i] for i in fold.held_out) == {"a": 4, "b": 4, "c": 1}
    assert not np.array_equal(folds[0].held_out, folds[1].held_out)
    again = make_folds(answers, closed=True, count=3, seed=0)
    assert np.array_equal(folds[2].held_out, again[2].held_out)


def test_how_many_folds() -> None:
    assert len(make_folds(["a", "b"] * 60, closed=True, count=0, seed=0)) == 1
    assert len(make_folds(["a", "b"] * 40, closed=True, count=0, seed=0)) == 2
    assert len(make_folds(["a", "b"] * 8, closed=True, count=0, seed=0)) == 3
    assert make_folds(["a", "b", "c"], closed=True, count=0, seed=0) == []
    opened = make_folds(["box 1", "box 2", "box 3", "box 4"], closed=False, count=1, seed=0)
    assert len(opened[0].held_out) == 1


def test_chooses_rate_and_step_by_held_out_loss_alone() -> None:
    learner, reporter = Parabola(), Count()
    folds = [Fold(np.arange(6), np.arange(6, 8)), Fold(np.arange(2, 8), np.arange(2))]
    config = TrainConfig(steps=80, warmup=0)
    # Looks at 20, 40, 60, 80: the smallest of (r s - 1)² is at r = 0.024, s = 40.
    actual = choose(learner, Rows(range(8)), folds, (0.001, 0.024, 2.0), config, method="m", reporter=reporter)
    assert (actual.learning_rate, actual.steps) == (0.024, 40)
    assert actual.loss == pytest.approx(1 - math.exp(-((0.024 * 40 - 1) ** 2)))
    assert set(actual.curve) == {20, 40, 60, 80}
    # At three quarters the slow rate is behind and is given up on the first fold; 2.0 diverges before the first check.
    assert Counter(rate for rate, _, _ in learner.seen) == {0.024: 8, 0.001: 3}
    assert reporter.done == reporter.total == 3 * 2 * 80  # a rate that diverges is counted as done
    assert all(not (trained & held) for _, trained, held in learner.seen)

    state = train(learner, Rows(range(8)), actual, config, method="m", reporter=reporter)
    assert state == (0.024, 40)
    assert reporter.done == reporter.total == 40
    assert learner.training == set(range(8))


class Lots:
    """A learner whose losses are drawn by rate, rows and step, and which diverges now and then."""

    def __init__(self, seed: int):
        self.seed = seed

    def fit(self, encoded: Rows, config: TrainConfig, *, series: str, reporter: Reporter, callback: Any) -> None:
        lot = np.random.default_rng([self.seed, int(1e6 * config.learning_rate), *encoded])
        end = int(lot.integers(1, config.steps)) if lot.random() < 0.2 else math.inf
        for step in range(1, config.steps + 1):
            if step == end:
                raise RunFailed(f"diverged at {config.learning_rate} with {encoded}")
            if step % config.eval_every == 0 or step == config.steps:
                callback(step, lot.random())
            reporter.advance()

    def losses(self, state: float, encoded: Rows) -> np.ndarray:
        return np.full(len(encoded), state)


class Told(Count):
    def __init__(self) -> None:
        super().__init__()
        self.curves: list[Any] = []

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self.curves.append((series, step, dict(values)))


@given(st.integers(0, 10**6), st.sampled_from([2, 12]))
@settings(max_examples=10, deadline=None)  # up to twelve processes each
def test_free_processes_change_nothing_that_is_found(seed: int, free: int) -> None:
    folds = [Fold(np.arange(4), np.arange(4, 8)), Fold(np.arange(4, 8), np.arange(4)), Fold(np.arange(6), np.arange(2))]

    def found(told: Told) -> Any:
        learner: Any = Lots(seed)
        try:
            return choose(
                learner, Rows(range(8)), folds, (0.1, 0.2, 0.4, 0.8), TrainConfig(steps=8, warmup=0), method="m",
                reporter=told,
            )  # fmt: skip
        except RunFailed as error:
            return str(error)

    alone, side_by_side = Told(), Told()
    expected = found(alone)
    with sharing(free):
        assert found(side_by_side) == expected
        assert len(active_children()) == 0
    assert side_by_side.curves == alone.curves
    assert side_by_side.done == alone.done == alone.total


def test_one_sure_mistake_does_not_decide() -> None:
    """Nine of ten right but one sure mistake beats ten answers at random, though its mean −log p is larger."""
    sure, by_lot = np.array([0.02] * 9 + [12.0]), np.full(10, math.log(2))
    assert sure.mean() > by_lot.mean()
    assert held_out_loss(sure) == pytest.approx(0.9 * (1 - math.exp(-0.02)) + 0.1 * (1 - math.exp(-12)))
    assert held_out_loss(sure) < held_out_loss(by_lot) == pytest.approx(0.5)
    assert held_out_loss(np.array([np.inf])) == 1.0


def test_every_rate_diverges() -> None:
    with pytest.raises(RunFailed, match="diverged"):
        choose(
            Parabola(too_fast=0.0), Rows(range(4)), [Fold(np.arange(3), np.arange(3, 4))], (0.1,),
            TrainConfig(steps=4), method="m", reporter=Silent(),
        )  # fmt: skip


def test_check_every() -> None:
    assert [check_every(steps) for steps in (1, 3, 4, 80)] == [1, 1, 1, 20]


def test_a_rate_that_was_best_early_wins() -> None:
    folds = [Fold(np.arange(3), np.arange(3, 4))]
    # (r s - 1)²: 0.01 comes to 0.04 at step 80; 0.05 to 0 at step 20, and gets worse from there.
    learner = Parabola()
    actual = choose(
        learner, Rows(range(4)), folds, (0.002, 0.01, 0.05), TrainConfig(steps=80), method="m", reporter=Silent()
    )
    assert (actual.learning_rate, actual.steps) == (0.05, 20)
    assert Counter(rate for rate, _, _ in learner.seen) == {0.01: 4, 0.05: 4}  # smaller ones are not tried then


def test_a_rate_that_is_behind_at_half_time_may_win() -> None:
    folds = [Fold(np.arange(3), np.arange(3, 4))]
    # (r s - 1)²: at step 40 it is 0.04 for 0.02 and 0.12 for 0.0165; at 60 it is 0.04 and 0.0001.
    actual = choose(
        Parabola(), Rows(range(4)), folds, (0.0165, 0.02, 2.0), TrainConfig(steps=80), method="m", reporter=Silent()
    )
    assert (actual.learning_rate, actual.steps) == (0.0165, 60)


def test_climbs_past_rates_that_diverge_or_get_worse() -> None:
    folds = [Fold(np.arange(3), np.arange(3, 4))]
    # At step 4 and rate 0.25 the loss is 0; from 0.5 on everything diverges.
    rates = (0.01, 0.05, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    learner, reporter = Parabola(too_fast=0.5), Count()
    actual = choose(learner, Rows(range(4)), folds, rates, TrainConfig(steps=4), method="m", reporter=reporter)
    assert (actual.learning_rate, actual.steps) == (0.25, 4)
    assert {rate for rate, _, _ in learner.seen} == {0.25, 0.05}  # 0.05 is worse, so 0.01 is left out
    assert reporter.done == reporter.total
