"""The task graph: tasks, their similarities, modality, families, communities and a place on the screen."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np

from pituning.errors import BadInput
from pituning.graph.info import NodeInfo
from pituning.graph.layout import layout
from pituning.graph.names import community_names
from pituning.graph.similarity import rank, standardise
from pituning.text import shorten as shorten_text

NEIGHBOURS = 3
"""Edges per task by default, and in the graph whose communities are found."""

LABEL_LENGTH = 26

UNKNOWN_MODALITY = "unknown"
"""Of tasks that only an outside table names; nobody can say whether a line to one crosses modalities."""


def task_graph(
    similarity: np.ndarray,
    infos: Sequence[NodeInfo],
    *,
    k: int | None = None,
    threshold: float | None = None,
    known: np.ndarray | None = None,
    seed: int = 0,
) -> nx.Graph:
    """Builds the graph of a zoo.

    Args:
        similarity: S, (N, N).
        infos: the tasks in the order of rows and columns.
        k: joins each task to its k most similar; `NEIGHBOURS` when neither ``k`` nor ``threshold`` is given.
        threshold: keeps pairs with S of at least this; with ``k``, an edge must satisfy both.
        known: (N, N) which values are known; only such pairs are joined. None where all are.
        seed: of communities and layout.

    Returns:
        A graph whose nodes are task names in the given order, with ``title``, ``label`` (a short title), ``modality``,
        ``families`` (tuple), ``community`` (0 is the largest), ``community_name`` (empty where it is one task), ``x``
        and ``y`` (pixels, y down). Edges have ``similarity``, ``standardised`` (deviations from the zoo's mean pair),
        ``rank`` (the better of the two tasks' ranks of each other), ``mutual`` (each among the other's k nearest) and
        ``inter_modal``. Communities and places depend on S alone, so they stay when ``k`` or ``threshold`` change.

    Raises:
        BadInput: when S does not fit the tasks or ``k`` is out of range.
    """
    names = [info.name for info in infos]
    n = len(names)
    if similarity.shape != (n, n) or len(set(names)) != n:
        raise BadInput(f"S has shape {similarity.shape} for {len(set(names))} tasks; give one row and column per task")
    if not np.isfinite(similarity).all():
        raise BadInput("S holds values that are not finite; compute the similarity again")
    if k is not None and not 1 <= k <= max(n - 1, 1):
        raise BadInput(f"k is {k}; choose 1 to {max(n - 1, 1)}, as many as there are other tasks", field="k")
    similarity = (similarity + similarity.T) / 2
    nearest = k if k is not None or threshold is not None else min(NEIGHBOURS, max(n - 1, 1))
    labels = [shorten(info.title or info.name) for info in infos]
    places = layout(similarity, names, labels, seed=seed)
    groups = communities(similarity, names, seed=seed)
    called = community_names(groups, infos)

    graph = nx.Graph()
    for i, info in enumerate(infos):
        graph.add_node(
            info.name,
            title=info.title,
            label=labels[i],
            modality=str(info.modality),
            families=tuple(info.families),
            community=groups[info.name],
            community_name=called.get(groups[info.name], ""),
            x=float(places[i, 0]),
            y=float(places[i, 1]),
        )
    ranks = rank(similarity)
    standard = standardise(similarity)
    for i, j in _pairs(similarity, ranks, nearest, threshold, known):
        graph.add_edge(
            names[i],
            names[j],
            similarity=float(similarity[i, j]),
            standardised=float(standard[i, j]),
            rank=int(min(ranks[i, j], ranks[j, i])),
            mutual=bool(max(ranks[i, j], ranks[j, i]) <= (nearest or NEIGHBOURS)),
            inter_modal=crosses_modalities(infos[i].modality, infos[j].modality),
        )
    return graph


def crosses_modalities(a: str, b: str) -> bool:
    """Whether two modalities are known to differ."""
    return a != b and UNKNOWN_MODALITY not in (a, b)


def communities(similarity: np.ndarray, names: Sequence[str], *, seed: int = 0) -> dict[str, int]:
    """The community of each task by the Louvain method on the graph of nearest neighbours; 0 is the largest.

    Args:
        similarity: S, (N, N).
        names: the order of the input does not matter, since the tasks are taken in the order of their names.
    """
    n = len(names)
    order = sorted(range(n), key=lambda i: names[i])
    sorted_similarity = similarity[np.ix_(order, order)]
    standard = standardise(sorted_similarity)
    graph = nx.Graph()
    graph.add_nodes_from(names[i] for i in order)
    for i, j in _pairs(sorted_similarity, rank(sorted_similarity), min(NEIGHBOURS, max(n - 1, 1)), None):
        graph.add_edge(names[order[i]], names[order[j]], weight=closeness(standard[i, j]))
    return louvain(graph, seed)


def louvain(graph: nx.Graph, seed: int) -> dict[str, int]:
    """The community of each node by the edges' ``weight`` (Louvain; Blondel et al., 2008); 0 is the largest."""
    groups = nx.community.louvain_communities(graph, weight="weight", seed=seed)
    groups.sort(key=lambda members: (-len(members), min(members)))
    return {name: number for number, members in enumerate(groups) for name in members}


def closeness(standardised: float) -> float:
    """A similarity as the weight of an edge: modularity needs positive ones, whatever the predictor's range."""
    return float(1 / (1 + np.exp(-2 * standardised)))


def shorten(title: str) -> str:
    """A title as a node's label: one line of at most `LABEL_LENGTH` characters."""
    return shorten_text(" ".join(title.split()), LABEL_LENGTH)


def _pairs(
    similarity: np.ndarray,
    ranks: np.ndarray,
    k: int | None,
    threshold: float | None,
    known: np.ndarray | None = None,
) -> list[tuple[int, int]]:
    """The pairs i < j that are joined."""
    n = len(similarity)
    joined = np.ones((n, n), dtype=bool) if known is None else known | known.T
    if k is not None:
        near = ranks <= k
        joined &= near | near.T
    if threshold is not None:
        joined &= similarity >= threshold
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(joined, k=1)), strict=True)]
