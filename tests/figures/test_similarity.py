from __future__ import annotations

import json

import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.figures.palette import DARK, DIVERGING, HIGHLIGHT, LIGHT, SEQUENTIAL
from pituning.figures.similarity import layer_words, neighbor_bars, part_bars, part_label, similarity_heatmap
from pituning.graph.predict import Neighbor
from tests.graph.test_build import Info

BLOCKS = np.array([[1.0, 0.9, 0.1, 0.1], [0.9, 1.0, 0.2, 0.0], [0.1, 0.2, 1.0, 0.8], [0.1, 0.0, 0.8, 1.0]])


INFOS = [
    Info("a", "Apples", "vision"),
    Info("b", "Does <i> follow?", "language"),
    Info("c", "A title that is much longer than an axis has room for", "vision-language"),
    Info("d", "", "vision"),
]


def test_heatmap() -> None:
    figure = similarity_heatmap(BLOCKS, INFOS)
    heat, cells = figure.data[:2]
    for i, row in enumerate(heat.z):
        assert [value is None for value in row] == [i == j for j in range(4)]
        assert [value for value in row if value is not None] == [BLOCKS[i, j] for j in range(4) if i != j]
    assert (heat.zmin, heat.zmax) == (0, 0.9)
    assert heat.colorscale[-1][1] == SEQUENTIAL[-1]
    assert len(cells.x) == len(cells.customdata) == 12
    for x, y, names, text in zip(cells.x, cells.y, cells.customdata, cells.text, strict=True):
        assert list(names) == ["abcd"[y], "abcd"[x]]
        assert f"Similarity {BLOCKS[y, x]:.3f}" in text
    assert "Rank for Apples: 1 of 3" in cells.text[0]
    assert [trace.name for trace in figure.data[2:]] == ["Vision", "Language", "Vision-language"]
    json.loads(figure.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_names_carry_the_sign_of_their_modality() -> None:
    labels = similarity_heatmap(BLOCKS, INFOS, dark=True).layout.xaxis.ticktext
    assert [label[label.index(">") + 1] for label in labels] == ["●", "■", "◆", "●"]
    assert DARK[0] in labels[0]
    assert labels[1].startswith("Does &lt;i&gt; follow?")
    assert labels[2].startswith("A title that is much long…")
    assert labels[3].startswith("d ")


def test_both_signs_are_coloured_around_zero() -> None:
    heat = similarity_heatmap(BLOCKS - 0.3, INFOS).data[0]
    assert heat.zmin == pytest.approx(-0.6)
    assert heat.zmax == pytest.approx(0.6)
    assert heat.colorscale[0][1] == DIVERGING[0]


def test_scales_of_the_heatmap() -> None:
    ranked = similarity_heatmap(BLOCKS, INFOS, scale="rank").data[0]
    assert list(ranked.z[0]) == [None, 1, 2, 3]
    assert ranked.colorscale[0][1] == SEQUENTIAL[-1]  # the first place stands out
    standard = similarity_heatmap(BLOCKS, INFOS, scale="row").data[0]
    assert standard.zmin == -standard.zmax


def test_what_is_chosen_is_outlined() -> None:
    pair = similarity_heatmap(BLOCKS, INFOS, chosen=("b", "d"))
    assert [(shape.x0, shape.y0) for shape in pair.layout.shapes[::2]] == [(2.5, 0.5), (0.5, 2.5)]
    assert "<b>Does" in pair.layout.yaxis.ticktext[1]
    row = similarity_heatmap(BLOCKS, INFOS, chosen=("b", None)).layout.shapes
    assert [(shape.x0, shape.x1, shape.y0) for shape in row[::2]] == [(-0.5, 3.5, 0.5)]
    assert similarity_heatmap(BLOCKS, INFOS, chosen=("gone", "a")).layout.shapes == ()


def test_heatmap_of_few_of_many_and_of_what_does_not_fit() -> None:
    assert list(similarity_heatmap(np.ones((1, 1)), INFOS[:1]).data[0].z[0]) == [None]
    many = [Info(f"t{i}", f"Task {i}", "vision") for i in range(100)]
    figure = similarity_heatmap(np.eye(100), many)
    assert [trace.type for trace in figure.data] == ["heatmap", "scatter"]  # no cells to click
    with pytest.raises(BadInput, match="3 tasks"):
        similarity_heatmap(BLOCKS, INFOS[:3])


def test_layers() -> None:
    figure = part_bars({"encoder.0": 0.2, "decoder.1": 0.7, "other": 0.1}, {"encoder.0": 0, "decoder.1": 1, "other": 0})
    bars, marks = figure.data
    assert list(bars.y) == list(marks.y) == ["Other", "Decoder 2", "Encoder 1"]
    assert list(bars.x) == [0.1, 0.7, 0.2]


def test_modules() -> None:
    figure = part_bars({"self_attn.q_proj": 0.2, "fc1": 0.1}, {"self_attn.q_proj": 0, "fc1": 0}, unit="By module")
    assert list(figure.data[0].y) == ["Feed-forward, first", "Self-attention, query"]
    assert figure.layout.xaxis.title.text == "By module"


def test_neighbours() -> None:
    actual = [
        Neighbor(task="rte", similarity=0.6, rank=1, confidence=1.0, low=0.5, high=0.65),
        Neighbor(task="vqa", similarity=0.4, rank=2, confidence=0.62, low=0.3, high=0.45),
    ]
    modalities = {"rte": "language", "vqa": "vision-language"}
    figure = neighbor_bars(actual, titles={"rte": "Does <i> follow?"}, modalities=modalities)
    bars, texts = figure.data
    assert list(bars.x) == [0.4, 0.6]  # best on top
    assert list(figure.layout.yaxis.ticktext) == ["vqa", "Does &lt;i&gt; follow?"]
    assert list(bars.marker.color) == [LIGHT[2], LIGHT[1]]
    np.testing.assert_allclose(np.array(bars.x) + bars.error_x.array, [0.45, 0.65])
    np.testing.assert_allclose(np.array(bars.x) - bars.error_x.arrayminus, [0.3, 0.5])
    assert [text.strip("\u2002") for text in texts.text] == ["stable rank 62 %", "stable rank 100 %"]


def test_neighbours_without_replicates() -> None:
    figure = neighbor_bars([Neighbor(task="rte", similarity=0.6, rank=1)])
    assert figure.data[0].error_x.visible is False
    assert list(figure.data[1].text) == [""]
    assert list(figure.data[0].marker.color) == [HIGHLIGHT]


def test_layers_are_counted_from_one_whatever_their_numbers() -> None:
    assert [part_label(name) for name in ("encoder.0", "vision.0.1", "multi_modal_projector")] == [
        "Encoder 1", "Vision 1.2", "Multi modal projector",
    ]  # fmt: skip
    assert [layer_words(name, " layer ") for name in ("decoder.2", "other")] == ["decoder layer 3", "other"]
