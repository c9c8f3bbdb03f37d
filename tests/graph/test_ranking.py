"""Measures of a predicted order, against slow loops and closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import brier_score_loss, ndcg_score, roc_auc_score

from pituning.errors import BadInput
from pituning.graph.ranking import (
    MEASURES,
    auc,
    grade_calibration,
    grade_targets,
    interval,
    kendall,
    ndcg,
    pairs_of_modalities,
    pooled_auc,
    regret,
    spearman,
)

VECTORS = st.lists(st.integers(-30, 30), min_size=3, max_size=9, unique=True).flatmap(
    lambda values: st.tuples(st.just(values), st.permutations(values))
)


@given(VECTORS)
def test_without_ties_the_closed_forms_hold(vectors):
    one, two = (np.array(values, dtype=float) for values in vectors)
    n = len(one)
    ranks = [np.argsort(np.argsort(values)) for values in (one, two)]
    assert spearman(one, two) == pytest.approx(1 - 6 * ((ranks[0] - ranks[1]) ** 2).sum() / (n * (n * n - 1)))
    agree = sum(np.sign(one[i] - one[j]) * np.sign(two[i] - two[j]) for i in range(n) for j in range(i))
    assert kendall(one, two) == pytest.approx(agree / (n * (n - 1) / 2))
    # scikit-learn wants gains that are not negative; ours are counted from the worst donor.
    assert ndcg(one, two) == pytest.approx(ndcg_score([two - two.min()], [one]))


def test_ties_share_a_rank():
    one, two = np.array([1.0, 1.0, 2.0, 5.0]), np.array([0.0, 3.0, 3.0, 4.0])
    assert spearman(one, two) == pytest.approx(stats.spearmanr(one, two).statistic)


@given(VECTORS)
def test_the_right_order_is_best_and_regret_falls_with_more_guesses(vectors):
    predicted, measured = (np.array(values, dtype=float) for values in vectors)
    for name, best in (("spearman", 1), ("kendall", 1), ("ndcg", 1), ("regret1", 0), ("regret3", 0)):
        assert MEASURES[name](measured * 3 + 1, measured) == pytest.approx(best)
    actual = [regret(predicted, measured, k) for k in range(1, len(measured) + 1)]
    assert all(one >= other >= 0 for one, other in pairwise(actual))
    assert actual[-1] == 0


def test_regret_by_hand():
    predicted, measured = np.array([0.9, 0.8, 0.1, 0.0]), np.array([2.0, 5.0, 9.0, -1.0])
    assert [regret(predicted, measured, k) for k in (1, 2, 3)] == [7.0, 4.0, 0.0]
    with pytest.raises(BadInput, match="k is 5; choose 1 to 4"):
        regret(predicted, measured, 5)


def test_what_cannot_be_ordered_has_no_grade():
    flat, rising = np.ones(4), np.arange(4.0)
    for measure in (spearman, kendall, ndcg):
        assert math.isnan(measure(rising, flat))
    assert math.isnan(spearman(flat, rising))


def test_targets_are_graded_one_by_one_on_the_pairs_that_count():
    rng = np.random.default_rng(0)
    predicted, measured = rng.random((5, 5)), rng.random((5, 5))
    measured[2, 3] = np.nan
    pairs = rng.random((5, 5)) < 0.8
    actual = grade_targets(predicted, measured, pairs=pairs)
    for i in range(5):
        donors = [j for j in range(5) if j != i and pairs[i, j] and not math.isnan(measured[i, j])]
        if len(donors) < 2:
            assert math.isnan(actual["spearman"][i])
        else:
            assert actual["spearman"][i] == pytest.approx(spearman(predicted[i, donors], measured[i, donors]))
    assert list(grade_targets(predicted, measured, measures=["ndcg"])) == ["ndcg"]
    with pytest.raises(BadInput, match="square and of the same size"):
        grade_targets(predicted[:4], measured)


def test_whether_harm_was_seen_is_graded_as_by_scikit_learn_and_by_loops():
    rng = np.random.default_rng(0)
    measured, predicted = rng.normal(scale=3, size=(6, 6)), rng.integers(-3, 4, (6, 6)).astype(float)
    measured[2, 3], measured[4] = np.nan, 5.0  # one was not measured; nobody harms the fifth
    np.fill_diagonal(measured, np.nan)
    harm, low, high = rng.random((6, 6)), predicted - 2, predicted + 2
    grades, aucs = grade_calibration(harm, low, high, measured), grade_targets(predicted, measured)["auc"]
    right, total = 0.0, 0
    for i in range(6):
        mine = [j for j in range(6) if j != i and not math.isnan(measured[i, j])]
        truth = measured[i, mine] <= -1
        assert grades["brier"][i] == pytest.approx(brier_score_loss(truth, harm[i, mine], labels=[False, True]))
        held = sum(low[i, j] <= measured[i, j] <= high[i, j] for j in mine)
        assert grades["coverage"][i] == pytest.approx(held / len(mine))
        if truth.all() or not truth.any():
            assert math.isnan(aucs[i])
        else:
            assert aucs[i] == pytest.approx(roc_auc_score(truth, -predicted[i, mine]))
        for j in mine:
            for k in range(6):
                for m in range(6):
                    if measured[i, j] <= -1 < measured[k, m]:
                        right += float(predicted[i, j] < predicted[k, m]) + (predicted[i, j] == predicted[k, m]) / 2
                        total += 1
    pooled = pooled_auc(predicted, measured)
    assert pooled.mean == pytest.approx(right / total)
    assert pooled.low <= pooled.mean <= pooled.high
    assert pooled.targets == 6
    assert math.isnan(auc(np.arange(3.0), np.ones(3)))
    assert pooled_auc(predicted, np.abs(measured)).targets == 0


def test_pairs_of_modalities():
    actual = pairs_of_modalities(["vision", "language", "vision"])
    assert actual["within modalities"].sum() == 5
    assert not (actual["within modalities"] & actual["across modalities"]).any()
    assert actual["vision and language"].tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    assert set(actual) == {
        "within modalities", "across modalities", "vision alone", "vision and language", "language alone",
    }  # fmt: skip


def test_an_interval_holds_the_mean_and_shrinks_with_more_targets():
    rng = np.random.default_rng(1)
    few, many = interval(rng.normal(size=8)), interval(rng.normal(size=800))
    for actual in (few, many):
        assert actual.low < actual.mean < actual.high
    assert many.high - many.low < (few.high - few.low) / 3
    # The normal approximation of the standard error.
    assert many.high - many.low == pytest.approx(2 * 1.96 / math.sqrt(800), rel=0.15)
    assert interval(np.array([np.nan, 2.0])) == interval(np.array([2.0]))
    assert interval(np.array([np.nan])).targets == 0
