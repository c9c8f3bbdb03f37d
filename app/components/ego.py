"""What was measured around the chosen task, as arrows over the graph of similarities."""

from __future__ import annotations

import networkx as nx

from app.components import context
from app.components.words import shots_label
from pituning.errors import PiTuningError
from pituning.graph.directed import BEST
from pituning.graph.ego import Arrow, arrows_into
from pituning.graph.newcomers import is_own


def arrows(kind: str, graph: nx.Graph, task: str | None, other: str | None) -> tuple[list[Arrow], int]:
    """Arrows into the chosen task from its neighbours and its best donors, or both ways between a chosen pair; and at
    how many shots they were measured. None where nothing was."""
    if task is None or task not in graph:
        return [], 0
    names = tuple(name for name, data in graph.nodes(data=True) if not is_own(data))
    targets, best = {task: set(graph.adj[task])}, BEST
    if other is not None and other in graph and other != task:
        targets, best = {task: {other}, other: {task}}, 0
    try:
        counts = context.transfer_shots(kind)
        transfer = context.transfer(kind, counts[-1], names) if counts else None
        if transfer is None:
            return [], 0
        drawn: list[Arrow] = []
        for target, near in targets.items():
            if target in transfer.names:
                row = transfer.gains[transfer.names.index(target)]
                gains = {name: float(gain) for name, gain in zip(transfer.names, row, strict=True)}
                drawn += arrows_into(target, gains, near, context.gain_intervals(kind, counts[-1], target), best=best)
        return drawn, counts[-1]
    except PiTuningError:
        return [], 0  # the panel tells what is wrong with the table


CERTAIN = " Blue arrows help, orange ones harm; pale: the 95 % interval over seeds holds 0, or there is one seed."
"""How to read the arrows."""


def reading(shots: int) -> str:
    """What the arrows are."""
    return f" Arrows: what donors did as measured ({shots_label(shots)}), pale where it may be chance."
