from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest

from pituning.errors import BadInput
from pituning.graph.build import LABEL_LENGTH, communities, shorten, task_graph


@dataclass(frozen=True)
class Info:
    name: str
    title: str
    modality: str
    families: tuple[str, ...] = ()
    instruction: str = ""
    labels: tuple[str, ...] | None = None


def infos(n: int) -> list[Info]:
    kinds = ("vision", "language", "vision-language")
    return [Info(f"task-{i}", f"Task {i}", kinds[i % 3], ("even",) if i % 2 == 0 else ()) for i in range(n)]


def random_similarity(n: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, 1)
    return similarity


def cliques(sizes: tuple[int, ...]) -> np.ndarray:
    n = sum(sizes)
    similarity = np.random.default_rng(0).uniform(0, 0.05, size=(n, n))
    start = 0
    for size in sizes:
        similarity[start : start + size, start : start + size] += 0.8
        start += size
    similarity = (similarity + similarity.T) / 2
    np.fill_diagonal(similarity, 1)
    return similarity


def test_edges_join_each_task_to_its_nearest() -> None:
    similarity = random_similarity(12)
    graph = task_graph(similarity, infos(12), k=2)
    others = similarity - 2 * np.eye(12)
    wanted = {frozenset((f"task-{i}", f"task-{j}")) for i in range(12) for j in np.argsort(others[i])[-2:]}
    assert {frozenset(edge) for edge in graph.edges} == wanted
    for a, b, data in graph.edges(data=True):
        i, j = int(a.removeprefix("task-")), int(b.removeprefix("task-"))
        assert data["similarity"] == similarity[i, j]
        assert data["inter_modal"] == (i % 3 != j % 3)
        assert data["mutual"] == (j in np.argsort(others[i])[-2:] and i in np.argsort(others[j])[-2:])


def test_threshold_alone_and_with_k() -> None:
    similarity = random_similarity(12)
    pairs = np.triu_indices(12, k=1)
    graph = task_graph(similarity, infos(12), threshold=0.2)
    assert graph.number_of_edges() == (similarity[pairs] >= 0.2).sum()
    both = task_graph(similarity, infos(12), k=2, threshold=0.2)
    assert set(both.edges) == set(graph.edges) & set(task_graph(similarity, infos(12), k=2).edges)
    assert task_graph(similarity, infos(12), threshold=2).number_of_edges() == 0


def test_default_is_three_neighbours() -> None:
    graph = task_graph(random_similarity(12), infos(12))
    assert min(dict(graph.degree).values()) >= 3
    assert list(graph) == [info.name for info in infos(12)]


def test_nothing_moves_with_the_slider_or_the_order() -> None:
    similarity, tasks = random_similarity(15), infos(15)
    fixed = ("x", "y", "community")
    graph = task_graph(similarity, tasks, k=1)
    places = {task: [data[key] for key in fixed] for task, data in graph.nodes(data=True)}
    for other in (task_graph(similarity, tasks, k=6), task_graph(similarity, tasks, threshold=0.5)):
        assert {task: [data[key] for key in fixed] for task, data in other.nodes(data=True)} == places
    order = np.random.default_rng(3).permutation(15)
    shuffled = task_graph(similarity[np.ix_(order, order)], [tasks[i] for i in order], k=1)
    assert {task: [data[key] for key in fixed] for task, data in shuffled.nodes(data=True)} == places


def test_communities_are_the_planted_cliques() -> None:
    names = [f"task-{i}" for i in range(15)]
    actual = communities(cliques((5, 6, 4)), names)
    assert [actual[name] for name in names] == [1] * 5 + [0] * 6 + [2] * 4


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_tasks(n: int) -> None:
    graph = task_graph(random_similarity(n), infos(n))
    assert graph.number_of_nodes() == n
    assert nx.number_connected_components(graph) == min(n, 1)


def test_identical_tasks() -> None:
    graph = task_graph(np.ones((6, 6)), infos(6))
    places = {(data["x"], data["y"]) for _, data in graph.nodes(data=True)}
    assert len(places) == 6


def test_long_titles_become_one_short_line() -> None:
    assert shorten("Names\nthe  colour") == "Names the colour"
    assert shorten("x" * 60) == "x" * (LABEL_LENGTH - 1) + "…"


def test_unfit_input_is_refused() -> None:
    with pytest.raises(BadInput, match="one row and column per task"):
        task_graph(random_similarity(4), infos(5))
    with pytest.raises(BadInput, match="not finite"):
        task_graph(np.full((4, 4), np.nan), infos(4))
    for k in (0, 4):
        with pytest.raises(BadInput, match="choose 1 to 3"):
            task_graph(random_similarity(4), infos(4), k=k)


def test_only_known_pairs_are_joined() -> None:
    similarity = random_similarity(8)
    known = np.zeros((8, 8), dtype=bool)
    known[0, 1] = known[2, 5] = True
    for asked in ({"k": 3}, {"threshold": -2.0}):
        graph = task_graph(similarity, infos(8), known=known, **asked)
        assert {frozenset(edge) for edge in graph.edges} <= {
            frozenset(("task-0", "task-1")),
            frozenset(("task-2", "task-5")),
        }
    assert graph.number_of_edges() == 2
