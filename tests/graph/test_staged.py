"""A shortlist by one prediction, put in order by another."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pituning.graph.staged import staged

SCORES = st.floats(-1, 1, width=16)


@given(
    first=arrays(float, 7, elements=SCORES | st.just(float("nan")), unique=True),
    second=arrays(float, 7, elements=SCORES | st.just(float("nan")), unique=True),
    shortlist=st.integers(0, 9),
)
def test_the_order_is_that_of_an_obvious_loop(first: np.ndarray, second: np.ndarray, shortlist: int) -> None:
    ranked = sorted((i for i in range(7) if np.isfinite(first[i])), key=lambda i: -first[i])
    head = sorted(ranked[:shortlist], key=lambda i: -second[i] if np.isfinite(second[i]) else np.inf)
    expected = [*head, *ranked[shortlist:]]

    actual = staged(first, second, shortlist)

    assert [i for i in np.argsort(-actual, kind="stable") if np.isfinite(actual[i])] == expected
    assert np.array_equal(np.isnan(actual), np.isnan(first))


def test_rows_are_put_in_order_each_by_itself() -> None:
    first = np.array([[np.nan, 3.0, 2.0, 1.0], [3.0, np.nan, 1.0, 2.0]])
    second = np.array([[0.0, 1.0, 2.0, 9.0], [1.0, 0.0, 9.0, 2.0]])
    for row in range(2):
        assert np.array_equal(staged(first, second, 2)[row], staged(first[row], second[row], 2), equal_nan=True)
    assert np.argsort(-staged(first, second, 2), axis=1)[:, 0].tolist() == [2, 3]
