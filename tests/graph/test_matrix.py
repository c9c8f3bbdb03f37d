from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from pituning.errors import BadInput
from pituning.graph.matrix import (
    cluster_order,
    disagreements,
    on_scale,
    order_tasks,
    rank_agreement,
    standardise_rows,
    view_pair,
    weighted_spearman,
)
from pituning.graph.predict import neighbors

# Two blocks, interleaved.
BLOCKS = np.array([[1.0, 0.1, 0.9, 0.1], [0.1, 1.0, 0.2, 0.8], [0.9, 0.2, 1.0, 0.0], [0.1, 0.8, 0.0, 1.0]])


@dataclass(frozen=True)
class Info:
    name: str
    modality: str = "vision"
    families: tuple[str, ...] = ()
    title: str = ""


def zoo(seed: int, n: int = 7) -> np.ndarray:
    raw = np.random.default_rng(seed).normal(size=(n, n))
    matrix = np.tanh(raw + raw.T)
    np.fill_diagonal(matrix, 1)
    return matrix


def test_clusters_stand_together() -> None:
    order = cluster_order(BLOCKS)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    assert cluster_order(np.eye(2)) == [0, 1]


def test_orders_by_family_and_name() -> None:
    infos = [
        Info("c", "language", ("entail",), "Zebra"),
        Info("d", "vision", (), "apple"),
        Info("a", "vision", ("parts",), "Birds"),
        Info("b", "other", ("parts",), "Aircraft"),
    ]
    assert order_tasks(BLOCKS, infos, "name") == [3, 1, 2, 0]
    assert order_tasks(BLOCKS, infos, "family") == [2, 1, 0, 3]
    assert order_tasks(BLOCKS, infos, "clustered") == cluster_order(BLOCKS)
    with pytest.raises(BadInput, match="'size' is not known"):
        order_tasks(BLOCKS, infos, "size")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="3 tasks"):
        order_tasks(BLOCKS, infos[:3], "name")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 9), by=st.sampled_from(["clustered", "family", "name"]))
def test_an_order_is_a_permutation(seed: int, n: int, by: str) -> None:
    infos = [Info(f"t{i}", title=f"Task {i}") for i in range(n)]
    assert sorted(order_tasks(zoo(seed, n), infos, by)) == list(range(n))  # type: ignore[arg-type]


def test_scales() -> None:
    assert np.isnan(np.diag(on_scale(BLOCKS, "raw"))).all()
    assert on_scale(BLOCKS, "raw")[0, 2] == 0.9
    for i, row in enumerate(on_scale(zoo(1), "rank")):
        others = np.arange(7) != i
        assert row[others].tolist() == rankdata(-zoo(1)[i, others]).tolist()
    with pytest.raises(BadInput, match="'log' is not known"):
        on_scale(BLOCKS, "log")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="not finite"):
        on_scale(np.full((2, 2), np.nan), "raw")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(2, 8))
def test_standardised_rows_equal_the_slow_loop(seed: int, n: int) -> None:
    matrix = zoo(seed, n)
    standard = standardise_rows(matrix)
    for i in range(n):
        others = [float(matrix[i, j]) for j in range(n) if j != i]
        mean = math.fsum(others) / len(others)
        spread = math.sqrt(math.fsum((x - mean) ** 2 for x in others) / len(others))
        for j in range(n):
            expected = 0 if i == j or spread < 1e-12 else (matrix[i, j] - mean) / spread
            assert standard[i, j] == pytest.approx(expected, abs=1e-9)


def test_a_pair_agrees_with_the_neighbours() -> None:
    matrix = zoo(2)
    noise = np.random.default_rng(3).normal(0, 0.3, (40, 7, 7))
    replicates = matrix + (noise + noise.transpose(0, 2, 1)) / 2
    names = [f"t{i}" for i in range(7)]
    for a in range(7):
        for b in range(7):
            if a == b:
                continue
            pair = view_pair(matrix, a, b, replicates, top=6)
            actual = {item.task: item for item in neighbors(matrix, names, names[a], 6, replicates=replicates)}
            assert (pair.similarity, pair.rank) == (actual[names[b]].similarity, actual[names[b]].rank)
            assert (pair.low, pair.high) == (actual[names[b]].low, actual[names[b]].high)
            near = neighbors(matrix, names, names[a], 2, replicates=replicates)
            for item in near:
                if item.task == names[b]:
                    assert view_pair(matrix, a, b, replicates, top=2).confidence == item.confidence
            back = view_pair(matrix, b, a, replicates)
            assert (pair.rank_back, pair.rank) == (back.rank, back.rank_back)
    assert view_pair(matrix, 0, 1).confidence is None
    with pytest.raises(BadInput, match="two different"):
        view_pair(matrix, 1, 1)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n=st.integers(3, 9))
