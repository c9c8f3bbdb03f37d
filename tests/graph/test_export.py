from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from pituning.errors import ArtefactError, BadInput
from pituning.graph.build import task_graph
from pituning.graph.export import FORMATS, export_bytes, export_graph
from tests.graph.test_build import Info, random_similarity


@pytest.fixture
def graph() -> nx.Graph:
    tasks = [
        Info("nli", 'Does it follow? <b>"&\x07', "language", ("inference", "pairs")),
        Info("shape", "Gestalt: Größe ∆ 形", "vision"),
        Info("vqa", "Questions", "vision-language", ("inference",)),
        Info("digits", "Digits", "vision"),
    ]
    return task_graph(random_similarity(4), tasks, k=1)


def same_edges(back: nx.Graph, graph: nx.Graph) -> None:
    assert set(back.nodes) == set(graph.nodes)
    assert {frozenset(edge) for edge in back.edges} == {frozenset(edge) for edge in graph.edges}
    for a, b, data in graph.edges(data=True):
        assert float(back[a][b]["similarity"]) == data["similarity"]
        assert back[a][b]["inter_modal"] is data["inter_modal"]


def test_graphml(graph: nx.Graph, tmp_path: Path) -> None:
    export_graph(graph, tmp_path / "tasks.graphml")
    back = nx.read_graphml(tmp_path / "tasks.graphml")
    same_edges(back, graph)
    assert back.nodes["nli"]["title"] == 'Does it follow? <b>"&'  # the bell is gone, the rest is escaped
    assert back.nodes["shape"]["title"] == "Gestalt: Größe ∆ 形"
    assert back.nodes["nli"]["families"] == "inference;pairs"
    assert back.nodes["vqa"]["x"] == graph.nodes["vqa"]["x"]


def test_gexf(graph: nx.Graph, tmp_path: Path) -> None:
    export_graph(graph, tmp_path / "tasks.gexf")
    back = nx.read_gexf(tmp_path / "tasks.gexf")
    same_edges(back, graph)
    assert back.nodes["nli"]["viz"]["position"]["x"] == pytest.approx(graph.nodes["nli"]["x"])
    assert back.nodes["digits"]["modality"] == "vision"


def test_json(graph: nx.Graph, tmp_path: Path) -> None:
    export_graph(graph, tmp_path / "tasks.json")
    document = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    same_edges(nx.node_link_graph(document, edges="edges"), graph)
    assert {"nodes", "edges"} <= set(document)


def test_csv(graph: nx.Graph) -> None:
    rows = list(csv.DictReader(io.StringIO(export_bytes(graph, "csv").decode())))
    assert [(row["source"], row["target"]) for row in rows] == list(graph.edges)
    for row in rows:
        data = graph[row["source"]][row["target"]]
        assert float(row["similarity"]) == data["similarity"]
        assert row["inter_modal"] == str(data["inter_modal"]).lower()


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_graph_without_edges_or_nodes(file_format: str) -> None:
    lonely = task_graph(np.eye(2), [Info("a", "A", "vision"), Info("b", "B", "vision")], threshold=2)
    assert export_bytes(lonely, file_format)
    assert export_bytes(task_graph(np.zeros((0, 0)), []), file_format)


def test_same_bytes_twice(graph: nx.Graph) -> None:
    # GEXF carries the date of its making, as its schema asks.
    for file_format in ("graphml", "json", "csv"):
        assert export_bytes(graph, file_format) == export_bytes(graph, file_format)


def test_export_leaves_the_graph_alone(graph: nx.Graph) -> None:
    before = nx.to_dict_of_dicts(graph), dict(graph.nodes(data=True))
    for file_format in FORMATS:
        export_bytes(graph, file_format)
    assert (nx.to_dict_of_dicts(graph), dict(graph.nodes(data=True))) == before
    assert "viz" not in graph.nodes["nli"]
    assert all("weight" not in data for *_, data in graph.edges(data=True))


def test_bad_places(graph: nx.Graph, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'xlsx' is not known; name a file that ends in \.graphml"):
        export_graph(graph, tmp_path / "tasks.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtefactError):
        export_graph(graph, tmp_path / "file" / "tasks.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
