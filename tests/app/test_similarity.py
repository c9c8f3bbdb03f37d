from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.components.words import PREDICTORS
from pituning.experts.space import SpaceBuilder, TensorSlot, save_space
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.matrix import rank_agreement
from pituning.graph.similarity import similarity_matrix
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from pituning.workspace.transfer import load_transfer
from tests.app.conftest import OpenPage, healthy, texts


def heatmaps(at: Any) -> list[dict[str, Any]]:
    """The first trace of each matrix."""
    figures = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    return [figure["data"][0] for figure in figures if figure["data"][0]["type"] == "heatmap"]


def shown(at: Any, number: int = 0) -> np.ndarray:
    return np.array([[np.nan if value is None else value for value in row] for row in heatmaps(at)[number]["z"]])


def test_the_matrix_of_all_tasks_and_how_to_choose_a_pair(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("similarity"))

    matrix = workspace.zoo().similarity("lora", "probe").matrix
    off = ~np.eye(20, dtype=bool)
    np.testing.assert_allclose(np.sort(shown(at)[off]), np.sort(matrix[off]), atol=1e-4)
    assert "No pair chosen" in texts(at)
    assert "20 tasks." in texts(at)


def test_a_link_to_a_pair_opens_it(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("similarity", task="nli", other="visual-entailment"))

    zoo = workspace.zoo().similarity("lora", "probe")
    i, j = zoo.names.index("nli"), zoo.names.index("visual-entailment")
    values = {metric.label: metric.value for metric in at.metric}
    assert values["Similarity"] == f"{zoo.matrix[i, j]:.3f}"
    ranks = [value for name, value in values.items() if name.startswith("Rank for")]
    assert len(ranks) == 2
    assert all(rank.endswith("of 19") for rank in ranks)
    page_text = texts(at)
    assert "of resamplings" in page_text
    assert "can be told part by part" in page_text  # the embeddings that are there belong to another similarity
    table = at.dataframe[0].value
    assert list(table["Predictor"]) == [PREDICTORS["probe"].label, PREDICTORS["paper"].label]
    assert [link.proto.label for link in at.get("page_link")] == [
        "Natural language inference in the task graph", "Visual entailment in the task graph",
    ]  # fmt: skip
    assert at.get("page_link")[0].proto.query_string.startswith("task=nli&")


def test_the_layers_of_a_pair(workspace: Workspace, open_page: OpenPage) -> None:
    names = ("encoder.layers.0.fc1.a", "decoder.layers.1.fc1.a")
    generator = np.random.default_rng(0)
    tasks = workspace.zoo().similarity("lora", "probe").names
    embeddings = [
        TaskEmbedding.from_flat(
            generator.random(8).astype(np.float32), task=task, kind="lora", probe="common", names=names, sizes=(4, 4)
        )
        for task in tasks
    ]
    for made in embeddings:
        made.save(workspace.zoo().new_embedding_path("lora", "common", made.task))
    matrix = similarity_matrix(embeddings, "probe")
    zoo = ZooSimilarity(names=tasks, matrix=matrix, replicates=np.zeros((0, 20, 20)))
    save_similarity(workspace.zoo().similarity_path("lora", "probe"), zoo)
    builder = SpaceBuilder("lora", {"rank": 4, "scale": 2.0})
    for name, layer in zip(names, ("encoder.0", "decoder.1"), strict=True):
        builder.add(f"{layer}.ffn", layer, [TensorSlot(name, (4,), 0, name, "a", "fc1")])
    save_space(builder.build(), workspace.zoo().new_space_path("lora"))

    at = healthy(open_page("similarity", task="nli", other="rte"))

    bars = json.loads(at.get("plotly_chart")[-1].proto.spec)["data"][0]
    assert bars["y"] == ["Decoder 2", "Encoder 1"]

    at = healthy(open_page("similarity", task="nli", other="rte", parts="By module"))

    bars = json.loads(at.get("plotly_chart")[-1].proto.spec)["data"][0]
    assert bars["y"] == ["Feed-forward, first"]


def test_two_predictors_side_by_side(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("similarity", against="lora.paper"))

    zoos = [workspace.zoo().similarity("lora", name) for name in ("probe", "paper")]
    assert len(heatmaps(at)) == 2
    actual = rank_agreement(*(zoo.matrix for zoo in zoos))
    values = {metric.label: metric.value for metric in at.metric}
    assert values["Over all pairs"] == f"ρ = {actual.pairs:.2f}"
    assert values["Within each task"] == f"ρ = {actual.targets:.2f}"
    assert len(at.dataframe[0].value) == 5  # where they differ most


