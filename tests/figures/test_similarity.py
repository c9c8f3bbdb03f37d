from __future__ import annotations

import json

import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.figures.palette import HIGHLIGHT, LIGHT
from pituning.figures.similarity import cluster_order, neighbor_bars, similarity_heatmap
from pituning.graph.predict import Neighbor

# Two blocks, interleaved.
BLOCKS = np.array([[1.0, 0.1, 0.9, 0.1], [0.1, 1.0, 0.2, 0.8], [0.9, 0.2, 1.0, 0.0], [0.1, 0.8, 0.0, 1.0]])


def test_clusters_stand_together() -> None:
    order = cluster_order(BLOCKS)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    assert cluster_order(np.eye(2)) == [0, 1]


def test_heatmap() -> None:
    figure = similarity_heatmap(BLOCKS, ["a", "b", "c", "d"])
    heat = figure.data[0]
    for i, row in enumerate(heat.y):
        for j, column in enumerate(heat.x):
            expected = None if i == j else BLOCKS["abcd".index(row), "abcd".index(column)]
            assert heat.z[i][j] == expected
    assert (heat.zmin, heat.zmax) == (0, 0.9)
    assert figure.layout.xaxis.title.text == figure.layout.yaxis.title.text == "Task"
    json.loads(figure.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_both_signs_are_coloured_around_zero() -> None:
    heat = similarity_heatmap(BLOCKS - 0.3, ["a", "b", "c", "d"]).data[0]
    assert heat.zmin == pytest.approx(-0.6)
    assert heat.zmax == pytest.approx(0.6)


def test_heatmap_of_few_and_unfit() -> None:
    similarity_heatmap(np.ones((1, 1)), ["a"])
    with pytest.raises(BadInput, match="3 tasks"):
        similarity_heatmap(BLOCKS, ["a", "b", "c"])


def test_neighbours() -> None:
    found = [
        Neighbor(task="rte", similarity=0.6, rank=1, confidence=1.0, low=0.5, high=0.65),
        Neighbor(task="vqa", similarity=0.4, rank=2, confidence=0.62, low=0.3, high=0.45),
    ]
    modalities = {"rte": "language", "vqa": "vision-language"}
    figure = neighbor_bars(found, titles={"rte": "Does <i> follow?"}, modalities=modalities)
    bars, texts = figure.data
    assert list(bars.x) == [0.4, 0.6]  # best on top
    assert list(figure.layout.yaxis.ticktext) == ["vqa", "Does &lt;i&gt; follow?"]
    assert list(bars.marker.color) == [LIGHT[2], LIGHT[1]]
    np.testing.assert_allclose(np.array(bars.x) + bars.error_x.array, [0.45, 0.65])
    np.testing.assert_allclose(np.array(bars.x) - bars.error_x.arrayminus, [0.3, 0.5])
    assert [text.strip("\u2002") for text in texts.text] == ["62% sure", "100% sure"]


def test_neighbours_without_replicates() -> None:
    figure = neighbor_bars([Neighbor(task="rte", similarity=0.6, rank=1)])
    assert figure.data[0].error_x.visible is False
    assert list(figure.data[1].text) == [""]
    assert list(figure.data[0].marker.color) == [HIGHLIGHT]
