"""Tasks that join a graph without moving any of it: each is placed by its similarities to those that are there.

Such a task has no expert of its own yet. Its shots were embedded, and the zoo was ranked by similarity to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from pituning.graph.build import crosses_modalities, shorten
from pituning.graph.info import NodeInfo
from pituning.graph.layout import CROWD, POINT, SLACK, label_boxes
from pituning.graph.predict import Neighbor

PULLING = 3
"""The most similar tasks, between which a newcomer is placed."""

STEP = 2.0
"""Pixels between the places that are tried."""


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """A task that is not in the graph.

    Args:
        info: what is known of it.
        near: tasks by similarity to it, most similar first.
        donors: those of them that are predicted to be its donors.
    """

    info: NodeInfo
    near: tuple[Neighbor, ...]
    donors: tuple[str, ...] = ()


def ranking_of(result: Mapping[str, Any]) -> tuple[Neighbor, ...]:
    """The ranking of the zoo that a run's result holds, most similar first; empty where it holds none."""
    try:
        near = [Neighbor(**one) for one in result.get("neighbors") or ()]
        usable = all(isinstance(one.task, str) and math.isfinite(one.similarity) for one in near)
        return tuple(sorted(near, key=lambda one: one.rank)) if usable else ()
    except (TypeError, AttributeError):
        return ()  # not what a run writes


def is_own(data: Mapping[str, Any]) -> bool:
    """Whether a task joined the graph by its shots."""
    return bool(data.get("own"))


def joined(graph: nx.Graph, newcomers: Sequence[Newcomer]) -> nx.Graph:
    """The graph with further tasks, each joined to its predicted donors; nothing else of it changes.

    Args:
        graph: of `pituning.graph.build.task_graph` or its sparse form. To one of measured gains, which is directed,
            they come without lines: nothing has been measured of them.
        newcomers: in the order in which they came: who comes later gives way. Those of which no similar task is in the
            graph, and those that are in it, are left out.

    Returns:
        Nodes as the others, with ``own``; ``community`` and its name are those of the most similar task. Their edges
        have ``similarity``, ``rank``, ``inter_modal``, ``predicted`` and, where it is known, ``confidence``.
    """
    result = graph.copy()
    for newcomer in newcomers:
        info, near = newcomer.info, [one for one in newcomer.near if one.task in graph]
        if not near or info.name in graph:
            continue
        label, like = shorten(info.title or info.name), graph.nodes[near[0].task]
        x, y = _place(result, near, label)
        result.add_node(
            info.name, title=info.title, label=label, modality=str(info.modality), families=tuple(info.families),
            community=int(like["community"]), community_name=like["community_name"], x=x, y=y, own=True,
        )  # fmt: skip
        if graph.is_directed():
            continue
        for one in (one for one in near if one.task in newcomer.donors):
            sure = {} if one.confidence is None else {"confidence": float(one.confidence)}
            result.add_edge(
                info.name, one.task, similarity=float(one.similarity), rank=int(one.rank), predicted=True, **sure,
                inter_modal=crosses_modalities(str(info.modality), graph.nodes[one.task]["modality"]),
            )  # fmt: skip
    return result


def _place(graph: nx.Graph, near: Sequence[Neighbor], label: str) -> tuple[float, float]:
    """Where a newcomer stands: as near as is free to the mean of those most similar to it."""
    nodes = list(graph.nodes.values())
    places = np.array([(node["x"], node["y"]) for node in nodes])
    if len(nodes) > CROWD:
        reach = np.full((len(nodes), 2), 2 * POINT)
    else:
        boxes = label_boxes([*(node["label"] for node in nodes), label]) * SLACK
        reach = (boxes[:-1] + boxes[-1]) / 2
    pulling = np.array([(graph.nodes[one.task]["x"], graph.nodes[one.task]["y"]) for one in near[:PULLING]])
    x, y = nearest_free(_weights(near) @ pulling, places, reach).round(2).tolist()
    return x, y


def _weights(near: Sequence[Neighbor]) -> np.ndarray:
    """How strongly each of the most similar pulls: by how far it is above the first that does not, (PULLING,)."""
    values = np.array([one.similarity for one in near], dtype=float)
    above = values[:PULLING] - values[min(PULLING, len(values) - 1)]
    return above / above.sum() if above.sum() > 1e-9 else np.full(len(above), 1 / len(above))


def nearest_free(wanted: np.ndarray, places: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The free place that is nearest to one that is wanted, on a grid, (2,).

    Args:
        wanted: (2,).
        places: of those that stand there already, (N, 2), at least one.
        reach: how far from each, to either side, no other may stand, (N, 2). Free are places outside all of these
            boxes; those beyond the outermost of ``places`` are taken only where none is free between them, as a drawing
            that fits the canvas would shrink.
    """
    reach = reach + 0.01  # places are rounded
    low, high = places.min(0), places.max(0)
    beyond = 0.0
    while True:
        start = low - beyond
        count = np.floor((high + beyond - start) / STEP).astype(int) + 1
        free = np.ones(count, dtype=bool)
        first = np.clip(np.floor((places - reach - start) / STEP).astype(int) + 1, 0, count)
        end = np.clip(np.ceil((places + reach - start) / STEP).astype(int), 0, count)
        for (left, top), (right, bottom) in zip(first.tolist(), end.tolist(), strict=True):
            free[left:right, top:bottom] = False
        if free.any():
            xs, ys = (start[axis] + STEP * np.arange(count[axis]) for axis in (0, 1))
            away = (xs[:, None] - wanted[0]) ** 2 + (ys[None] - wanted[1]) ** 2
            i, j = np.unravel_index(np.argmin(np.where(free, away, np.inf)), free.shape)
            return np.array([xs[i], ys[j]])
        beyond += float(reach.max())