def test_chosen_tasks_orders_and_scales(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("similarity", tasks="nli,rte,vqa", order="Name", scale="Ranked"))

    assert shown(at).shape == (3, 3)
    assert sorted(shown(at)[0][1:]) == [1, 2]
    assert at.multiselect(key="tasks").value == ["nli", "rte", "vqa"]
    assert "3 of 20 tasks" in texts(at)

    at.multiselect(key="tasks").set_value(["nli"]).run()
    assert at.query_params["tasks"] == "nli"
    assert "choose another" in texts(healthy(at))
    at.multiselect(key="tasks").set_value([]).run()
    assert "tasks" not in at.query_params
    assert shown(healthy(at)).shape == (20, 20)


def test_chosen_tasks_stay_on_the_other_pages(workspace: Workspace, open_page: OpenPage) -> None:
    at = open_page("similarity", tasks="nli,rte")
    del at.query_params["tasks"]  # as the navigation does

    healthy(at.switch_page("app_pages/task_graph.py").run())
    assert "2 of 20 tasks" in texts(at)
    healthy(at.switch_page("app_pages/similarity.py").run())
    assert shown(at).shape == (2, 2)


def test_the_graph_shows_the_same_values_on_the_places_of_the_task_graph(
    measured: Workspace, open_page: OpenPage
) -> None:
    def tasks(page: str, **address: str) -> dict[str, Any]:
        at = healthy(open_page(page, **address))
        series = json.loads(at.get("echarts_chart")[0].proto.spec)["series"][0]
        return {"texts": texts(at), "places": {one["id"]: one["value"] for one in series["data"]}, **series}

    graph = tasks("task_graph", task="nli")
    alike = tasks("similarity", shown="Graph", task="nli")
    helped = tasks("transfer", shown="Graph", task="nli")

    assert graph["places"] == alike["places"] == helped["places"]
    assert "Nearest tasks" in alike["texts"]
    colours = [{line["lineStyle"]["color"] for line in one["links"]} for one in (graph, alike, helped)]
    assert len(colours[1]) == 1  # grey, without what was measured around the task
    assert colours[1] < colours[0]
    assert colours[1].isdisjoint(colours[2])
    assert len({line["lineStyle"]["width"] for line in alike["links"]}) > 5
    assert "**Measured transfer** :gray[· 16 shots]" in helped["texts"]
    zoo = measured.zoo().similarity("lora", "probe")
    transfer = load_transfer(measured.zoo().transfer_path("lora"), 16, tuple(zoo.names))
    assert transfer is not None
    for line in helped["links"]:
        gain = transfer.gains[zoo.names.index(line["target"]), zoo.names.index(line["source"])]
        assert line["value"] == pytest.approx(gain, abs=1e-3)
        assert line["lineStyle"]["opacity"] < 0.5  # of one seed it may be chance
    pair = healthy(open_page("transfer", shown="Graph", task="nli", other="vqa"))
    assert "Measured rank" in [metric.label for metric in pair.metric]


def test_a_link_to_nonsense_falls_back(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(
        open_page("similarity", tasks="<b>,nli", order="Size", scale="9", against="lora", task="x", other="nli")
    )

    page_text = texts(at)
    assert "they are left out" in page_text
    assert "The address names the task “x”" in page_text
    assert "“lora”, which is not in this workspace" in page_text
    assert "No pair chosen" in page_text


def test_a_damaged_second_matrix_is_told_in_words(workspace: Workspace, open_page: OpenPage) -> None:
    path = workspace.zoo().similarity_path("lora", "paper")
    path.write_bytes(path.read_bytes()[:-40])

    at = open_page("similarity", against="lora.paper")
    assert not at.exception
    assert "does not match the checksum" in texts(at)
    healthy(open_page("similarity", task="nli", other="rte"))


def test_what_is_shown_can_be_downloaded(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, list[list[str]]] = {}

    def download_button(_label: str, data: Callable[[], bytes], *, file_name: str, **_rest: object) -> None:
        files[file_name] = list(csv.reader(data().decode().splitlines()))

    monkeypatch.setattr("streamlit.download_button", download_button)
    at = healthy(open_page("similarity", scale="Standardised"))
    table = files["similarity-lora-probe-row.csv"]
    assert [row[0] for row in table[1:]] == table[0][1:]
    values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in table[1:]])
    np.testing.assert_allclose(values, shown(at), atol=1e-4)

    healthy(open_page("similarity", against="bottleneck.probe"))
    pairs = files["similarity-lora-probe-bottleneck-probe-raw.csv"]
    assert pairs[0] == ["task", "other", "lora.probe", "bottleneck.probe"]
    assert len(pairs) == 1 + 20 * 19
