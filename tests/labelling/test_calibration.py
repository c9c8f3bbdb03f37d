"""Temperature and ECE against a grid and a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.errors import BadInput
from pituning.labelling.calibration import (
    COLDEST,
    HOTTEST,
    Reliability,
    ece_by_chance,
    fit_temperature,
    reliability,
    right_of_hundred,
    temper,
    temperature_loss,
    trusted,
)


def rows(seed: int, count: int, labels: int, sharp: float) -> tuple[np.ndarray, np.ndarray]:
    """Log scores that are ``sharp`` times too sure of themselves, and labels drawn from what they should have been."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(scale=1.5, size=(count, labels))
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    gold = np.array([rng.choice(labels, p=row) for row in chances])
    return sharp * honest, gold


def plain_loss(scores: np.ndarray, gold: np.ndarray, temperature: float) -> float:
    """The objective written out, a row and a label at a time."""
    total = 0.0
    for row, label in zip(scores.tolist(), gold.tolist(), strict=True):
        norm = math.log(sum(math.exp(value / temperature) for value in row))
        logs = [value / temperature - norm for value in row]
        total -= logs[label] + sum(logs) / len(logs) / len(gold)
    return (total + math.log(temperature) ** 2 / (2 * 0.35**2)) / (len(gold) + 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(1, 40), st.integers(2, 6), st.floats(0.2, 4))
def test_the_temperature_is_the_best_of_a_fine_grid(seed: int, count: int, labels: int, sharp: float) -> None:
    scores, gold = rows(seed, count, labels, sharp)
    found = fit_temperature(scores, gold)
    assert COLDEST - 1e-9 <= found <= HOTTEST + 1e-9
    assert temperature_loss(scores, gold, found) == pytest.approx(plain_loss(scores, gold, found), abs=1e-9)
    grid = np.geomspace(COLDEST, HOTTEST, 400)
    assert temperature_loss(scores, gold, found) <= min(plain_loss(scores, gold, t) for t in grid) + 1e-4


@pytest.mark.parametrize("sharp", [0.5, 1.0, 3.0])
def test_many_rows_give_back_how_much_too_sure_the_scores_were(sharp: float) -> None:
    scores, gold = rows(1, 4000, 4, sharp)
    found = fit_temperature(scores, gold)
    assert found == pytest.approx(sharp, rel=0.08)
    tempered = np.exp(temper(scores, found))
    assert tempered.sum(axis=1) == pytest.approx(np.ones(len(gold)))
    assert (tempered.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert reliability(tempered.max(axis=1), tempered.argmax(axis=1) == gold).ece < 0.03


def test_a_dozen_right_answers_do_not_make_it_certain() -> None:
    scores = np.log(np.array([[0.8, 0.1, 0.1]] * 12))
    found = fit_temperature(scores, np.zeros(12, dtype=int))
    assert 0.85 < np.exp(temper(scores, found))[0, 0] < 0.99
    with pytest.raises(BadInput, match="there are none"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))


def test_a_few_rows_do_little_harm_and_still_help() -> None:
    """What six rows win or lose on many new ones, in nats a row: honest scores are hardly spoilt."""
    change = {}
    for sharp in (1.0, 3.0):
        fresh, gold = rows(0, 2000, 4, sharp)
        drawn = [fit_temperature(*rows(seed, 6, 4, sharp)) for seed in range(1, 101)]
        log_scores = [temper(fresh, found)[np.arange(2000), gold].mean() for found in (1.0, *drawn)]
        change[sharp] = log_scores[0] - np.mean(log_scores[1:])
    assert change[1.0] < 0.03
    assert change[3.0] < -0.1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_ece_is_what_a_slow_loop_says(pairs: list[tuple[float, bool]]) -> None:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for sure, right in pairs:
        number = 9
        for edge in range(9, 0, -1):
            if sure * 10 < edge:
                number = edge - 1
        bins.setdefault(number, []).append((sure, right))
    expected = 0.0
    for members in bins.values():
        gap = sum(sure for sure, _ in members) / len(members) - sum(right for _, right in members) / len(members)
        expected += abs(gap) * len(members) / len(pairs)
    found = reliability([sure for sure, _ in pairs], [right for _, right in pairs])
    assert found.ece == pytest.approx(expected, abs=1e-9)
    assert (found.rows, sum(each.count for each in found.bins)) == (len(pairs), len(pairs))
    again = Reliability.from_json(found.to_json())
    assert again.ece == pytest.approx(found.ece, abs=1e-4)


def test_a_percentage_is_shown_only_where_it_was_fitted_and_measured_and_holds() -> None:
    curve = reliability([0.95] * 30 + [0.55] * 10, [True] * 27 + [False] * 3 + [True] * 5 + [False] * 5)
    assert trusted(1.5, {"after": curve.to_json()}) == Reliability.from_json(curve.to_json())
    for temperature, calibration in ((None, {"after": curve.to_json()}), (1.5, {}), (1.5, None), (1.5, {"after": 3})):
        assert trusted(temperature, calibration) is None
    few, far = reliability([0.9] * 10, [True] * 9 + [False]), reliability([0.95] * 40, [True] * 32 + [False] * 8)
    near = reliability([0.95] * 40, [True] * 35 + [False] * 5)  # off by 7.5 points, of which chance explains 2.8
    assert trusted(1.5, {"after": near.to_json()}) is not None
    by_hand = sum(
        each.count / near.rows * abs(right / each.count - each.confidence)
        * math.comb(each.count, right) * each.confidence**right * (1 - each.confidence) ** (each.count - right)
        for each in near.bins for right in range(each.count + 1)
    )  # fmt: skip
    assert ece_by_chance(near) == pytest.approx(by_hand)
    assert trusted(1.5, {"after": few.to_json()}) is trusted(1.5, {"after": far.to_json()}) is None
    assert right_of_hundred(curve, 0.99) == (90, 30)
    assert right_of_hundred(curve, 0.5) == (80, 40)  # ten rows are too few: (5 + 27) of 40
