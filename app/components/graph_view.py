"""The interactive task graph: its drawing, and which task or pair of tasks is chosen. State lives in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import networkx as nx
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import charts, context, ego, own_tasks, source, task_panel, zoom
from app.components.graph_shown import GraphView, of_source
from app.components.guard import empty
from app.components.links import choose_tasks, chosen_tasks, linked_select, set_linked
from app.components.words import Word
from pituning.figures.crowd import crowd_members, crowd_option
from pituning.figures.task_graph import graph_option
from pituning.graph.ego import Arrow
from pituning.graph.export import export_bytes
from pituning.graph.layout import CROWD
from pituning.workspace.similarity import NearestSimilarity

CHART_KEY = "graph_chart"
HERO_KEY = "hero_chart"
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
Pair = tuple[str, str]


def titles() -> dict[str, str]:
    """What people call the tasks."""
    return {name: info.title for name, info in context.tasks().items()}


def downloads(view: GraphView) -> None:
    """The graph as it is drawn, as a file for other programs."""
    graph = view.graph()
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.caption("Download", width="content", help="As drawn: tasks, lines, communities and places.")
        for file_format, use in EXPORTS.items():  # a file is made when it is asked for
            st.download_button(
                use.label, partial(export_bytes, graph, file_format), mime=MIME_TYPES[file_format], help=use.help,
                file_name=f"task-graph-{view.name}.{file_format}", on_click="ignore", key=f"download_{file_format}",
            )  # fmt: skip


def finder(known: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Finds a task by name, and a second one to compare it with; also where both are kept.

    Args:
        known: titles by name.
    """
    names = sorted(known, key=lambda name: known[name].casefold())
    task = linked_select(
        "Task", names, param="task", format_func=known.__getitem__, placeholder="Find a task, or click a point",
        hide_label=True,
    )  # fmt: skip
    if task is None:
        forget("other")
        return None, None
    other = linked_select(
        "Compare with", names, param="other", format_func=known.__getitem__, hide_label=True,
        placeholder="Compare with another, or click a line",
    )  # fmt: skip
    return task, None if other == task else other


def forget(*params: str) -> None:
    """Nothing is chosen under these names any more; without names, neither a task nor a pair."""
    set_linked(**dict.fromkeys(params or ("task", "other")))


def above() -> DeltaGenerator:
    """The place of all that stands above the graph, which does not show until that is drawn to the end (frame.css)."""
    return st.container(key="above_graph")


def canvas() -> tuple[DeltaGenerator, DeltaGenerator]:
    """The place of the graph, as high as the window, and that of the panel beside it, or below it (frame.css)."""
    with st.container(horizontal=True, gap="medium", key="graph_page"):
        return st.container(key="graph_canvas"), st.container(key="graph_panel")


def draw(view: GraphView, task: str | None, other: str | None) -> None:
    """The graph itself; a click on a task chooses it, one on a line chooses its two tasks."""
    if view.missing is not None:
        empty("Nothing measured yet", view.missing, icon=":material/compare_arrows:")
        return
    graph = view.graph()
    names = list(graph)
    chosen = chosen_tasks(names)
    # A line from donor to target opens as the pair of target and donor; one's own task is always the target.
    turned = graph.is_directed()
    pairs = [(b, a) if turned or view.own_task(b) is not None else (a, b) for a, b in graph.edges]
    sizes, unit = view.sizes, view.size_unit
    if sizes == "degree":
        sizes, unit = {name: float(degree) for name, degree in graph.degree}, "lines"
    common: dict[str, Any] = {
        "colour_by": view.colour_by, "selected": task, "other": other, "chosen": chosen, "gain_unit": view.gain_unit,
        "hulls": view.hulls(), "dark": charts.dark(),
    }  # fmt: skip
    arrows: Sequence[Arrow] = ()
    shots = 0
    if view.kind is not None and view.measured and not graph.is_directed() and not _crowded(graph):
        arrows, shots = ego.arrows(view.kind, graph, task, other)
        pairs += [(arrow.target, arrow.donor) for arrow in arrows]
    if _crowded(graph):
        option = crowd_option(graph, **common)
        clicked = partial(_clicked_in_crowd, crowd_members(graph, view.colour_by))
    else:
        option = graph_option(graph, sizes=sizes, size_unit=unit, arrows=arrows, **common)
        clicked = partial(_clicked, names, pairs)
    renderer = _renderer(graph)
    with st.container(gap=None, height="stretch"):
        # What stands below is drawn first: when it came later, over a slow line, it took room from a graph that was
        # already seen, and moved its tasks.
        drawing = st.container(gap=None, height="stretch")
        with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False, key="graph_facts"):
            words = _facts(graph, view) + (ego.reading(shots) if arrows else "")
            if chosen:
                words = f"{len(chosen)} of {len(names)} tasks are chosen; the others are faded."
            st.caption(words, help=_reading(graph, view) + (ego.CERTAIN if arrows else ""))
            if chosen:
                st.button("Show all", key="graph_all", type="tertiary", icon=":material/close:", on_click=choose_tasks)
            with st.container(width=184):
                charts.below(CHART_KEY, alt="the graph", stem=f"task-graph-{view.name}", svg=renderer == "svg",
                             pinned=_pinned(view, task, other))  # fmt: skip
        with drawing:
            st.echarts_chart(
                option, height="stretch", key=CHART_KEY, renderer=renderer, on_select=clicked, alt=_alt(graph)
            )
            zoom.keep(CHART_KEY)


