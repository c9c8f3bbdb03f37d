from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest

from pituning.figures.crowd import crowd_option
from pituning.figures.graph_hulls import hull_colours
from pituning.figures.palette import COMMUNITIES, DARK, DIVERGING, LIGHT
from pituning.figures.task_graph import ALONE, FADED, OWN, RINGED, graph_option
from pituning.graph.build import UNKNOWN_MODALITY, task_graph
from pituning.graph.directed import directed_graph
from pituning.graph.ego import Arrow
from pituning.graph.hulls import hulls
from pituning.graph.newcomers import Newcomer, joined
from pituning.graph.predict import Neighbor
from tests.graph.test_build import Info, infos, random_similarity
from tests.graph.test_hulls import placed


@pytest.fixture(scope="module")
def graph() -> nx.Graph:
    return task_graph(random_similarity(12), infos(12), k=2)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            assert type(key) is str
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


@pytest.mark.parametrize("colour_by", ["modality", "community"])
@pytest.mark.parametrize("selected", [None, "task-3", "not-there"])
@pytest.mark.parametrize("dark", [False, True])
def test_plain_values_only(graph: nx.Graph, colour_by: Any, selected: str | None, dark: bool) -> None:
    option = graph_option(graph, colour_by=colour_by, selected=selected, dark=dark)
    assert {type(leaf) for leaf in leaves(option)} <= {str, int, float, bool}
    json.dumps(option, allow_nan=False)


def test_streamlit_takes_it(graph: nx.Graph) -> None:
    from streamlit.elements import echarts_chart

    option, _ = echarts_chart._normalize_spec(graph_option(graph))
    echarts_chart._validate_supported_features(option)
    assert echarts_chart._enables_selection(option)


def test_nodes_keep_order_place_and_shape(graph: nx.Graph) -> None:
    series = graph_option(graph)["series"][0]
    assert (series["type"], series["coordinateSystem"], series["selectedMode"]) == ("graph", "cartesian2d", "single")
    assert [node["id"] for node in series["data"]] == list(graph)
    for node in series["data"]:
        data = graph.nodes[node["id"]]
        assert node["value"] == [data["x"], data["y"]]
        symbol, colour = {"vision": ("circle", 0), "language": ("rect", 1), "vision-language": ("diamond", 2)}[
            data["modality"]
        ]
        assert (node["symbol"], node["itemStyle"]["color"]) == (symbol, LIGHT[colour])
    dark = graph_option(graph, dark=True)["series"][0]["data"][0]
    assert dark["itemStyle"]["color"] == DARK[0]


def test_lines_tell_modalities_and_similarity(graph: nx.Graph) -> None:
    links = graph_option(graph)["series"][0]["links"]
    assert len(links) == graph.number_of_edges()
    by_similarity = sorted(links, key=lambda link: graph[link["source"]][link["target"]]["similarity"])
    widths = [link["lineStyle"]["width"] for link in by_similarity]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (1, 5)
    styles = {
        inter_modal: {
            (link["lineStyle"]["type"], link["lineStyle"]["color"])
            for link in links
            if graph[link["source"]][link["target"]]["inter_modal"] is inter_modal
        }
        for inter_modal in (False, True)
    }
    assert {style for style, _ in styles[True]} == {"dashed"}
    assert {style for style, _ in styles[False]} == {"solid"}
    assert {colour for pairs in styles.values() for _, colour in pairs} == {LIGHT[6]}  # colours are for gains


def test_selected_task_stands_out_with_its_neighbours(graph: nx.Graph) -> None:
    option = graph_option(graph, selected="task-3")
    nodes = {node["id"]: node for node in option["series"][0]["data"]}
    clear = {task for task, node in nodes.items() if node["itemStyle"]["opacity"] == 1}
    assert clear == {"task-3", *graph["task-3"]}
    assert {node["itemStyle"]["opacity"] for task, node in nodes.items() if task not in clear} == {FADED}
    assert nodes["task-3"]["symbolSize"] > nodes["task-0"]["symbolSize"]


