from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from app.components import graph_view
from pituning.tasks.files import ColumnMapping, read_table, save_task, task_from_table
from pituning.workspace.layout import Workspace
from tests.app.conftest import OpenPage, healthy, texts


def option(at) -> dict:  # type: ignore[no-untyped-def, type-arg]
    return json.loads(at.get("echarts_chart")[0].proto.spec)


def test_the_graph_has_every_task_of_the_zoo(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph"))

    assert len(option(at)["series"][0]["data"]) == 20
    assert "No task chosen" in texts(at)


def test_a_link_to_a_task_opens_its_panel(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="nli"))

    said = texts(at)
    assert "Natural language inference" in said
    assert "Nearest tasks" in said
    near = at.dataframe[0].value
    matrix, names = (s := workspace.zoo_similarity("lora", "probe")).matrix, list(s.names)
    row = matrix[names.index("nli")].copy()
    row[names.index("nli")] = -np.inf
    assert near["Task"][0] == graph_view.titles()[names[int(row.argmax())]]
    assert near["Similarity"].is_monotonic_decreasing
    assert near["Confidence"].between(0, 100).all()


def test_a_link_to_nonsense_falls_back(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", task="<script>", kind="Nope", k="-4", predictor="x", lines="y"))

    assert "No task chosen" in texts(at)


def test_a_click_on_a_point_opens_that_task(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_graph")
    names = list(workspace.zoo_similarity("lora", "probe").names)
    at.session_state[graph_view.CHART_KEY] = {
        "selection": {"selected": [{"data_type": "node", "data_indices": [names.index("vqa")]}], "areas": []}
    }
    at.session_state["task"] = None

    at.session_state["task"] = names[names.index("vqa")]
    at.run()

    healthy(at)
    assert at.subheader[0].value == "Visual question answering"
    assert at.query_params["task"] == "vqa"
    chosen = [node for node in option(at)["series"][0]["data"] if node["itemStyle"]["borderWidth"] == 3]
    assert [node["id"] for node in chosen] == ["vqa"]


def test_a_threshold_draws_exactly_the_pairs_above_it(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("task_graph", lines="Above", threshold="0.5"))

    matrix = workspace.zoo_similarity("lora", "probe").matrix
    above = int((np.triu(matrix, k=1) >= 0.5).sum())
    assert len(option(at)["series"][0]["links"]) == above


def test_a_task_without_an_expert_can_be_looked_at(workspace: Workspace, open_page: OpenPage) -> None:
    table = "text,label\n" + "".join(f"item {i},{'odd' if i % 2 else 'even'}\n" for i in range(40))
    parsed = read_table(table.encode(), "parity.csv")
    columns = ColumnMapping(text="text", answer="label")
    save_task(task_from_table(parsed, name="parity", instruction="odd or even?", columns=columns), workspace)

    at = healthy(open_page("task_graph", task="parity"))

    assert "has no expert in the zoo yet" in texts(at)
    assert "odd or even?" in texts(at)


def test_the_door_to_a_run_keeps_the_task(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_graph", task="sentiment")

    at.button(key="use_as_target").click().run()

    healthy(at)
    assert at.title[0].value == "New run"
    assert at.selectbox(key="target").value == "sentiment"


def test_every_kind_and_predictor_can_be_drawn(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("task_graph")
    for kind in ("Bottleneck", "Prefix"):
        healthy(open_page("task_graph", kind=kind, predictor="Own experts", colour="Community"))
    assert Path(workspace.root).is_dir()
    healthy(at)


def test_the_graph_as_it_is_drawn_can_be_downloaded(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, bytes] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = data()

    assert [button.proto.label for button in open_page("task_graph").get("download_button")] == [
        "GraphML", "JSON", "CSV", "GEXF",
    ]  # fmt: skip
    monkeypatch.setattr("streamlit.download_button", download_button)

    at = healthy(open_page("task_graph", kind="Prefix", predictor="Own experts", k="2"))

    series = option(at)["series"][0]
    drawn = {frozenset((link["source"], link["target"])) for link in series["links"]}
    stem = "task-graph-prefix-paper"
    assert list(files) == [f"{stem}.{suffix}" for suffix in ("graphml", "json", "csv", "gexf")]
    rows = list(csv.DictReader(files[f"{stem}.csv"].decode().splitlines()))
    read = {
        "graphml": nx.parse_graphml(files[f"{stem}.graphml"].decode()),
        "json": nx.node_link_graph(json.loads(files[f"{stem}.json"]), edges="edges"),
        "csv": nx.Graph([(row["source"], row["target"]) for row in rows]),
        "gexf": nx.read_gexf(io.BytesIO(files[f"{stem}.gexf"])),
    }
    for graph in read.values():
        assert {frozenset(edge) for edge in graph.edges} == drawn
        assert set(graph.nodes) == {node["id"] for node in series["data"]}
