from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]
NAMES = ("nli", "rte", "digits", "caption")


@pytest.fixture
def zoo(workspace: Workspace) -> Workspace:
    """A workspace with a similarity in which rte is nearest to nli, then caption, then digits."""
    matrix = np.array([[1, 0.9, 0.1, 0.4], [0.9, 1, 0.2, 0.3], [0.1, 0.2, 1, 0.6], [0.4, 0.3, 0.6, 1]])
    replicates = np.stack([matrix, matrix, matrix, matrix[:, [0, 2, 1, 3]]])
    path = workspace.zoo().similarity_path("lora", "probe")
    save_similarity(path, ZooSimilarity(names=NAMES, matrix=matrix, replicates=replicates))
    return workspace


def test_neighbors(pituning: Run, zoo: Workspace) -> None:
    document = pituning("graph", "neighbors", "nli", "-k", "2", "--json").json
    assert (document["task"], document["kind"], document["predictor"]) == ("nli", "lora", "probe")
    assert [row["task"] for row in document["neighbors"]] == ["rte", "caption"]
    first = document["neighbors"][0]
    assert (first["modality"], first["rank"]) == ("language", 1)
    assert first["similarity"] == pytest.approx(0.9)
    assert first["confidence"] == pytest.approx(0.75)  # in the fourth replicate digits has its place
    assert "rte" in pituning("graph", "neighbors", "nli").out


def test_neighbors_of_a_task_without_an_embedding(pituning: Run, zoo: Workspace) -> None:
    outcome = pituning("graph", "neighbors", "vqa")
    assert outcome.code == 2
    assert "pituning experts train vqa --kind lora" in outcome.error
    assert "k is 4; choose 1 to 3" in pituning("graph", "neighbors", "nli", "-k", "4").error


def test_no_similarity_yet(pituning: Run, zoo: Workspace) -> None:
    outcome = pituning("graph", "neighbors", "nli", "--kind", "prefix")
    assert outcome.code == 1
    assert "pituning embed --all --kind prefix" in outcome.error


def test_export(pituning: Run, zoo: Workspace, tmp_path: Path) -> None:
    document = pituning("graph", "export", tmp_path / "g.graphml", "-k", "1", "--json").json
    graph = nx.read_graphml(tmp_path / "g.graphml")
    assert (document["tasks"], document["edges"]) == (4, graph.number_of_edges())
    assert set(graph.nodes) == set(NAMES)
    pituning("graph", "export", tmp_path / "g.csv", "--threshold", "0.5")
    with (tmp_path / "g.csv").open() as stream:
        assert {(row["source"], row["target"]) for row in csv.DictReader(stream)} == {
            ("nli", "rte"),
            ("digits", "caption"),
        }
    pituning("graph", "export", tmp_path / "g.json")
    assert len(json.loads((tmp_path / "g.json").read_text())["nodes"]) == 4


@pytest.mark.slow  # starts a worker
def test_project(pituning: Run, zoo: Workspace) -> None:
    document = pituning("graph", "project", "--kind", "lora", "--json").json
    assert (document["kind"], document["predictor"], document["tasks"]) == ("lora", "probe", 4)
    assert list(document["trustworthiness"]) == ["mds", "pca"]  # four tasks are too few for UMAP
    assert [str(path) for path in zoo.zoo().projection_files("lora")] == [document["file"]]


def test_project_says_what_cannot_be_used(pituning: Run, zoo: Workspace) -> None:
    assert "n_neighbors is 1; give 2 to 200" in pituning("graph", "project", "--n-neighbors", "1").error
    assert "pituning embed --all --kind prefix" in pituning("graph", "project", "--kind", "prefix").error
