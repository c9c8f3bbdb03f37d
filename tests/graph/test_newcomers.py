"""Tasks that join a graph: nobody else moves, nobody is covered, and the place tells whom they are like."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.graph.build import task_graph
from pituning.graph.directed import directed_graph
from pituning.graph.export import FORMATS, export_bytes
from pituning.graph.layout import label_boxes
from pituning.graph.newcomers import Newcomer, joined, nearest_free, ranking_of
from pituning.graph.predict import Neighbor, most_similar
from tests.graph.test_build import Info, infos, random_similarity

TITLE = "Is this review good or bad?"


GRAPH = task_graph(random_similarity(12), infos(12), k=2)


@pytest.fixture
def graph() -> nx.Graph:
    return GRAPH


def newcomer(near: list[Neighbor], name: str = "mine", donors: int = 3) -> Newcomer:
    info = Info(name=name, title=TITLE, modality="language", families=())
    return Newcomer(info=info, near=tuple(near), donors=tuple(one.task for one in near[:donors]))


def ranking(graph: nx.Graph, seed: int) -> list[Neighbor]:
    values = np.random.default_rng(seed).uniform(-1, 1, len(graph))
    return most_similar(values, list(graph), len(graph), replicates=values + np.zeros((5, len(graph))))


@settings(deadline=None, max_examples=12)
@given(seeds=st.lists(st.integers(0, 10_000), max_size=6), donors=st.integers(1, 5))
def test_nothing_moves_and_nothing_is_covered(seeds: list[int], donors: int) -> None:
    graph = GRAPH
    before = json.dumps(nx.node_link_data(graph, edges="edges"))
    come = [newcomer(ranking(graph, seed), f"mine-{number}", donors) for number, seed in enumerate(seeds)]

    whole = joined(graph, come)

    assert json.dumps(nx.node_link_data(graph, edges="edges")) == before  # it is shared by all who look
    assert {task: whole.nodes[task] for task in graph} == dict(graph.nodes(data=True))
    assert list(whole)[: len(graph)] == list(graph)  # clicks come back as places in this order
    assert len(whole) == len(graph) + len(seeds)
    assert joined(graph, come[:-1]).nodes.items() <= whole.nodes.items()  # who comes later gives way
    boxes = label_boxes([data["label"] for _, data in whole.nodes(data=True)])
    places = np.array([(data["x"], data["y"]) for _, data in whole.nodes(data=True)])
    for i in range(len(graph), len(whole)):
        apart = np.abs(places - places[i]) >= (boxes + boxes[i]) / 2
        assert np.delete(apart.any(1), i).all()
    for one in come:
        own = {other: data for _, other, data in whole.edges(one.info.name, data=True)}
        assert list(own) == [near.task for near in one.near[:donors]]
        assert all(data["predicted"] and data["rank"] == n for n, data in enumerate(own.values(), start=1))
    for file_format in FORMATS:
        assert export_bytes(whole, file_format)


def test_it_stands_by_whom_it_is_like(graph: nx.Graph) -> None:
    names = list(graph)
    for like in names:
        near = most_similar(np.array([0.9 if name == like else 0.1 for name in names]), names, len(names))
        own = joined(graph, [newcomer(near)]).nodes["mine"]
        gaps = {name: np.hypot(own["x"] - data["x"], own["y"] - data["y"]) for name, data in graph.nodes(data=True)}
        assert sorted(gaps, key=gaps.__getitem__).index(like) < 3
        assert own["community"] == graph.nodes[like]["community"]


def test_the_nearest_free_place_against_a_slow_search() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        places, wanted = generator.uniform(0, 60, (6, 2)).round(), generator.uniform(0, 60, 2)
        reach = np.full((6, 2), 9.99)
        low, high = places.min(0), places.max(0)
        tried = [(x, y) for x in np.arange(low[0], high[0] + 1, 2.0) for y in np.arange(low[1], high[1] + 1, 2.0)]
        free = [place for place in tried if (np.abs(np.array(place) - places) >= 10).any(1).all()]
        best = min(np.hypot(*(np.array(place) - wanted)) for place in free)
        assert np.hypot(*(nearest_free(wanted, places, reach) - wanted)) == pytest.approx(best)
    alone = nearest_free(np.zeros(2), np.zeros((1, 2)), np.full((1, 2), 10.0))
    assert np.abs(alone).max() >= 10  # nothing is free between: beyond


def test_a_crowd_a_measured_graph_and_nobody_like_it(graph: nx.Graph) -> None:
    crowd = nx.Graph()
    for number in range(2_500):
        x, y = 9.0 * (number % 50), 9.0 * (number // 50)
        crowd.add_node(str(number), **{**graph.nodes["task-0"], "x": x, "y": y})
    whole = joined(crowd, [newcomer([Neighbor(task="70", similarity=0.5, rank=1)])])
    assert whole.nodes["mine"]["x"] < 0 or whole.nodes["mine"]["y"] < 0  # between them nothing is free
    gains = np.random.default_rng(0).normal(size=(12, 12))
    directed = joined(directed_graph(graph, gains, k=1), [newcomer(ranking(graph, 0))])
    assert directed.nodes["mine"]["own"]
    assert not directed.degree("mine")
    unknown = [Neighbor(task="elsewhere", similarity=0.5, rank=1)]
    assert "mine" not in joined(graph, [newcomer(unknown)])
    assert not joined(nx.Graph(), [newcomer(unknown)])


@pytest.mark.parametrize("near", [None, 7, [3], [{"task": "a"}], [{"task": "a", "similarity": float("nan"), "rank": 1}],
                                  [{"task": "a", "similarity": "x", "rank": 1}]])  # fmt: skip
def test_a_result_without_a_ranking(near: object) -> None:
    assert ranking_of({"neighbors": near}) == ranking_of({}) == ()
