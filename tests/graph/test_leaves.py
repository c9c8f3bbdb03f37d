from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import ClusterNode, linkage, to_tree
from scipy.spatial.distance import squareform

import pituning.graph.leaves as leaves_module
from pituning.graph.leaves import best_leaf_order


def all_orders(node: ClusterNode) -> list[list[int]]:
    """Every order of the leaves that leaves clusters whole."""
    if node.is_leaf():
        return [[node.id]]
    left, right = all_orders(node.left), all_orders(node.right)
    return [a + b for a in left for b in right] + [b + a for a in left for b in right]


def length(order: list[int], distance: np.ndarray) -> float:
    return sum(float(distance[a, b]) for a, b in itertools.pairwise(order))


def distances(seed: int, n: int) -> np.ndarray:
    raw = np.random.default_rng(seed).random((n, n))
    distance = raw + raw.T
    np.fill_diagonal(distance, 0)
    return distance


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 7), method=st.sampled_from(["average", "single", "complete"]))
def test_no_allowed_order_is_shorter(seed: int, n: int, method: str) -> None:
    distance = distances(seed, n)
    tree = linkage(squareform(distance), method=method)
    allowed = all_orders(to_tree(tree))

    order = best_leaf_order(tree, distance)

    assert order in allowed
    assert length(order, distance) == pytest.approx(min(length(each, distance) for each in allowed))


def test_the_case_in_which_greedy_choice_fails() -> None:
    condensed = np.array([2.0, 10, 10000, 1, 3, 100])  # of scipy issue 11227
    order = best_leaf_order(linkage(condensed, method="single"), squareform(condensed))
    assert length(order, squareform(condensed)) == 14


def test_very_many_leaves_are_put_in_some_order(monkeypatch: pytest.MonkeyPatch) -> None:
    distance = distances(1, 12)
    tree = linkage(squareform(distance), method="average")
    monkeypatch.setattr(leaves_module, "MOST_EXACT", 5)
    assert sorted(best_leaf_order(tree, distance)) == list(range(12))