def test_communities_are_drawn_behind_and_do_not_take_the_mouse(graph: nx.Graph) -> None:
    drawn = hulls(graph)
    option = graph_option(graph, hulls=drawn)
    assert option["series"][0]["id"] == "tasks"  # what is clicked comes back by it
    behind = option["series"][1:]
    assert all(one["silent"] and one["z"] < option["series"][0]["z"] for one in behind)
    outlines = [one for one in behind if one["type"] == "line"]
    assert [one["data"][0] for one in outlines] == [one["data"][-1] for one in outlines], "closed"
    assert len(outlines) == sum(len(hull.outlines) for hull in drawn)
    xs, ys = np.array([point for one in outlines for point in one["data"]]).T
    assert option["xAxis"]["min"] <= xs.min() <= xs.max() <= option["xAxis"]["max"]
    assert option["yAxis"]["min"] <= ys.min() <= ys.max() <= option["yAxis"]["max"]
    (names,) = [one["data"] for one in behind if one["type"] == "scatter"]
    assert [one["name"] for one in names] == [hull.name for hull in drawn if hull.label]
    assert {type(leaf) for leaf in leaves(option)} <= {str, int, float, bool}

    task = next(name for name, data in graph.nodes(data=True) if data["community"] == 1)
    chosen = graph_option(graph, hulls=drawn, selected=task)["series"][1:]
    strong = {one["id"] for one in chosen if one["type"] == "line" and one["areaStyle"]["opacity"] > 0.1}
    assert {name.split()[1] for name in strong} == {"1"}
    assert len(graph_option(graph)["series"]) == 1


def test_community_colours_and_legend(graph: nx.Graph) -> None:
    drawn = hulls(graph)
    option = graph_option(graph, colour_by="community", hulls=drawn)
    filled = {int(one["id"].split()[1]): one["areaStyle"]["color"] for one in option["series"] if one["type"] == "line"}
    assert set(filled.values()) <= set(COMMUNITIES)
    for node in option["series"][0]["data"]:
        assert node["itemStyle"]["color"] == filled[graph.nodes[node["id"]]["community"]]
    names = [entry["name"] for entry in option["legend"]["data"]]
    assert names[:-2] == [hull.name for hull in drawn]
    assert names[-2:] == ["Same modality", "Across modalities"]
    assert {node["category"] for node in option["series"][0]["data"]} == set(names[:-2])

    near = placed(np.array([[0.0, 0.0], [90.0, 0.0], [200.0, 0.0], [290.0, 0.0], [0.0, 150.0]]), [0, 0, 1, 1, 2])
    assert len(set(hull_colours(hulls(near), dark=False).values())) == 2
    for data in near.nodes.values():
        data |= {"modality": "vision", "title": data["label"], "families": ()}
    near.nodes["t4"]["community_name"] = ""
    alone = graph_option(near, colour_by="community", hulls=hulls(near))
    assert (alone["series"][0]["data"][-1]["category"], alone["legend"]["data"][-1]["name"]) == (ALONE, ALONE)


def test_measured_effects_are_arrows_over_grey_lines(graph: nx.Graph) -> None:
    arrows = [
        Arrow(donor="task-3", target="task-0", gain=8.0, half=2.0),
        Arrow(donor="task-5", target="task-0", gain=-4.0),
    ]
    option, plain = (graph_option(graph, selected="task-0", arrows=drawn) for drawn in (arrows, []))
    series, before = option["series"][0], plain["series"][0]
    assert [node["value"] for node in series["data"]] == [node["value"] for node in before["data"]]
    count = len(before["links"])  # what is clicked comes back as a place in this order
    assert [(link["source"], link["target"]) for link in series["links"][:count]] == [
        (link["source"], link["target"]) for link in before["links"]
    ]
    assert {link["lineStyle"]["color"] for link in series["links"][:count]} == {LIGHT[6]}
    helps, harms = series["links"][count:]
    assert (helps["source"], helps["target"], helps["symbol"]) == ("task-3", "task-0", ["none", "arrow"])
    assert (helps["lineStyle"]["color"], harms["lineStyle"]["color"]) == (DIVERGING[-2], DIVERGING[1])
    assert helps["lineStyle"]["width"] > harms["lineStyle"]["width"]
    assert helps["lineStyle"]["opacity"] > harms["lineStyle"]["opacity"]  # of one seed nobody knows
    assert "<b>+8.0 points</b>, ± 2.0 over seeds" in helps["tooltip"]["formatter"]
    assert "<b>−4.0 points</b>, one seed" in harms["tooltip"]["formatter"]
    bright = {node["id"] for node in series["data"] if node["itemStyle"]["opacity"] == 1}
    assert {"task-3", "task-5"} <= bright
    assert {"Helps", "Harms"} <= {entry["name"] for entry in option["legend"]["data"]}


