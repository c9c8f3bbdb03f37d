"""A similarity with history: against a slow loop, and blind to whatever was measured of the target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pituning.graph.known import Known
from pituning.graph.predictors.history import features


def a_zoo(seed: int, n: int = 6, *, unmeasured: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and whole gains, so that there are ties, some of them not measured."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, n))
    gains = rng.integers(-5, 5, size=(n, n)).astype(float)
    gains.flat[rng.permutation(n * n)[:unmeasured]] = np.nan
    np.fill_diagonal(gains, np.nan)
    return half + half.T, gains


def with_history(similarity: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """The feature of every donor for every target, 0 on the diagonal."""
    n = len(gains)
    known = Known(similarities={"probe": similarity}, alike={}, gains=gains, room=np.full(n, 50.0))
    combined = np.zeros((n, n))
    for i in range(n):
        combined[i, np.arange(n) != i] = features(known.without(i), known.target(i))[:, 0]
    return combined


def slowly(similarity: np.ndarray, gains: np.ndarray, i: int, j: int) -> tuple[float, float]:
    """History of donor j for target i, not standardised, and z_ij, as the docstring tells them."""
    n = len(gains)
    others = [k for k in range(n) if k != i]
    mean = sum(similarity[i, k] for k in others) / len(others)
    deviation = math.sqrt(sum((similarity[i, k] - mean) ** 2 for k in others) / len(others))
    above, below = 0.0, 0.0
    for k in others:
        known = [d for d in others if not math.isnan(gains[k, d])]
        if j not in known or len(known) < 2:
            continue
        worse = sum(gains[k, d] < gains[k, j] for d in known)
        alike = sum(gains[k, d] == gains[k, j] for d in known) - 1
        weight = math.exp((similarity[i, k] - mean) / deviation)
        above += weight * ((worse + alike / 2) / (len(known) - 1) - 0.5)
        below += weight
    return (above / below if below else 0.0), (similarity[i, j] - mean) / deviation


@pytest.mark.parametrize("unmeasured", [0, 12])
def test_it_is_the_weighted_mean_place_and_the_similarity(unmeasured: int) -> None:
    similarity, gains = a_zoo(3, unmeasured=unmeasured)
    actual = with_history(similarity, gains)
    for i in range(6):
        others = [j for j in range(6) if j != i]
        history, alike = np.array([slowly(similarity, gains, i, j) for j in others]).T
        expected = (history - history.mean()) / history.std() + alike
        assert actual[i, others] == pytest.approx(expected, abs=1e-9)
        assert actual[i, i] == 0


@pytest.mark.slow
@given(st.integers(0, 1000), st.integers(0, 5))
def test_nothing_measured_of_the_target_is_used(seed: int, target: int) -> None:
    similarity, gains = a_zoo(seed)
    changed = gains.copy()
    noise = np.random.default_rng(seed + 1).normal(scale=50, size=6)
    changed[target] += noise  # what helped it
    changed[:, target] += noise  # and whom its own expert helped
    before, after = with_history(similarity, gains), with_history(similarity, changed)
    assert after[target] == pytest.approx(before[target], abs=1e-12)


def test_a_donor_that_helped_similar_targets_comes_before_its_equals() -> None:
    # Target 0 is like 1; donors 2 and 3 are equally like 0, but 3 helped 1.
    similarity = np.array([[1, 0.9, 0.1, 0.1], [0.9, 1, 0.1, 0.1], [0.1, 0.1, 1, 0.1], [0.1, 0.1, 0.1, 1]])
    gains = np.array([[np.nan, 0, 9, 0], [0, np.nan, 0, 9], [0, 0, np.nan, 0], [0, 0, 0, np.nan]], dtype=float)
    actual = with_history(similarity, gains)
    assert actual[0, 3] > actual[0, 2]


def test_without_any_history_the_similarity_decides() -> None:
    similarity, _ = a_zoo(0)
    actual = with_history(similarity, np.full((6, 6), np.nan))
    for i in range(6):
        others = [j for j in range(6) if j != i]
        assert (np.argsort(actual[i, others]) == np.argsort(similarity[i, others])).all()
