"""The task graph of very many tasks, from the most similar of each: communities, edges and neighbours.

What `pituning.graph.build` and `pituning.graph.predict` make of all of S, this makes of its sparse form.
"""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np

from pituning.errors import BadInput
from pituning.graph.build import NEIGHBOURS, closeness, crosses_modalities, louvain, shorten
from pituning.graph.info import NodeInfo
from pituning.graph.layout import layout_of_nearest
from pituning.graph.names import community_names
from pituning.graph.nearest import Nearest
from pituning.graph.predict import Neighbor
from pituning.registry import unknown
from pituning.workspace.similarity import NearestSimilarity


def arranged(
    nearest: Nearest, landmarks: np.ndarray, names: Sequence[str], *, recall: float = 1.0, seed: int = 0
) -> NearestSimilarity:
    """The sparse form with all that takes long to compute: places and communities.

    Args:
        landmarks: S of some tasks to all, (L, N), from which the layout starts.
    """
    deviation = nearest.deviation if nearest.deviation > 1e-12 else 1.0
    graph = nx.Graph()
    order = sorted(range(len(names)), key=lambda i: names[i])
    graph.add_nodes_from(names[i] for i in order)
    for i in order:
        for j, value in zip(nearest.tasks[i, :NEIGHBOURS], nearest.similarity[i, :NEIGHBOURS], strict=True):
            graph.add_edge(names[i], names[j], weight=closeness((value - nearest.mean) / deviation))
    groups = louvain(graph, seed)
    return NearestSimilarity(
        names=tuple(names),
        tasks=nearest.tasks,
        values=nearest.similarity.astype(np.float32),
        places=layout_of_nearest(nearest.tasks, landmarks, names, seed=seed),
        communities=np.array([groups[name] for name in names]),
        mean=nearest.mean,
        deviation=nearest.deviation,
        recall=recall,
    )


def sparse_graph(
    kept: NearestSimilarity, infos: Sequence[NodeInfo], *, k: int | None = None, threshold: float | None = None
) -> nx.Graph:
    """The graph of a large zoo; nodes and edges are as of `pituning.graph.build.task_graph`.

    Only the pairs that are kept can be joined: the most similar of each task, whatever the threshold. Where one of two
    tasks is not among those of the other, it is not ``mutual``, and the ``rank`` is the one that is known.

    Args:
        infos: the tasks in the order of ``kept.names``.

    Raises:
        BadInput: ``k`` is more than what is kept.
    """
    most = kept.tasks.shape[1]
    if k is not None and not 1 <= k <= most:
        raise BadInput(f"k is {k}; choose 1 to {most}, as many as are kept of each task", field="k")
    near = k if k is not None or threshold is not None else min(NEIGHBOURS, most)
    graph = nx.Graph()
    groups = dict(zip(kept.names, kept.communities.tolist(), strict=True))
    called = community_names(groups, infos)
    for i, info in enumerate(infos):
        graph.add_node(
            info.name,
            title=info.title,
            label=shorten(info.title or info.name),
            modality=str(info.modality),
            families=tuple(info.families),
            community=groups[info.name],
            community_name=called.get(groups[info.name], ""),
            x=round(float(kept.places[i, 0]), 2),
            y=round(float(kept.places[i, 1]), 2),
        )
    deviation = kept.deviation if kept.deviation > 1e-12 else 1.0
    for (i, j), (value, ranks) in sorted(_pairs(kept, near, threshold).items()):
        graph.add_edge(
            kept.names[i],
            kept.names[j],
            similarity=value,
            standardised=(value - kept.mean) / deviation,
            rank=min(ranks),
            mutual=len(ranks) == 2 and max(ranks) <= (near or NEIGHBOURS),
            inter_modal=crosses_modalities(infos[i].modality, infos[j].modality),
        )
    return graph


def _pairs(
    kept: NearestSimilarity, k: int | None, threshold: float | None
) -> dict[tuple[int, int], tuple[float, list[int]]]:
    """The pairs i < j that are joined, each with S and the ranks of each other that are known."""
    joined = kept.tasks >= 0
    if threshold is not None:
        joined = joined & (kept.values >= threshold)
    if k is not None:
        joined = joined & (np.arange(joined.shape[1]) < k)
    rows, places = np.nonzero(joined)
    others = kept.tasks[rows, places]
    pairs = set(zip(np.minimum(rows, others).tolist(), np.maximum(rows, others).tolist(), strict=True))
    result: dict[tuple[int, int], tuple[float, list[int]]] = {}
    for i, j in pairs:
        ranks, value = [], 0.0
        for a, b in ((i, j), (j, i)):
            at = np.flatnonzero(kept.tasks[a] == b)
            if len(at):
                ranks.append(int(at[0]) + 1)
                value = float(kept.values[a, at[0]])
        result[i, j] = value, ranks
    return result


def sparse_neighbors(kept: NearestSimilarity, task: str, k: int = 3) -> list[Neighbor]:
    """The k tasks that are most similar to one, best first; without confidence, since nothing is resampled.

    Raises:
        BadInput: the task is not among the names, or ``k`` is more than what is kept.
    """
    if task not in kept.names:
        raise unknown("task", task, list(kept.names))
    most = kept.tasks.shape[1]
    if not 1 <= k <= most:
        raise BadInput(f"k is {k}; choose 1 to {most}, as many as are kept of each task", field="k")
    i = kept.names.index(task)
    return [
        Neighbor(task=kept.names[j], similarity=float(value), rank=place)
        for place, (j, value) in enumerate(zip(kept.tasks[i, :k], kept.values[i, :k], strict=True), start=1)
        if j >= 0
    ]
