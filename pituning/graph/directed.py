"""The directed view of a task graph: who helps whom, or any other table of values from one task to another.

Tasks keep the places that their similarities give them, so that the two views can be laid one over the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import numpy as np

from pituning.errors import BadInput
from pituning.graph.build import crosses_modalities

BEST = 2
"""Arrows into each task by default."""


def directed_graph(
    graph: nx.Graph,
    values: np.ndarray,
    *,
    k: int | None = None,
    threshold: float | None = None,
    worst: bool = False,
    halves: Mapping[str, Mapping[str, float]] | None = None,
) -> nx.DiGraph:
    """The tasks of ``graph``, joined by arrows from donor to target.

    Args:
        graph: from `pituning.graph.build.task_graph`; its nodes are taken over as they are, places included.
        values: (N, N), target i in the rows and donor j in the columns, in the order of the nodes; NaN where nothing
            is known, the diagonal is left out. Negative values are harm.
        k: the donors of each target with the largest values, at most so many; `BEST` when neither ``k`` nor
            ``threshold`` is given.
        threshold: keeps arrows of at least this absolute value.
        worst: ``k`` counts from the other end.
        halves: half of the 95 % interval of each value, where it is known, by target and donor.

    Returns:
        A graph whose edges have ``gain`` (the value), ``rank`` (1: what helps the target most, of all that is known),
        ``inter_modal``, and, with ``halves``, ``certain`` (whether the interval is known and leaves 0 out) and ``half``
        where it is known.

    Raises:
        BadInput: the values do not fit the tasks.
    """
    names = list(graph)
    n = len(names)
    if values.shape != (n, n):
        raise BadInput(f"values have shape {values.shape} for {n} tasks; give one row and column per task")
    most = k if k is not None or threshold is not None else BEST
    directed = nx.DiGraph()
    directed.add_nodes_from((name, dict(data)) for name, data in graph.nodes(data=True))
    for i, target in enumerate(names):
        donors = [j for j in range(n) if j != i and np.isfinite(values[i, j])]
        best_first = sorted(donors, key=lambda j: -values[i, j])
        places = {j: place for place, j in enumerate(best_first, start=1)}
        for j in (best_first[::-1] if worst else best_first)[:most]:
            if threshold is None or abs(values[i, j]) >= threshold:
                gain, half = float(values[i, j]), (halves or {}).get(target, {}).get(names[j])
                sure = {} if halves is None else {"certain": half is not None and abs(gain) > half}
                directed.add_edge(
                    names[j],
                    target,
                    gain=gain,
                    rank=places[j],
                    **sure,
                    **({} if half is None else {"half": half}),
                    inter_modal=crosses_modalities(graph.nodes[names[j]]["modality"], graph.nodes[target]["modality"]),
                )
    return directed
