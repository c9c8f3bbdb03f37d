"""The interactive task graph: its controls, its drawing, and which task is chosen. State lives in the address."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import networkx as nx
import numpy as np
import streamlit as st

from app.components import charts, context, source
from app.components.links import choose_tasks, chosen_tasks, linked_select
from app.components.words import Word
from pituning.figures.task_graph import ColourBy, graph_option
from pituning.graph.build import task_graph
from pituning.graph.export import export_bytes
from pituning.graph.predict import Neighbor, neighbors
from pituning.workspace.similarity import ZooSimilarity

NEAREST = 3
COLOURS: tuple[ColourBy, ...] = ("modality", "community")
CHART_KEY = "graph_chart"
MOST_IN_SVG = 150
EXPORTS = {
    "graphml": Word("GraphML", "For yEd, Cytoscape, igraph and networkx."),
    "json": Word("JSON", "Nodes and links, for D3 and programs of your own."),
    "csv": Word("CSV", "The lines as a table, one a row."),
    "gexf": Word("GEXF", "For Gephi, with places and weights."),
}
MIME_TYPES = {
    "graphml": "application/graphml+xml",
    "json": "application/json",
    "csv": "text/csv",
    "gexf": "application/gexf+xml",
}


@dataclass(frozen=True, kw_only=True)
class GraphView:
    """What the controls ask for, and the similarities behind it."""

    kind: str
    predictor: str
    k: int | None
    threshold: float | None
    colour_by: ColourBy
    similarity: ZooSimilarity

    def near(self, name: str, count: int | None = None) -> list[Neighbor]:
        """The tasks nearest to one, with the confidence of that; none for a task without an expert."""
        names = self.similarity.names
        if name not in names:
            return []
        return neighbors(
            self.similarity.matrix, names, name, min(count or 5, len(names) - 1), replicates=self.similarity.replicates
        )

    def graph(self) -> nx.Graph:
        """The graph that is drawn."""
        return _graph(self.kind, self.predictor, self.k, self.threshold, self.similarity.names, self.similarity)


@st.cache_resource(max_entries=64, show_spinner="Laying out the graph …")
def _graph(
    kind: str,
    predictor: str,
    k: int | None,
    threshold: float | None,
    names: tuple[str, ...],
    _similarity: ZooSimilarity,
) -> nx.Graph:
    infos = [context.tasks()[name] for name in names]
    return task_graph(_similarity.matrix, infos, k=k, threshold=threshold)


def titles() -> dict[str, str]:
    """What people call the tasks."""
    return {name: info.title for name, info in context.tasks().items()}


def selected() -> str | None:
    """The chosen task, if it is one."""
    name = st.session_state.get("task")
    return name if name in context.tasks() else None


def controls(found: dict[str, list[str]]) -> GraphView:
    """The row above the graph. ``found`` has the predictors that are there for each kind."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kind, predictor = source.choose(found)
        similarity = context.similarity(kind, predictor)
        k, threshold = _edges(similarity)
        colour_by = st.segmented_control(
            "Colour", COLOURS, format_func=str.capitalize, required=True, default="modality",
            key="colour", bind="query-params",
            help="Modality: what a task works on. Community: groups with more likeness inside than outside (Louvain).",
        )  # fmt: skip
        view = GraphView(
            kind=kind,
            predictor=predictor,
            k=k,
            threshold=threshold,
            colour_by=colour_by or "modality",
            similarity=similarity,
        )
        _downloads(view)
    return view


def _downloads(view: GraphView) -> None:
    """The graph as it is drawn, as a file for other programs."""
    with st.popover("Download", icon=":material/download:", key="graph_download"):
        st.caption("The graph with these settings: tasks, lines, communities and places.")
        graph = view.graph()
        for file_format, use in EXPORTS.items():  # a file is made when it is asked for
            st.download_button(
                use.label, partial(export_bytes, graph, file_format), mime=MIME_TYPES[file_format], help=use.help,
                file_name=f"task-graph-{view.kind}-{view.predictor}.{file_format}", on_click="ignore",
                key=f"download_{file_format}", width="stretch",
            )  # fmt: skip