def test_weighted_spearman_is_that_of_repeated_values(data: st.DataObject, n: int) -> None:
    few = st.lists(st.integers(0, 4), min_size=n, max_size=n)
    x, y, weights = (np.array(data.draw(few)) for _ in range(3))
    actual = weighted_spearman(x, y, weights[:, None].astype(float))[0]
    a, b = np.repeat(x, weights), np.repeat(y, weights)
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert np.isnan(actual)
    else:
        assert actual == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def slow_agreement(first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """Over the pairs and the mean over targets, of the tasks that were drawn."""
    pairs = [(a, b) for i, a in enumerate(drawn) for b in drawn[i + 1 :] if a != b]
    over_pairs = spearmanr([first[a, b] for a, b in pairs], [second[a, b] for a, b in pairs]).statistic
    rows = []
    for a in drawn:
        others = [b for b in drawn if b != a]
        rows.append(spearmanr(first[a, others], second[a, others]).statistic)
    return float(over_pairs), float(np.mean(rows))


def test_agreement_and_its_interval_equal_the_slow_loop() -> None:
    first, second = zoo(4, 8), zoo(4, 8) + 0.8 * zoo(5, 8)
    actual = rank_agreement(first, second, replicates=60, seed=6)
    pairs, targets = slow_agreement(first, second, np.arange(8))
    assert (actual.pairs, actual.targets) == (pytest.approx(pairs), pytest.approx(targets))
    draws = np.random.default_rng(6).multinomial(8, np.full(8, 1 / 8), size=60)
    slow = np.array([slow_agreement(first, second, np.repeat(np.arange(8), draw)) for draw in draws])
    assert actual.pairs_interval == pytest.approx(tuple(np.percentile(slow[:, 0], [2.5, 97.5])))
    assert actual.targets_interval == pytest.approx(tuple(np.percentile(slow[:, 1], [2.5, 97.5])))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(3, 8))
def test_agreement_knows_ranks_only(seed: int, n: int) -> None:
    first, second = zoo(seed, n), zoo(seed + 1, n)
    plain = rank_agreement(first, second, replicates=20)
    bent = rank_agreement(np.exp(3 * first), second, replicates=20)
    assert bent == plain
    same = rank_agreement(first, first**3, replicates=20)
    assert same.pairs == pytest.approx(1)
    assert same.targets == pytest.approx(1)
    opposite = rank_agreement(first, -first, replicates=20)
    assert opposite.pairs == pytest.approx(-1)


def test_agreement_of_few_or_constant() -> None:
    assert rank_agreement(np.eye(2), np.eye(2)).pairs is None
    assert rank_agreement(np.ones((4, 4)), BLOCKS).pairs is None
    assert rank_agreement(BLOCKS, BLOCKS).pairs_interval is None
    with pytest.raises(BadInput, match="4 tasks"):
        rank_agreement(BLOCKS, np.eye(3))


def test_disagreements() -> None:
    first, second = zoo(7, 6), zoo(8, 6)
    i, j = np.triu_indices(6, k=1)
    places = [rankdata(-matrix[i, j]) for matrix in (first, second)]
    gaps = sorted(np.abs(places[0] - places[1]), reverse=True)
    actual = disagreements(first, second, 4)
    assert [abs(item.first - item.second) for item in actual] == gaps[:4]
    for item in actual:
        (pair,) = np.flatnonzero((i == item.i) & (j == item.j))
        assert (item.first, item.second) == (places[0][pair], places[1][pair])
    assert disagreements(np.eye(1), np.eye(1)) == []
