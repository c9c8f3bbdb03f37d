from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest

from pituning.figures.crowd import crowd_members, crowd_option
from pituning.figures.task_graph import FADED
from pituning.graph.build import task_graph
from pituning.graph.directed import directed_graph
from pituning.graph.hulls import hulls
from pituning.graph.layout import CROWD
from tests.figures.test_task_graph import leaves
from tests.graph.test_build import infos, random_similarity

COUNT = CROWD + 10


@pytest.fixture(scope="module")
def graph() -> nx.Graph:
    return task_graph(random_similarity(COUNT), infos(COUNT), k=2)


def series(option: dict, kind: str) -> list[dict]:  # type: ignore[type-arg]
    return [one for one in option["series"] if one["type"] == kind and not one["id"].startswith("chosen")]


@pytest.mark.parametrize("selected", [None, "task-3", "not-there"])
def test_streamlit_takes_it_and_asks_for_clicks(graph: nx.Graph, selected: str | None) -> None:
    from streamlit.elements import echarts_chart

    option = crowd_option(graph, selected=selected)
    assert {type(leaf) for leaf in leaves(option)} <= {str, int, float, bool}
    json.dumps(option, allow_nan=False)
    normal, _ = echarts_chart._normalize_spec(option)
    echarts_chart._validate_supported_features(normal)
    assert echarts_chart._enables_selection(normal)


def test_every_task_is_one_point_at_its_place(graph: nx.Graph) -> None:
    members = crowd_members(graph, "community")
    points = {one["id"]: one["data"] for one in series(crowd_option(graph, colour_by="community"), "scatter")}
    assert set(points) == set(members)
    assert sorted(task for tasks in members.values() for task in tasks) == sorted(graph)
    for name, tasks in members.items():
        for task, point in zip(tasks, points[name], strict=True):
            assert point["value"] == [graph.nodes[task]["x"], graph.nodes[task]["y"]]


def test_every_line_is_drawn_once_between_its_tasks(graph: nx.Graph) -> None:
    drawn = []
    for one in series(crowd_option(graph), "lines"):
        corners = np.array(one["data"]).reshape(-1, 5)
        assert (corners[:, 0] == 2).all()
        drawn += [frozenset([(a, b), (c, d)]) for _, a, b, c, d in corners.tolist()]
    place = {task: (data["x"], data["y"]) for task, data in graph.nodes(data=True)}
    assert sorted(map(sorted, drawn)) == sorted(sorted([place[a], place[b]]) for a, b in graph.edges)


def test_the_chosen_task_and_its_neighbours_stand_out(graph: nx.Graph) -> None:
    task = "task-3"
    option = crowd_option(graph, selected=task)
    on_top = {one["id"]: one["data"] for one in option["series"] if one["id"].startswith("chosen")}
    assert len(on_top["chosen tasks"]) == 1 + graph.degree[task]
    assert on_top["chosen tasks"][-1]["name"] == graph.nodes[task]["label"]
    assert len(on_top["chosen lines"]) == graph.degree[task]
    assert {one["itemStyle"]["opacity"] for one in series(option, "scatter")} == {FADED}
    other = next(iter(graph[task]))
    pair = {one["id"]: one["data"] for one in crowd_option(graph, selected=task, other=other)["series"]}
    assert (len(pair["chosen tasks"]), len(pair["chosen lines"])) == (2, 1)


def test_nothing_fades_while_nothing_is_chosen(graph: nx.Graph) -> None:
    option = crowd_option(graph)
    assert not [one for one in option["series"] if one["id"].startswith("chosen")]
    assert {one["itemStyle"]["opacity"] for one in series(option, "scatter")} == {1}


def test_communities_are_named_behind_the_points(graph: nx.Graph) -> None:
    drawn = hulls(graph)
    assert drawn
    behind = crowd_option(graph, hulls=drawn)["series"][-1]
    assert [one["name"] for one in behind["data"]] == [hull.name for hull in drawn if hull.label]
    assert behind["silent"]


def test_the_legend_names_what_is_drawn(graph: nx.Graph) -> None:
    gains = np.random.default_rng(0).normal(size=(COUNT, COUNT))
    arrows = directed_graph(graph, gains, k=1, threshold=None, worst=True)
    for option in (crowd_option(graph), crowd_option(arrows), crowd_option(arrows, gain_unit="")):
        names = {one["name"] for one in option["series"] if "name" in one}
        assert {entry["name"] for entry in option["legend"]["data"]} == names
