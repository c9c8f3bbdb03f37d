from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.errors import BadInput
from pituning.figures.labels import PLACES, _box, _overlap, place_labels
from pituning.figures.palette import LIGHT
from pituning.figures.projection import CANVAS, FADED, Cloud, map_figure
from pituning.graph.projection import find_projection, load_projection
from pituning.graph.settings import MapSettings
from pituning.tasks.registry import list_tasks
from pituning.workspace.layout import Workspace, embedded_data
from pituning.workspace.zoo import Zoo
from tests.graph.test_build import Info

INFOS = [
    Info("a", "Apples", "vision"),
    Info("b", "Does <i> follow?", "language"),
    Info("c", "A title that is much longer than a map has room for", "vision-language"),
]
POINTS = np.array([[0.0, 0], [1, 0], [1, 1]])
MODALITIES = ["Vision", "Language", "Vision-language"]


def traces(figure: object) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data}  # type: ignore[attr-defined]


def test_a_point_says_its_task_its_modality_and_its_group() -> None:
    figure = map_figure(POINTS, INFOS, ["One", "", "Two"])
    tasks = traces(figure)["tasks"]
    assert list(tasks.customdata) == ["a", "b", "c"]
    assert list(tasks.marker.symbol) == ["circle", "square", "diamond"]
    assert list(tasks.marker.color) == [LIGHT[0], LIGHT[-1], LIGHT[1]]
    assert tasks.text[1] == "<b>Does &lt;i&gt; follow?</b><br>Language"
    assert list(traces(figure)) == ["tasks", "names", *MODALITIES, "One", "Two"]
    assert figure.layout.yaxis.scaleanchor == "x"
    json.loads(figure.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_modalities_have_their_own_colours() -> None:
    actual = traces(map_figure(POINTS, INFOS, MODALITIES))
    assert list(actual["tasks"].marker.color) == list(LIGHT[:3])
    assert [actual[name].marker.color for name in MODALITIES] == list(LIGHT[:3])


def test_what_is_not_picked_out_fades() -> None:
    actual = traces(map_figure(POINTS, INFOS, MODALITIES, chosen=["b", "gone"]))
    assert list(actual["tasks"].marker.opacity) == [FADED, 1, FADED]
    assert list(actual["names"].text) == ["Does &lt;i&gt; follow?"]
    everything = traces(map_figure(POINTS, INFOS, MODALITIES, chosen=["gone"]))
    assert list(everything["tasks"].marker.opacity) == [1, 1, 1]


def test_clouds() -> None:
    cloud = Cloud(points=np.stack([POINTS, POINTS + 3]), names=("encoder layer 1", "other"))
    figure = map_figure(POINTS, INFOS, MODALITIES, cloud=cloud)
    dots = traces(figure)["cloud"]
    assert list(dots.x) == [0, 1, 1, 3, 4, 4]
    assert dots.text[4] == "Does &lt;i&gt; follow?, other"
    assert figure.layout.xaxis.range[1] > 4
    assert traces(map_figure(POINTS, INFOS, MODALITIES, cloud=Cloud(points=cloud.points)))["cloud"].hoverinfo == "skip"


def test_small_many_none_and_unfit() -> None:
    assert list(traces(map_figure(POINTS, INFOS, MODALITIES, large=False))) == ["tasks"]
    many = [Info(f"t{i}", f"Task {i}", "vision") for i in range(1600)]
    figure = map_figure(np.random.default_rng(0).normal(size=(1600, 2)), many, ["Vision"] * 1600)
    assert figure.data[0].type == "scattergl"
    assert "names" not in traces(figure)
    map_figure(np.zeros((0, 2)), [], [])
    map_figure(np.zeros((1, 2)), INFOS[:1], ["Vision"])
    with pytest.raises(BadInput, match="3 tasks"):
        map_figure(POINTS[:2], INFOS, MODALITIES)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(0, 12))
def test_every_name_has_a_place(seed: int, n: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 500, (n, 2))
    actual = place_labels(points, ["name"] * n, (500, 500))
    assert len(actual) == n
    assert set(actual) <= set(PLACES)


def test_names_keep_out_of_each_others_way_and_inside() -> None:
    side_by_side = place_labels(np.array([[200.0, 200], [215, 200]]), ["a long name", "a long name"], (500, 500))
    assert len(set(side_by_side)) == 2
    assert place_labels(np.array([[250.0, 4]]), ["name"], (500, 500)) == ["bottom center"]


@pytest.mark.parametrize("backbone", ["mini", "smolvision"])
def test_names_of_the_shipped_map_hide_nothing(backbone: str, tmp_path: Path) -> None:
    zoo = Zoo.at(embedded_data() / "zoos" / backbone)  # type: ignore[operator]
    kept = find_projection(zoo, "lora", "probe", MapSettings())
    assert kept is not None
    made = load_projection(kept.path)
    titles = {info.name: info.title for info in list_tasks(Workspace.open(tmp_path / "ws"), backbone)}
    infos = [Info(name, titles[name], "vision") for name in made.names]
    figure = map_figure(made.maps["umap"].points, infos, ["Vision"] * len(infos))
    (names,) = (trace for trace in figure.data if trace.name == "names")
    (low, high), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    scale = min(CANVAS[0] / (high - low), CANVAS[1] / (top - bottom))
    points = np.column_stack([names.x, names.y]) * [scale, -scale]
    boxes = np.array([_box(*one) for one in zip(points, names.text, names.textposition, strict=True)])
    for i in range(len(boxes)):
        others = np.arange(len(boxes)) != i
        dots = np.concatenate([points[others] - 8, points[others] + 8], axis=1)
        assert _overlap(boxes[i], np.concatenate([boxes[others], dots])) == 0, names.text[i]