def test_titles_of_users_are_text() -> None:
    nasty = "<img src=x onerror=alert(1)>{b}"
    graph = task_graph(random_similarity(2), [Info("a", nasty, "vision"), Info("b", "B", "smell")])
    series = graph_option(graph)["series"][0]
    for item in (series["data"][0], series["links"][0]):
        assert "<img" not in item["tooltip"]["formatter"]
        assert "{b}" not in item["tooltip"]["formatter"]
        assert "&lt;img" in item["tooltip"]["formatter"]


def test_one_task_and_none() -> None:
    assert graph_option(task_graph(np.ones((1, 1)), infos(1)))["series"][0]["links"] == []
    assert graph_option(task_graph(np.ones((0, 0)), []))["series"][0]["data"] == []


def test_a_title_is_cut_off_only_where_it_is_very_long() -> None:
    titles = ["Natural language inference", "A title that nobody could read below a small point"]
    named = [replace(info, title=title) for info, title in zip(infos(2), titles, strict=True)]
    names = [node["name"] for node in graph_option(task_graph(random_similarity(2), named, k=1))["series"][0]["data"]]
    assert names[0] == "Natural language inference"
    assert names[1].endswith("…")


def test_arrows_tell_gain_and_harm(graph: nx.Graph) -> None:
    values = np.full((12, 12), np.nan)
    values[0, 3], values[0, 1], values[3, 0] = 8.0, -4.0, 2.0
    option = graph_option(directed_graph(graph, values, k=3))
    series = option["series"][0]
    assert series["edgeSymbol"] == ["none", "arrow"]
    links = {(link["source"], link["target"]): link for link in series["links"]}
    assert set(links) == {("task-3", "task-0"), ("task-1", "task-0"), ("task-0", "task-3")}
    styles = {pair: link["lineStyle"] for pair, link in links.items()}
    assert styles["task-3", "task-0"]["width"] == 5
    assert styles["task-1", "task-0"]["width"] == 3  # half the size of the largest
    assert styles["task-3", "task-0"]["color"] == styles["task-0", "task-3"]["color"] == DIVERGING[-2]
    assert styles["task-1", "task-0"]["color"] == DIVERGING[1]
    assert (styles["task-3", "task-0"]["type"], styles["task-1", "task-0"]["type"]) == ("solid", "dashed")
    assert "−4.00" in links["task-1", "task-0"]["tooltip"]["formatter"]
    sure = directed_graph(graph, values, k=3, halves={"task-0": {"task-3": 3.0}})
    drawn = {(link["source"], link["target"]): link for link in graph_option(sure)["series"][0]["links"]}
    pale = {pair for pair, link in drawn.items() if link["lineStyle"]["opacity"] < 0.5}
    assert pale == set(links) - {("task-3", "task-0")}, "of one seed nobody knows"
    assert "± 3.0 over seeds" in drawn["task-3", "task-0"]["tooltip"]["formatter"]
    assert [entry["name"] for entry in option["legend"]["data"]][-3:] == ["Helps", "Harms", "Dashed: across modalities"]
    for leaf in leaves(option):
        assert type(leaf) in (str, int, float, bool)


def test_the_views_have_the_same_places(graph: nx.Graph) -> None:
    def places(option: dict[str, Any]) -> Any:
        plane = [option[name] for name in ("grid", "xAxis", "yAxis")]
        return [(node["id"], node["value"]) for node in option["series"][0]["data"]], plane

    arrows = directed_graph(graph, np.ones((12, 12)))
    here = places(graph_option(graph))
    assert places(graph_option(arrows)) == here
    assert places(graph_option(graph, selected="task-3", other="task-1", sizes={"task-1": 9.0, "task-2": 1.0})) == here
    effects = [Arrow(donor="task-3", target="task-0", gain=gain) for gain in (8.0, -8.0)]
    assert places(graph_option(graph, selected="task-0", arrows=effects)) == here


