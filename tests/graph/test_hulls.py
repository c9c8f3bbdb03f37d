"""Outlines hold their own tasks and nobody else's; names cover nothing."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest

from pituning.graph.build import task_graph
from pituning.graph.hulls import Hull, hulls
from pituning.graph.layout import CROWD, label_boxes
from pituning.graph.newcomers import joined
from tests.graph.test_build import Info, cliques, infos
from tests.graph.test_newcomers import newcomer, ranking


def inside(point: tuple[float, float], outline: np.ndarray) -> bool:
    """By the crossings of a ray, the oldest way; a way to a hole and back is crossed twice."""
    x, y = point
    crossings = 0
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            crossings += 1
    return crossings % 2 == 1


def within(graph: nx.Graph, hull: Hull) -> set[str]:
    return {
        name for name, data in graph.nodes(data=True)
        if any(inside((data["x"], data["y"]), outline) for outline in hull.outlines)
    }  # fmt: skip


def placed(places: np.ndarray, communities: list[int]) -> nx.Graph:
    graph = nx.Graph()
    for number, ((x, y), community) in enumerate(zip(places.tolist(), communities, strict=True)):
        graph.add_node(f"t{number}", x=x, y=y, community=community, label=f"Task {number}",
                       community_name=f"Group {community}")  # fmt: skip
    return graph


@pytest.mark.parametrize("seed", range(6))
def test_each_outline_holds_its_own_tasks_and_no_others(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cells = generator.permutation(70)[: 8 + 4 * seed]  # of a grid, so that labels do not overlap, as in a layout
    places = np.column_stack([cells % 7 * 105.0, cells // 7 * 60.0]) + generator.uniform(-8, 8, (len(cells), 2))
    graph = placed(places, generator.integers(0, 4, len(cells)).tolist())
    of = nx.get_node_attributes(graph, "community")
    counts = {group: list(of.values()).count(group) for group in of.values()}

    drawn = hulls(graph)

    assert [hull.community for hull in drawn] == sorted(group for group, count in counts.items() if count > 1)
    for hull in drawn:
        assert within(graph, hull) == {name for name, group in of.items() if group == hull.community}
    boxes = [
        (np.array([data["x"], data["y"]]), box)
        for data, box in zip(
            graph.nodes.values(), label_boxes([data["label"] for data in graph.nodes.values()]), strict=True
        )
    ]
    names = [hull.label.box(hull.name) for hull in drawn if hull.label is not None]
    assert names
    for (place, box), (other, other_box) in [*itertools.product(names, boxes), *itertools.combinations(names, 2)]:
        assert (np.abs(place - other) >= (box + other_box) / 2 - 0.1).any()


def test_a_stranger_in_the_middle_of_a_ring_stays_outside() -> None:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = 130 * np.column_stack([np.cos(angles), np.sin(angles)])
    graph = placed(np.concatenate([ring, [[0, 0]]]), [0] * 12 + [1])
    (hull,) = hulls(graph)
    assert within(graph, hull) == {f"t{i}" for i in range(12)}


def test_communities_of_a_graph_have_names_and_nothing_moves_them() -> None:
    graph = task_graph(cliques((5, 4, 3)), infos(12))
    drawn = hulls(graph)
    assert [hull.name for hull in drawn] == [
        name for name in dict.fromkeys(nx.get_node_attributes(graph, "community_name").values()) if name
    ]
    whole = joined(graph, [newcomer(ranking(graph, 3))])
    for before, after in zip(drawn, hulls(whole), strict=True):
        assert before.community == after.community
        for one, other in zip(before.outlines, after.outlines, strict=True):
            np.testing.assert_array_equal(one, other)


def test_of_very_many_the_largest_are_drawn_and_strays_are_not() -> None:
    generator = np.random.default_rng(0)
    count = 12
    middles = np.column_stack([np.arange(count) % 6 * 160.0, np.arange(count) // 6 * 160.0])
    sizes = [CROWD // 6 - group for group in range(count)]
    places = np.concatenate([middles[group] + generator.normal(0, 14, (size, 2)) for group, size in enumerate(sizes)])
    graph = placed(places, [group for group, size in enumerate(sizes) for _ in range(size)])
    stray = next(iter(graph))
    graph.nodes[stray].update(x=middles[1][0], y=middles[1][1])

    drawn = hulls(graph, most=4)

    assert [hull.community for hull in drawn] == list(range(4))
    for hull in drawn:
        held = within(graph, hull)
        own = {name for name in held if graph.nodes[name]["community"] == hull.community}
        assert len(own) > 0.8 * sizes[hull.community]
        assert len(own) > 0.9 * len(held)
    assert stray not in within(graph, drawn[0])


def test_one_task_is_no_community() -> None:
    assert hulls(nx.Graph()) == []
    assert hulls(task_graph(np.ones((1, 1)), infos(1))) == []
    assert hulls(placed(np.array([[0.0, 0.0], [300.0, 0.0]]), [0, 1])) == []
    alone = Info("a", "A", "vision")
    assert task_graph(np.ones((1, 1)), [alone]).nodes["a"]["community_name"] == ""
