from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from pituning.graph.layout import CROWD, HEIGHT, POINT, WIDTH, _classical_scaling, label_boxes, layout


def zoo(n: int, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(max(n // 4, 1), 20))
    vectors = centres[generator.integers(0, len(centres), n)] + generator.normal(size=(n, 20))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = ["x" * length for length in generator.integers(2, 23, n)]
    return vectors @ vectors.T, [f"task-{i}" for i in range(n)], labels


def overlaps(places: np.ndarray, boxes: np.ndarray) -> int:
    count = 0
    for i in range(len(places)):
        for j in range(i):
            apart = np.abs(places[i] - places[j])
            count += bool(apart[0] < (boxes[i, 0] + boxes[j, 0]) / 2 and apart[1] < (boxes[i, 1] + boxes[j, 1]) / 2)
    return count


@pytest.mark.parametrize("n", [1, 2, 20, 40, 60])
@pytest.mark.parametrize("seed", range(3))
def test_boxes_do_not_overlap(n: int, seed: int) -> None:
    similarity, names, labels = zoo(n, seed)
    places = layout(similarity, names, labels)
    assert overlaps(places, label_boxes(labels)) == 0
    assert (places >= 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_twenty_tasks_fit_the_canvas(seed: int) -> None:
    similarity, names, labels = zoo(20, seed)
    extent = np.ptp(layout(similarity, names, labels), axis=0)
    assert 0.6 * WIDTH < extent[0] < 1.1 * WIDTH
    assert 0.6 * HEIGHT < extent[1] < 1.1 * HEIGHT


def test_identical_tasks_are_separated() -> None:
    labels = ["same label"] * 30
    places = layout(np.ones((30, 30)), [f"task-{i}" for i in range(30)], labels)
    assert overlaps(places, label_boxes(labels)) == 0


def test_reproducible_to_the_last_digit() -> None:
    assert np.array_equal(layout(*zoo(20, 0)), layout(*zoo(20, 0)))


def test_rounding_of_the_similarities_moves_nothing() -> None:
    similarity, names, labels = zoo(20, 0)
    noise = np.random.default_rng(1).normal(scale=1e-7, size=similarity.shape)
    moved = np.abs(layout(similarity + noise + noise.T, names, labels) - layout(similarity, names, labels))
    assert moved.max() < 1


def test_similar_tasks_stand_together() -> None:
    similarity, names, labels = zoo(20, 2)
    places = layout(similarity, names, ["" for _ in labels])
    distance = squareform(pdist(places))
    others = similarity - 2 * np.eye(20)
    nearest = distance[np.arange(20), others.argmax(1)].mean()
    assert nearest < 0.5 * distance[np.triu_indices(20, k=1)].mean()


def test_classical_scaling_recovers_a_plane() -> None:
    points = np.random.default_rng(0).normal(size=(10, 2))
    actual = _classical_scaling(squareform(pdist(points)))
    np.testing.assert_allclose(pdist(actual), pdist(points), atol=1e-9)


CROWDED = CROWD + 300


def test_a_crowd_is_spread_over_the_canvas_and_no_two_points_cover_each_other() -> None:
    similarity, names, labels = zoo(CROWDED, 0)
    places = layout(similarity, names, labels)
    assert pdist(places).min() > 0.9 * POINT
    assert (places >= 0).all()
    assert 0.6 * WIDTH < np.ptp(places[:, 0]) < 1.2 * WIDTH
    assert np.array_equal(places, layout(similarity, names, labels))


def test_neighbours_stand_together_in_a_crowd() -> None:
    similarity, names, labels = zoo(CROWDED, 0)
    distance = squareform(pdist(layout(similarity, names, labels)))
    np.fill_diagonal(similarity, -np.inf)
    nearest = distance[np.arange(CROWDED), similarity.argmax(1)]
    assert np.median(nearest) < 0.25 * np.median(distance)


def test_the_order_of_a_crowd_does_not_matter() -> None:
    similarity, names, labels = zoo(CROWDED, 1)
    order = np.random.default_rng(0).permutation(CROWDED)
    moved = layout(similarity[np.ix_(order, order)], [names[i] for i in order], [labels[i] for i in order])
    assert np.allclose(moved, layout(similarity, names, labels)[order])
