from __future__ import annotations

import csv
import json

import networkx as nx
import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.graph.build import task_graph
from pituning.graph.directed import directed_graph
from pituning.graph.export import FORMATS, export_bytes
from tests.graph.test_build import infos, random_similarity

NAN = float("nan")
VALUES = np.array(
    [
        [NAN, 5.0, -9.0, 1.0],
        [2.0, NAN, 2.5, NAN],
        [NAN, NAN, NAN, NAN],
        [0.5, -0.2, 0.1, 7.0],  # what a task does for itself does not count
    ]
)


@pytest.fixture
def graph() -> nx.Graph:
    return task_graph(random_similarity(4), infos(4), k=1)


def arrows(found: nx.DiGraph) -> dict[tuple[str, str], float]:
    return {(donor[-1], target[-1]): gain for donor, target, gain in found.edges(data="gain")}


def test_the_best_and_the_worst_donors_of_each_task(graph: nx.Graph) -> None:
    best = directed_graph(graph, VALUES, k=1)
    assert arrows(best) == {("1", "0"): 5.0, ("2", "1"): 2.5, ("0", "3"): 0.5}
    worst = directed_graph(graph, VALUES, k=1, worst=True)
    assert arrows(worst) == {("2", "0"): -9.0, ("0", "1"): 2.0, ("1", "3"): -0.2}
    assert worst["task-2"]["task-0"]["rank"] == 3
    assert len(directed_graph(graph, VALUES).edges) == 6


def test_a_threshold_counts_harm_too(graph: nx.Graph) -> None:
    actual = directed_graph(graph, VALUES, threshold=2.5)
    assert arrows(actual) == {("1", "0"): 5.0, ("2", "0"): -9.0, ("2", "1"): 2.5}


def test_tasks_stay_where_they_are(graph: nx.Graph) -> None:
    actual = directed_graph(graph, VALUES, k=3)
    assert list(actual) == list(graph)
    assert dict(actual.nodes(data=True)) == dict(graph.nodes(data=True))
    assert actual["task-1"]["task-0"]["inter_modal"] is True
    assert actual["task-0"]["task-3"]["inter_modal"] is False


def test_an_effect_is_certain_where_its_interval_leaves_0_out(graph: nx.Graph) -> None:
    halves = {"task-0": {"task-1": 4.9, "task-2": 9.1}, "task-1": {}}
    actual = directed_graph(graph, VALUES, k=3, halves=halves)
    certain = {(donor, target) for donor, target, sure in actual.edges(data="certain") if sure}
    assert certain == {("task-1", "task-0")}
    assert actual["task-2"]["task-0"]["half"] == 9.1
    assert "half" not in actual["task-0"]["task-1"]
    assert not any("certain" in data for *_, data in directed_graph(graph, VALUES).edges(data=True))


def test_nothing_known_is_no_arrow(graph: nx.Graph) -> None:
    assert not directed_graph(graph, np.full((4, 4), NAN)).edges


def test_values_that_do_not_fit(graph: nx.Graph) -> None:
    with pytest.raises(BadInput, match=r"shape \(3, 3\) for 4 tasks"):
        directed_graph(graph, np.zeros((3, 3)))


@pytest.mark.parametrize("file_format", FORMATS)
def test_files_keep_the_direction(graph: nx.Graph, file_format: str) -> None:
    actual = directed_graph(graph, VALUES, k=3)
    data = export_bytes(actual, file_format)
    if file_format == "csv":
        rows = list(csv.DictReader(data.decode().splitlines()))
        assert {(row["source"], row["target"]): float(row["gain"]) for row in rows} == dict(
            nx.get_edge_attributes(actual, "gain")
        )
    if file_format == "graphml":
        assert set(nx.parse_graphml(data.decode()).edges) == set(actual.edges)
    if file_format == "json":
        assert json.loads(data)["directed"] is True
