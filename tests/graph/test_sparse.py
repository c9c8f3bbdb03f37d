from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest

from pituning.embedding.many import compare_many, scratch
from pituning.errors import ArtefactError, BadInput
from pituning.graph.among import kept_among
from pituning.graph.build import task_graph
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.nearest import nearest_by_rows
from pituning.graph.predict import neighbors
from pituning.graph.predictors import PREDICTORS
from pituning.graph.project import distances, trustworthiness
from pituning.graph.project_nearest import preserved, sampled_trustworthiness
from pituning.graph.projection import check_metric
from pituning.graph.settings import MapSettings
from pituning.graph.similarity import similarity_matrix
from pituning.graph.sparse import arranged, sparse_graph, sparse_neighbors
from pituning.graph.text import text_similarity
from pituning.progress import Silent
from pituning.runs.removal import leave_graph
from pituning.workspace.similarity import NearestSimilarity, load_kept, load_similarity, save_nearest

SIZES = (5, 1, 14)
N = 60
NAMES = [f"task-{(7 * i) % N:02d}" for i in range(N)]


def matrix(seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    families = generator.integers(5, size=N)
    vectors = generator.normal(size=(5, 8))[families] + 0.5 * generator.normal(size=(N, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def sparse(similarity: np.ndarray, k: int = 12) -> NearestSimilarity:
    return arranged(nearest_by_rows(lambda at: similarity[at], N, k), similarity[:8], NAMES)


def infos(names: Any = NAMES) -> list[Any]:
    return [
        SimpleNamespace(
            name=name,
            title=name.title(),
            modality=("vision", "language")[i % 2],
            families=("a",),
            instruction="",
            labels=None,
        )
        for i, name in enumerate(names)
    ]


@pytest.mark.parametrize("k", [1, 3, 12])
def test_the_graph_is_that_of_all_of_s(k: int) -> None:
    similarity = matrix()
    whole, few = task_graph(similarity, infos(), k=k), sparse_graph(sparse(similarity), infos(), k=k)
    assert list(few) == list(whole)
    assert {frozenset(edge) for edge in few.edges} == {frozenset(edge) for edge in whole.edges}
    for a, b, data in whole.edges(data=True):
        other = few.edges[a, b]
        assert (other["rank"], other["mutual"], other["inter_modal"]) == (
            data["rank"], data["mutual"], data["inter_modal"],
        )  # fmt: skip
        assert other["similarity"] == pytest.approx(data["similarity"], abs=1e-6)
        assert other["standardised"] == pytest.approx(data["standardised"], abs=1e-4)
    communities = nx.get_node_attributes(whole, "community")
    assert nx.get_node_attributes(few, "community") == communities


def test_a_threshold_joins_what_is_kept_and_above_it() -> None:
    similarity = matrix()
    kept = sparse(similarity)
    threshold = float(np.sort(similarity[np.triu_indices(N, 1)])[-80])
    whole, few = task_graph(similarity, infos(), threshold=threshold), sparse_graph(kept, infos(), threshold=threshold)
    assert {frozenset(edge) for edge in few.edges} <= {frozenset(edge) for edge in whole.edges}
    assert few.number_of_edges() == sum(similarity[i, j] >= threshold for i, j in _kept_pairs(kept))
    with pytest.raises(BadInput, match="k is 13; choose 1 to 12, as many as are kept of each task"):
        sparse_graph(kept, infos(), k=13)


def _kept_pairs(kept: NearestSimilarity) -> set[tuple[int, int]]:
    return {(min(i, j), max(i, j)) for i, row in enumerate(kept.tasks.tolist()) for j in row if j >= 0}


def test_places_do_not_depend_on_the_order_of_the_tasks_and_put_neighbours_together() -> None:
    similarity = matrix()
    places = sparse(similarity).places
    turned = np.random.default_rng(1).permutation(N)
    nearest = nearest_by_rows(lambda at: similarity[np.ix_(turned, turned)][at], N, 12)
    again = arranged(nearest, similarity[:8][:, turned], [NAMES[i] for i in turned])
    np.testing.assert_array_equal(again.places, places[turned])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert apart[np.arange(N), sparse(similarity).tasks[:, 0]].mean() < 0.4 * apart.mean()


def test_it_is_kept_whole_and_a_task_leaves_it(tmp_path: Path) -> None:
    kept, path = sparse(matrix()), tmp_path / "probe.safetensors"
    save_nearest(path, kept)
    loaded = load_kept(path)
    assert isinstance(loaded, NearestSimilarity)
    assert (loaded.names, loaded.mean, loaded.recall) == (kept.names, kept.mean, 1.0)
    np.testing.assert_array_equal(loaded.tasks, kept.tasks)
    with pytest.raises(BadInput, match="of 60 tasks only the 12 most similar of each are kept"):
        load_similarity(path)

    gone = NAMES[4]
    leave_graph([path], gone)
    left = load_kept(path)
    assert isinstance(left, NearestSimilarity)
    assert gone not in left.names
    for name in left.names:
        before = [one.task for one in sparse_neighbors(kept, name, 12)]
        assert [one.task for one in sparse_neighbors(left, name, 12)] == [one for one in before if one != gone]
    assert len(sparse_graph(left, infos(left.names))) == N - 1

    save_nearest(path, kept)
    card = path.with_suffix(".json")
    card.write_text(card.read_text().replace('"task-00",', ""))
    with pytest.raises(ArtefactError, match="for 59 tasks; make it again"):
        load_kept(path)


def test_neighbours_are_those_of_all_of_s() -> None:
    similarity = matrix()
    for few, whole in zip(
        sparse_neighbors(sparse(similarity), NAMES[3], 5), neighbors(similarity, NAMES, NAMES[3], 5), strict=True
    ):
        assert (few.task, few.rank) == (whole.task, whole.rank)
        assert few.similarity == pytest.approx(whole.similarity)
    with pytest.raises(BadInput, match="unknown task 'nobody'"):
        sparse_neighbors(sparse(similarity), "nobody")


@pytest.mark.parametrize("predictor", list(PREDICTORS))
def test_every_predictor_has_the_sparse_form(predictor: str) -> None:
    values = np.random.default_rng(0).gamma(0.3, size=(N, sum(SIZES))).astype(np.float32)
    record, tensors = PREDICTORS[predictor], ("a", "b", "c")
    texts = [f"is it {i % 7} or {i % 11}" for i in range(N)]
    vectors = scratch(N, sum(SIZES))
    vectors[:] = values
    made = compare_many(
        record, NAMES, vectors=None if record.compares == "words" else vectors, layout=(tensors, SIZES), texts=texts,
        reporter=Silent(),
    )  # fmt: skip
    embeddings = [
        TaskEmbedding.from_flat(row, task=name, kind="lora", probe="own", names=tensors, sizes=SIZES)
        for name, row in zip(NAMES, values, strict=True)
    ]
    similarity = text_similarity(texts) if record.compares == "words" else similarity_matrix(embeddings, predictor)
    others = -np.sort(-(similarity - 9 * np.eye(N)), axis=1)[:, : made.tasks.shape[1]]
    np.testing.assert_allclose(made.values, others, atol=1e-6)
    np.testing.assert_allclose(made.values, np.take_along_axis(similarity, made.tasks.astype(int), axis=1), atol=1e-6)


def test_trust_in_a_map_of_what_is_kept_is_that_of_all_pairs() -> None:
    similarity = matrix()
    kept, points = sparse(similarity), np.random.default_rng(4).normal(size=(N, 2))

    estimated, sampled = sampled_trustworthiness(kept, points, 5, lambda a, b: similarity[np.ix_(a, b)])

    assert sampled == N
    assert estimated == pytest.approx(trustworthiness(distances(similarity, "similarity"), points, 5), abs=1e-3)
    truly = np.argsort(-np.where(np.eye(N, dtype=bool), -np.inf, similarity), axis=1)[:, :5]
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    on_map = np.argsort(apart, axis=1)[:, :5]
    hits = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(truly.tolist(), on_map.tolist(), strict=True)])
    assert preserved(kept, points, 5) == pytest.approx(hits)
    assert sampled_trustworthiness(kept, points, 5, lambda a, b: kept_among(kept, a, b)) == (None, 0)
    with pytest.raises(BadInput, match="needs all pairs"):
        check_metric(kept, MapSettings(metric="profile"))