def _pinned(view: GraphView, task: str | None, other: str | None) -> charts.Pinned:
    """What a pin sends to a story: the graph of similarities or of a table, or the matrix that arrows are of."""
    if view.kind is None:
        return "affinity", {"table": view.name, "k": view.k if view.gains is None else None, "colour": view.colour_by,
                            "first": task, "second": other}  # fmt: skip
    of = {"kind": view.kind, "predictor": view.name.removeprefix(f"{view.kind}-").removesuffix("-transfer")}
    if view.gains is not None:
        return "transfer", {**of, "shots": view.shots}
    return "graph", {**of, "k": view.k, "colour": view.colour_by, "task": task, "other": other}


def _alt(graph: nx.Graph) -> str:
    count, lines = graph.number_of_nodes(), graph.number_of_edges()
    if graph.is_directed():
        return f"Graph of {count} tasks and {lines} arrows from donors to the targets that they help or harm"
    return f"Graph of {count} tasks and {lines} lines between similar ones"


def _facts(graph: nx.Graph, view: GraphView) -> str:
    """What is drawn."""
    count, lines = graph.number_of_nodes(), graph.number_of_edges()
    if not graph.is_directed():
        text = f"{count:,} tasks, {lines:,} lines."
        return text if view.sparse is None else f"{text} {kept_words(view.sparse)}"
    if not view.gain_unit:
        return f"{count:,} tasks, {lines:,} arrows from source to target."
    below = sum(gain < 0 for _, _, gain in graph.edges(data="gain"))
    return f"{count:,} tasks, {lines:,} arrows from donor to target, {below or 'none'} of them harm."


def _reading(graph: nx.Graph, view: GraphView) -> str:
    """How to read it."""
    directed, crowded = graph.is_directed(), _crowded(graph)
    parts = ["Click a point; drag to move, scroll to zoom." if crowded else "Click a point or a line; scroll to zoom, "
             "drag to move."]  # fmt: skip
    if not crowded:
        parts.append(f"The thicker a line, the more{'' if directed else ' similar'}.")
    if view.halves is not None:
        parts.append(ego.CERTAIN.strip())
    if view.sizes is not None:
        parts.append(f"The larger a point, the more {'lines' if view.sizes == 'degree' else view.size_unit}.")
    if view.own:
        where = "of which nothing is measured here" if directed else "placed from a few of its rows"
        parts.append(f"Ringed, all of one size: yours, {where}.")
    if view.hulls():
        parts.append("Soft outlines: groups with more similarity inside than outside, named by what their tasks share.")
    return " ".join(parts)


def kept_words(sparse: NearestSimilarity) -> str:
    """What is to be known of pairs that are few of all that there are."""
    text = f"Of each task the {sparse.tasks.shape[1]} most similar are kept, not all pairs."
    if sparse.recall < 1:
        text += f" They were found by a sketch: {100 * sparse.recall:.1f} % of the nearest are the right ones."
    return text


def _crowded(graph: nx.Graph) -> bool:
    """Whether its tasks are too many for lines that can be clicked and names that can be read."""
    return graph.number_of_nodes() > CROWD