def test_of_a_pair_only_the_two_stand_out(graph: nx.Graph) -> None:
    a, b = next(iter(graph.edges))
    series = graph_option(graph, selected=b, other=a)["series"][0]
    assert {node["id"] for node in series["data"] if node["itemStyle"]["opacity"] == 1} == {a, b}
    clear = [link for link in series["links"] if link["lineStyle"]["opacity"] > 0.4]
    assert [{link["source"], link["target"]} for link in clear] == [{a, b}]


def test_the_area_of_a_node_is_in_proportion() -> None:
    tasks = [Info(name, name.upper(), "vision") for name in "abc"]
    graph = task_graph(random_similarity(3), tasks)
    sizes = {"a": 1000.0, "b": 500.0, "c": 1.0}
    nodes = graph_option(graph, sizes=sizes, size_unit="training examples")["series"][0]["data"]
    a, b, c = (node["symbolSize"] for node in nodes)
    assert (a / b) ** 2 == pytest.approx(2, rel=0.1)  # whole pixels
    assert c >= 12, "still to be hit"
    assert "1,000 training examples" in nodes[0]["tooltip"]["formatter"]
    alike = graph_option(graph, sizes=dict.fromkeys("abc", 7.0))["series"][0]["data"]
    assert [node["symbolSize"] for node in alike] == [24, 24, 24]


def test_a_line_to_a_task_of_unknown_modality_crosses_nothing() -> None:
    tasks = [Info("a", "A", UNKNOWN_MODALITY), Info("b", "B", "vision")]
    option = graph_option(task_graph(random_similarity(2), tasks))
    assert [entry["name"] for entry in option["legend"]["data"]] == ["Vision", "Modality unknown"]
    assert option["series"][0]["data"][0]["itemStyle"]["color"] == LIGHT[6]


def test_a_task_that_joined_has_a_ring_and_dotted_lines(graph: nx.Graph) -> None:
    near = [
        Neighbor(task="task-3", similarity=0.5, rank=1, confidence=0.9),
        Neighbor(task="task-1", similarity=0.4, rank=2),
    ]
    mine = Newcomer(info=Info("mine", "<b>Mine", "vision"), near=tuple(near), donors=("task-1", "task-3"))
    whole = joined(graph, [mine])
    option = graph_option(whole)
    assert all(leaf is None or type(leaf) in (str, int, float, bool) for leaf in leaves(option))
    series, plain = option["series"][0], graph_option(graph)["series"][0]
    assert [{**node, "category": None} for node in series["data"][:-1]] == [
        {**node, "category": None} for node in plain["data"]
    ]
    own = series["data"][-1]
    assert own["symbol"] == RINGED["circle"]
    assert "Yours, placed from its shots" in own["tooltip"]["formatter"]
    assert "<b>Mine" not in own["tooltip"]["formatter"].removeprefix("<b>")
    drawn = {link["source"]: link for link in series["links"] if link["target"] == "mine"}
    sure, unknown = drawn["task-3"], drawn["task-1"]
    assert sure["lineStyle"]["type"] == "dotted"
    assert "Task 3, predicted donor 1 of &lt;b&gt;Mine" in sure["tooltip"]["formatter"]
    assert "stable rank 90 %" in sure["tooltip"]["formatter"]
    assert "stable rank" not in unknown["tooltip"]["formatter"]
    assert sure["lineStyle"]["opacity"] > unknown["lineStyle"]["opacity"]
    names = [entry["name"] for entry in option["legend"]["data"]]
    assert {OWN, "Predicted donor"} <= set(names)
    assert OWN not in [entry["name"] for entry in graph_option(graph)["legend"]["data"]]
    crowd = crowd_option(whole, selected="mine")
    drawn = {series["id"]: series for series in crowd["series"]}
    assert drawn["tasks Vision"]["data"][-1]["symbol"] == RINGED["circle"]
    assert drawn["lines Predicted donor"]["data"]
    assert OWN in [entry["name"] for entry in crowd["legend"]["data"]]
    arrows = graph_option(joined(directed_graph(graph, np.ones((12, 12)), k=1), [mine]))["series"][0]
    assert arrows["data"][-1]["id"] == "mine"
    assert (option["xAxis"], option["yAxis"]) == (
        graph_option(graph)["xAxis"],
        graph_option(graph)["yAxis"],
    )  # all stay
