from __future__ import annotations

import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.graph.bootstrap import bootstrap_matrix, bootstrap_to, bootstrap_weights
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.similarity import similarity_matrix, similarity_to

NAMES, SIZES = ("a", "b"), (4, 3)


def embed(values: np.ndarray) -> TaskEmbedding:
    return TaskEmbedding.from_flat(values, task="t", kind="lora", probe="common", names=NAMES, sizes=SIZES)


@pytest.fixture
def groups() -> list[np.ndarray]:
    return list(np.random.default_rng(0).gamma(1, size=(5, 8, 7)).astype(np.float32))


def test_weights_are_shares() -> None:
    weights = bootstrap_weights(8, 2000, np.random.default_rng(0))
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights.mean(0), 1 / 8, atol=0.01)
    # Var of a multinomial share: p (1 - p) / G
    np.testing.assert_allclose(weights.var(0), 1 / 8 * 7 / 8 / 8, rtol=0.15)


def test_replicates_are_similarities_of_resampled_means(groups: list[np.ndarray]) -> None:
    zoo = [embed(g.mean(0)) for g in groups]
    replicates = bootstrap_to(zoo[0], groups[0], zoo[1:], "probe", replicates=3, seed=7)
    weights = bootstrap_weights(8, 3, np.random.default_rng(7))
    for b in range(3):
        mean = sum(w * row for w, row in zip(weights[b], groups[0].astype(np.float64), strict=True))
        np.testing.assert_allclose(replicates[b], similarity_to(embed(mean), zoo[1:], "probe"), atol=1e-5)


def test_matrix_replicates(groups: list[np.ndarray]) -> None:
    zoo = [embed(g.mean(0)) for g in groups]
    replicates = bootstrap_matrix(zoo, groups, "paper", replicates=40, seed=1)
    assert replicates.shape == (40, 5, 5)
    assert np.array_equal(replicates, replicates.transpose(0, 2, 1))
    assert np.array_equal(replicates, bootstrap_matrix(zoo, groups, "paper", replicates=40, seed=1))
    assert not np.array_equal(replicates, bootstrap_matrix(zoo, groups, "paper", replicates=40, seed=2))
    assert np.abs(replicates.mean(0) - similarity_matrix(zoo, "paper")).max() < 0.1


def test_no_spread_when_all_groups_are_the_same(groups: list[np.ndarray]) -> None:
    same = [np.repeat(g[:1], 8, axis=0) for g in groups]
    zoo = [embed(g[0]) for g in same]
    replicates = bootstrap_matrix(zoo, same, "probe", replicates=4)
    np.testing.assert_allclose(replicates, np.broadcast_to(similarity_matrix(zoo, "probe"), (4, 5, 5)), atol=1e-5)


def test_unfit_groups_are_refused(groups: list[np.ndarray]) -> None:
    zoo = [embed(g.mean(0)) for g in groups]
    with pytest.raises(BadInput, match="give groups for each"):
        bootstrap_matrix(zoo, groups[:2], "probe")
    with pytest.raises(BadInput, match="7 values per group"):
        bootstrap_to(zoo[0], groups[0][:, :3], zoo[1:], "probe")