def _renderer(graph: nx.Graph) -> Literal["svg", "canvas"]:
    """SVG is crisp at any zoom and can be read by machines; very many points need a canvas."""
    return "canvas" if _crowded(graph) else "svg"


def _clicked(names: Sequence[str], pairs: Sequence[Pair]) -> None:
    """A click in the chart: a node becomes the chosen task, a line the chosen pair."""
    clicked: dict[str, list[int]] = {"node": [], "edge": []}
    for group in st.session_state[CHART_KEY]["selection"]["selected"]:
        clicked.setdefault(group.get("data_type", ""), []).extend(group["data_indices"])
    nodes = [index for index in clicked["node"] if 0 <= index < len(names)]
    lines = [index for index in clicked["edge"] if 0 <= index < len(pairs)]
    if lines:
        _open(pairs[lines[-1]])
    elif nodes:
        _open((names[nodes[-1]], None))
    else:
        # The chart took the click on its own last choice for "unselect", but that is still, or again, wanted.
        last = st.session_state.get("graph_last_click")
        if last is not None and last[0] in names and (last[1] is None or last[1] in names):
            _open(last)


def _clicked_in_crowd(members: Mapping[str, Sequence[str]]) -> None:
    """The same of a graph of very many tasks, whose points are several series: the one that is new is meant."""
    last = st.session_state.get("graph_last_click")
    clicked = [
        members[group["series_id"]][index]
        for group in st.session_state[CHART_KEY]["selection"]["selected"]
        if group.get("series_id") in members
        for index in group["data_indices"]
        if 0 <= index < len(members[group["series_id"]])
    ]
    new = [name for name in clicked if last is None or name != last[0]]
    if new or clicked:
        _open(((new or clicked)[-1], None))
    elif last is not None and any(last[0] in tasks for tasks in members.values()):
        _open(last)  # a second click on it took the choice back in the chart


def _open(pair: tuple[str, str | None]) -> None:
    """Makes a task, or two, the chosen ones; of a line, the task that was chosen stays the first where it can."""
    st.session_state["graph_last_click"] = pair
    task, other = pair
    if other is not None and st.session_state.get("task") == other:
        task, other = other, task
    set_linked(task=task, other=other)


def open_neighbour(key: str, names: Sequence[str], *, beside: bool = False) -> None:
    """A click in a table of tasks: that task becomes the chosen one, or the one ``beside`` it."""
    rows = st.session_state[key]["selection"]["rows"]
    if rows and rows[0] < len(names):
        if beside:
            set_linked(other=names[rows[0]])
        else:
            set_linked(task=names[rows[0]], other=None)
        task_panel.forget_rows()


def hero() -> str | None:
    """The graph of the first kind and predictor, at a glance; the task graph page has the controls.

    Returns:
        The task that was clicked.
    """
    available = context.available()
    kind = next(iter(available))
    whole = source.load_kept(kind, available[kind][0])
    view = of_source(whole, own=own_tasks.on_graph(kind, whole.names))
    graph = view.graph()
    crowded = _crowded(graph)
    with st.container(key="hero_canvas"):
        st.echarts_chart(
            (crowd_option if crowded else graph_option)(graph, hulls=view.hulls(), wheel=False, dark=charts.dark()),
            height="stretch",
            key=HERO_KEY,
            renderer=_renderer(graph),
            on_select=partial(_clicked_at_a_glance, crowd_members(graph, "modality") if crowded else list(graph)),
            alt=f"Graph of {graph.number_of_nodes()} tasks; lines join similar ones, across modalities",
        )
    charts.below(HERO_KEY, alt="the graph", savable=False, pinned=_pinned(view, None, None))
    clicked: str | None = st.session_state.pop("hero_clicked", None)
    return clicked


def _clicked_at_a_glance(tasks: Sequence[str] | Mapping[str, Sequence[str]]) -> None:
    """A click in the graph at a glance: the task is opened where there is room for what is known of it."""
    for group in st.session_state[HERO_KEY]["selection"]["selected"]:
        names = tasks.get(group.get("series_id"), ()) if isinstance(tasks, Mapping) else tasks
        if group.get("data_type") != "edge":
            for index in group["data_indices"]:
                if 0 <= index < len(names):
                    st.session_state["hero_clicked"] = names[index]
