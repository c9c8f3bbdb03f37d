"""The pages over a zoo that is too large for all pairs: of each task only the most similar are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.nearest import nearest
from pituning.graph.projection import Projection, TaskMap, save_projection
from pituning.graph.settings import MapSettings
from pituning.graph.similarity import similarity_matrix
from pituning.graph.sparse import arranged
from pituning.graph.units import Units
from pituning.workspace import transfer
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import save_nearest, similarity_digest
from tests.app.conftest import OpenPage, healthy, texts

KEPT = 4


@pytest.fixture
def matrix(workspace: Workspace) -> np.ndarray:
    """S of all pairs of the zoo, of which only the sparse form and the embeddings are kept."""
    zoo, generator = workspace.zoo(), np.random.default_rng(0)
    names = zoo.similarity("lora", "probe").names
    vectors = generator.gamma(0.5, size=(len(names), 24)).astype(np.float32)
    tensors, sizes = ("encoder.0", "decoder.0"), (8, 16)
    embeddings = []
    for name, vector in zip(names, vectors, strict=True):
        one = TaskEmbedding.from_flat(vector, task=name, kind="lora", probe="common", names=tensors, sizes=sizes)
        one.save(zoo.new_embedding_path("lora", "common", name))
        embeddings.append(one)
    whole = similarity_matrix(embeddings, "probe")
    units = Units(vectors, sizes, "centred")
    kept = arranged(nearest(units, KEPT), whole[:8], names)
    path = zoo.new_similarity_path("lora", "probe")
    save_nearest(path, replace(kept, centre=units.centre.astype(np.float32)))
    points = generator.normal(size=(len(names), 2))
    none = np.zeros((0, len(names), 2))
    one_map = TaskMap(
        points=points, trustworthiness=0.7, detail={"preserved": 0.25, "sampled": 20}, resampled=none, layers=none
    )
    save_projection(
        zoo,
        Projection(
            kind="lora", predictor="probe", similarity=similarity_digest(path), settings=MapSettings(), names=names,
            layers=(), neighbours=5, maps={"umap": one_map},
        ),
    )  # fmt: skip
    return whole


def heatmap(at: Any) -> np.ndarray:
    (chart,) = [
        json.loads(chart.proto.spec)["data"][0]
        for chart in at.get("plotly_chart")
        if json.loads(chart.proto.spec)["data"][0]["type"] == "heatmap"
    ]
    return np.array([[np.nan if value is None else value for value in row] for row in chart["z"]])


def test_similarity_shows_the_nearest_and_their_matrix(
    workspace: Workspace, matrix: np.ndarray, open_page: OpenPage
) -> None:
    names = workspace.zoo().kept_similarity("lora", "probe").names
    i = names.index("nli")
    order = np.argsort(-matrix[i])
    near, far, lost = (names[int(j)] for j in (order[1], order[-1], order[-2]))

    assert "No task chosen" in texts(healthy(open_page("similarity")))
    drawn = healthy(open_page("similarity", shown="Graph", task="nli"))
    assert json.loads(drawn.get("echarts_chart")[0].proto.spec)["series"]
    assert drawn.dataframe[0].value["Similarity"][0] == pytest.approx(matrix[i, order[1]], abs=1e-5)

    at = healthy(open_page("similarity", task="nli", other=far, order="Name"))
    assert at.dataframe[0].value["Similarity"].tolist() == pytest.approx(matrix[i, order[1 : KEPT + 1]], abs=1e-5)
    shown = sorted([*(names[int(j)] for j in order[: KEPT + 1]), far])
    ids = [names.index(name) for name in shown]
    off = ~np.eye(len(ids), dtype=bool)
    np.testing.assert_allclose(
        np.sort(heatmap(at)[off]), np.sort(matrix[np.ix_(ids, ids)][off]), atol=0.005
    )  # embeddings are rounded when they are kept
    values = {metric.label: metric.value for metric in at.metric}
    assert float(values["Similarity"].replace("−", "-")) == pytest.approx(matrix[i, names.index(far)], abs=0.006)
    assert f"> {KEPT} of 19" in values.values()

    healthy(at.button(key="pin-nearest").click().run())
    assert "is nearest to Natural language inference" in texts(at)
    at.multiselect(key="tasks").set_value(["nli", near, far]).run()
    assert heatmap(healthy(at)).shape == (3, 3)

    workspace.zoo().embedding_path("lora", "common", lost).unlink()
    gone = healthy(open_page("similarity", task="nli", other=lost))
    assert "so there is no matrix" in texts(gone)
    assert f"Neither is among the {KEPT} tasks most similar" in texts(gone)


def test_the_map_is_umap_of_what_is_kept(workspace: Workspace, matrix: np.ndarray, open_page: OpenPage) -> None:
    at = healthy(open_page("task_map", colour="Community"))

    (chart,) = at.get("plotly_chart")
    tasks = next(each for each in json.loads(chart.proto.spec)["data"] if each.get("name") == "tasks")
    assert len(tasks["customdata"]) == 20
    for words in ("MDS and PCA need all pairs", "trustworthiness 0.70", "most similar, 25 % are among its 5 nearest"):
        assert words in texts(at)


def test_transfer_among_those_that_were_measured(
    workspace: Workspace, matrix: np.ndarray, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = workspace.zoo().kept_similarity("lora", "probe").names

    def measure(some: tuple[str, ...]) -> None:
        rows = [(t, d, 0, 0, 50.0 if d == "" else 55.0, "x") for t in some for d in ("", *some) if d != t]
        table = pd.DataFrame(rows, columns=list(transfer.COLUMNS)).to_csv(index=False)
        write_text(workspace.zoo().new_transfer_path("lora"), table)

    measure(names[2:8])
    monkeypatch.setattr(transfer, "MOST_DENSE", 10)

    at = healthy(open_page("transfer", task=names[2], other=names[3]))
    assert heatmap(at).shape == (6, 6)
    assert "by similarity" in texts(at)

    measure(names[3:12])
    workspace.zoo().embedding_path("lora", "common", names[9]).unlink()
    at = healthy(open_page("transfer", task=names[3], other=names[4]))
    assert heatmap(at).shape == (9, 9)
    assert "by similarity" not in texts(at)
    assert "How alike these tasks are is not known here" in texts(at)