def _edges(similarity: ZooSimilarity) -> tuple[int | None, float | None]:
    count = len(similarity.names)
    mode = st.segmented_control(
        "Lines", ["nearest", "threshold"], format_func={"nearest": "Nearest", "threshold": "Above"}.__getitem__,
        required=True, default="nearest", key="lines", bind="query-params",
        help="Nearest: each task to its most similar ones. Above: every pair that is more similar than a threshold.",
    )  # fmt: skip
    if mode == "threshold":
        pairs = similarity.matrix[np.triu_indices(count, k=1)]
        low, high = float(np.floor(pairs.min() * 100) / 100), float(np.ceil(pairs.max() * 100) / 100)
        start = min(max(round(float(np.quantile(pairs, 0.85)), 2), low), high)
        chosen = st.slider(
            "Similarity of at least", low, high, start, 0.01, key="threshold", bind="query-params", width=150
        )
        return None, min(max(chosen, low), high)
    most = min(8, count - 1)
    chosen = st.slider("Nearest shown", 1, most, min(NEAREST, most), key="k", bind="query-params", width=150)
    return min(max(chosen, 1), most), None


def finder() -> None:
    """Finds a task by name; also where the chosen task is kept."""
    linked_select(
        "Task", sorted(context.tasks(), key=lambda name: titles()[name].lower()), param="task",
        format_func=lambda name: titles()[name], placeholder="Find a task, or click a point", hide_label=True,
    )  # fmt: skip


def draw(view: GraphView) -> None:
    """The graph itself; a click on a task chooses it."""
    names = list(view.similarity.names)
    graph = view.graph()
    chosen = chosen_tasks(names)
    st.echarts_chart(
        graph_option(graph, colour_by=view.colour_by, selected=selected(), chosen=chosen, dark=charts.dark()),
        height=620,
        key=CHART_KEY,
        renderer=_renderer(graph),
        on_select=lambda: _clicked(names),
        alt=f"Graph of {graph.number_of_nodes()} tasks and {graph.number_of_edges()} lines between similar ones",
    )
    st.caption(
        f"{graph.number_of_nodes()} tasks, {graph.number_of_edges()} lines; the thicker, the more similar. "
        "Drag to move, scroll to zoom."
    )
    if chosen:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{len(chosen)} of {len(names)} tasks are chosen; the others are faded.", width="content")
            st.button("Show all", key="graph_all", type="tertiary", icon=":material/close:", on_click=choose_tasks)


def _renderer(graph: nx.Graph) -> Literal["svg", "canvas"]:
    """SVG is crisp at any zoom and can be read by machines; very many points need a canvas."""
    return "svg" if graph.number_of_nodes() <= MOST_IN_SVG else "canvas"


def _clicked(names: list[str]) -> None:
    """A click in the chart: the chosen node becomes the chosen task."""
    nodes = [
        index
        for group in st.session_state[CHART_KEY]["selection"]["selected"]
        if group.get("data_type") == "node"
        for index in group["data_indices"]
        if 0 <= index < len(names)
    ]
    last = st.session_state.get("graph_last_click")
    if nodes:
        st.session_state["task"] = st.session_state["graph_last_click"] = names[nodes[-1]]
    elif last in names and last != st.session_state.get("task"):
        # The chart took the click on its own last choice for "unselect", but another task was open by then.
        st.session_state["task"] = last


def open_neighbour(near: list[str]) -> None:
    """A click in the table of neighbours: that task becomes the chosen one."""
    rows = st.session_state[f"neighbours-{st.session_state.get('task')}"]["selection"]["rows"]
    if rows and rows[0] < len(near):
        st.session_state["task"] = near[rows[0]]


def hero() -> None:
    """The graph of the first kind and predictor, to look at; the task graph page has the controls."""
    found = context.available()
    kind = next(iter(found))
    similarity = context.similarity(kind, found[kind][0])
    view = GraphView(
        kind=kind, predictor=found[kind][0], k=NEAREST, threshold=None, colour_by="modality", similarity=similarity
    )
    graph = view.graph()
    st.echarts_chart(
        graph_option(graph, colour_by="modality", selected=None, dark=charts.dark()),
        height=480,
        key="hero_chart",
        renderer=_renderer(graph),
        alt=f"Graph of {graph.number_of_nodes()} tasks; lines join similar ones, across modalities",
    )
