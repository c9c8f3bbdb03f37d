"""What a task graph is drawn from: tasks, values and which lines are wanted; and the graph of them, which is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import networkx as nx
import numpy as np
import streamlit as st

from app.components.own_tasks import OwnTask
from app.components.source import Source, SparseSource
from pituning.figures.task_graph import ColourBy
from pituning.graph.build import task_graph
from pituning.graph.directed import directed_graph
from pituning.graph.hulls import Hull, hulls
from pituning.graph.info import NodeInfo
from pituning.graph.newcomers import joined
from pituning.graph.predict import Neighbor, neighbors
from pituning.graph.sparse import sparse_graph, sparse_neighbors
from pituning.workspace.similarity import NearestSimilarity

NEAREST = 3


@dataclass(frozen=True, kw_only=True)
class GraphView:
    """What the controls ask for, and the values behind it.

    Args:
        name: of the downloads.
        kind: of the experts, where it is the graph of a zoo.
        infos: the tasks, in the order of rows and columns.
        matrix: S, (N, N), by which tasks have their places.
        replicates: S of each bootstrap replicate, (R, N, N); R may be 0.
        k, threshold, worst: which lines are drawn.
        known: (N, N) which values are known; None where all are.
        gains: (N, N) what donor j does for target i, where arrows are wanted in place of lines.
        halves: half of the 95 % interval of each gain, where it is known, by target and donor; None where nobody asks.
        gain_unit: what gains are measured in.
        shots: at which they were measured, where it is known.
        measured: whether lines of similarity are joined by arrows of what was measured around a chosen task.
        missing: why there is nothing to draw, if there is not.
        sparse: in place of matrix and replicates, which are empty then, the most similar of each of very many tasks.
        own: tasks that join the graph without moving any of it.
        outlined: whether communities have outlines and names.
        sizes: what the area of a point tells; None where all are alike; ``degree`` when it depends on the lines.
    """

    name: str
    infos: Sequence[NodeInfo]
    matrix: np.ndarray
    replicates: np.ndarray
    k: int | None
    threshold: float | None
    worst: bool = False
    known: np.ndarray | None = None
    kind: str | None = None
    gains: np.ndarray | None = None
    halves: Mapping[str, Mapping[str, float]] | None = None
    gain_unit: str = "points"
    shots: int | None = None
    measured: bool = True
    missing: str | None = None
    sparse: NearestSimilarity | None = None
    own: Sequence[OwnTask] = ()
    outlined: bool = True
    colour_by: ColourBy = "modality"
    sizes: Mapping[str, float] | Literal["degree"] | None = None
    size_unit: str = ""

    @property
    def names(self) -> list[str]:
        return [info.name for info in self.infos]

    def near(self, name: str, count: int = 5) -> list[Neighbor]:
        """The tasks nearest to one, with the confidence of that; none for one of which nobody knows."""
        names = self.names
        own = self.own_task(name)
        if own is not None:
            return [one for one in own.near if one.task in names][:count]
        if name not in names:
            return []
        if self.sparse is not None:
            return sparse_neighbors(self.sparse, name, min(count, self.sparse.tasks.shape[1]))
        return neighbors(self.matrix, names, name, min(count, len(names) - 1), replicates=self.replicates)

    def own_task(self, name: str) -> OwnTask | None:
        """One of those that joined, by its name."""
        return next((one for one in self.own if one.info.name == name), None)

    def graph(self) -> nx.Graph:
        """The graph that is drawn."""
        return self._drawn

    @cached_property
    def _drawn(self) -> nx.Graph:
        graph = self._without_own()
        if not self.own:
            return graph
        if graph.is_directed():
            return joined(graph, self.own)
        own = tuple((one.info.name, one.info.title, one.info.modality, one.run.id) for one in self.own)
        return _with_own(self._key(), self.k, self.threshold, own, graph, self.own)

    def hulls(self) -> Sequence[Hull]:
        """The communities that are drawn behind the tasks."""
        if not self.outlined:
            return ()
        return _hulls(self._key(), tuple((one.info.title, one.run.id) for one in self.own), self.graph())

    def _without_own(self) -> nx.Graph:
        if self.sparse is not None:
            return _sparse_graph(self._key(), self.k, self.threshold, self.sparse, self.infos)
        if self.gains is None:
            return _graph(self._key(), self.k, self.threshold, self.matrix, self.infos, self.known)
        return directed_graph(
            self.places(), self.gains, k=self.k, threshold=self.threshold, worst=self.worst, halves=self.halves
        )

    def places(self) -> nx.Graph:
        """The graph whose places all views share."""
        nearest = min(NEAREST, max(len(self.infos) - 1, 1))
        if self.sparse is not None:
            return _sparse_graph(self._key(), min(nearest, self.sparse.tasks.shape[1]), None, self.sparse, self.infos)
        return _graph(self._key(), nearest, None, self.matrix, self.infos, self.known)

    def _key(self) -> str:
        """What tells its graphs from others; Streamlit would take its time to look at thousands of names itself."""
        parts = [self.name, *(f"{info.name}\n{info.title}\n{info.modality}" for info in self.infos)]
        known = 0 if self.known is None else int(self.known.sum())
        values = self.matrix if self.sparse is None else self.sparse.values
        return hashlib.sha256(repr((parts, float(np.sum(values**2)), known)).encode()).hexdigest()


@st.cache_resource(max_entries=64, show_spinner="Laying out the graph …")
def _graph(
    key: str,
    k: int | None,
    threshold: float | None,
    _matrix: np.ndarray,
    _infos: Sequence[NodeInfo],
    _known: np.ndarray | None,
) -> nx.Graph:
    return task_graph(_matrix, _infos, k=k, threshold=threshold, known=_known)


@st.cache_resource(max_entries=16, show_spinner="Drawing the graph …")
def _sparse_graph(
    key: str, k: int | None, threshold: float | None, _kept: NearestSimilarity, _infos: Sequence[NodeInfo]
) -> nx.Graph:
    return sparse_graph(_kept, _infos, k=k, threshold=threshold)


@st.cache_resource(max_entries=32, show_spinner=False)
def _hulls(key: str, own: tuple[tuple[str, str], ...], _graph: nx.Graph) -> list[Hull]:
    """They depend on places and communities alone, whatever lines are drawn."""
    return hulls(_graph)


@st.cache_resource(max_entries=16, show_spinner=False)
def _with_own(
    key: str,
    k: int | None,
    threshold: float | None,
    names: tuple[tuple[str, ...], ...],
    _graph: nx.Graph,
    _own: Sequence[OwnTask],
) -> nx.Graph:
    return joined(_graph, _own)


def of_source(whole: Source | SparseSource, **options: Any) -> GraphView:
    """The graph of similarities, by default with the lines that a graph has by default."""
    common: dict[str, Any] = {
        "name": f"{whole.kind}-{whole.predictor}", "kind": whole.kind, "infos": whole.infos, "threshold": None,
        "k": min(NEAREST, max(len(whole.infos) - 1, 1)),
    }  # fmt: skip
    if isinstance(whole, SparseSource):
        common |= {"matrix": np.zeros((0, 0)), "replicates": np.zeros((0, 0, 0)), "sparse": whole.kept}
    else:
        common |= {"matrix": whole.matrix, "replicates": whole.replicates}
    return GraphView(**(common | options))
