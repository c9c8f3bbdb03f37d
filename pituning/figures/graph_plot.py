"""The task graph as a Plotly figure: the same places, colours and lines as `task_graph`, for files that stand alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import plotly.graph_objects as go

from pituning.figures.graph_arrows import add_arrows
from pituning.figures.graph_hulls import FADED as FADED_HULL
from pituning.figures.graph_hulls import FILL, hull_colours
from pituning.figures.palette import INK, MODALITIES, colours, escape, in_order, modality_style
from pituning.figures.plane import hull_corners
from pituning.figures.task_graph import OWN, ColourBy, category_of, community_of, painted
from pituning.graph.build import UNKNOWN_MODALITY
from pituning.graph.ego import Arrow
from pituning.graph.hulls import Hull, hulls
from pituning.graph.layout import CROWD
from pituning.graph.newcomers import is_own

MOST_LABELLED = 150
WIDTHS = (1.2, 2.2, 3.4, 4.8)
"""Of lines, by quarters of the range of similarities: Plotly draws a trace with one width."""

SIZES = {"circle": 20, "square": 18, "diamond": 21}
CROWDED = 0.35
"""Of the size of a point and the width of a line where there are more than `CROWD` tasks."""

LINES: Mapping[str, tuple[Callable[[Mapping[str, Any]], bool], str]] = {
    "Predicted donor": (lambda data: bool(data.get("predicted")), "dot"),
    "Across modalities": (lambda data: bool(data["inter_modal"]), "4px,3px"),
    "Same modality": (lambda data: True, "solid"),
}
"""What the legend calls a line: the first of which the condition holds, and how it is dashed."""

FADED = 0.25
MARGIN = 0.06
BESIDE = {
    "top": "top center",
    "right": "middle right",
    "bottom": "bottom center",
    "left": "middle left",
    "inside": "middle center",
}


def graph_figure(
    graph: nx.Graph,
    *,
    colour_by: ColourBy = "modality",
    selected: str | None = None,
    other: str | None = None,
    arrows: Sequence[Arrow] = (),
    measure: str = "Similarity",
    dark: bool = False,
) -> go.Figure:
    """A graph from `pituning.graph.build.task_graph`.

    Args:
        graph: its nodes and edges have what `task_graph` says.
        colour_by: what the colour of a node says; its shape is always its modality.
        selected: a task that stands out with its neighbours.
        other: a second one: then these two stand out alone.
        arrows: measured effects, drawn over the lines; those at their ends stand out, too.
        measure: what the similarity of an edge is called.
        dark: whether the page is dark.
    """
    chosen = [task for task in (selected, other) if task is not None and task in graph]
    near = set(graph) if not chosen else {selected, *graph[selected]} if len(chosen) == 1 else set(chosen)
    near |= {task for arrow in arrows for task in (arrow.donor, arrow.target)}
    drawn = hulls(graph)
    behind = hull_colours(drawn, dark)
    paint = painted(graph, colour_by, behind, dark)
    here = int(graph.nodes[selected]["community"]) if selected in graph else None
    *outlines, names = _hulls(drawn, behind, here, dark)
    points = _points(graph, colour_by, paint, chosen, near, dark)
    marks = [*points, names] if _crowded(graph) else [names, *points]  # so many points would cover the names
    figure = go.Figure([*outlines, *_lines(graph, chosen, measure, dark), *marks])
    add_arrows(figure, graph, arrows, dark)
    axis: dict[str, Any] = {"visible": False, "zeroline": False, "showgrid": False}
    xs, ys = ([data[key] for _, data in graph.nodes(data=True)] or [0.0] for key in ("x", "y"))
    pads = [max((max(v) - min(v)) * MARGIN, 1.0) for v in (xs, ys)]
    corners = np.array(
        [
            (min(xs) - 2 * pads[0], min(ys) - pads[1]),
            (max(xs) + 2 * pads[0], max(ys) + 1.7 * pads[1]),
            *hull_corners(drawn),
        ]
    )
    low, high = corners.min(0), corners.max(0)
    figure.update_layout(
        height=640,
        margin={"l": 4, "r": 4, "t": 34, "b": 4},
        hovermode="closest",
        dragmode="pan",
        xaxis={**axis, "range": [float(low[0]), float(high[0])]},
        yaxis={**axis, "range": [float(high[1]), float(low[1])]},  # places have y down
        legend={
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "itemclick": False,
            "itemdoubleclick": False, "itemsizing": "constant",
        },
    )  # fmt: skip
    return figure


def _hulls(drawn: list[Hull], colour: Mapping[int, str], here: int | None, dark: bool) -> list[go.Scatter]:
    """The communities behind the tasks; those other than the one of the chosen task are faint."""
    traces = []
    for hull in drawn:
        clear = here in (None, hull.community)
        xs: list[float | None] = []
        ys: list[float | None] = []
        for outline in hull.outlines:
            xs += [*outline[:, 0].tolist(), float(outline[0, 0]), None]
            ys += [*outline[:, 1].tolist(), float(outline[0, 1]), None]
        traces.append(
            go.Scatter(
                x=xs, y=ys, mode="lines", line={"width": 0}, fill="toself", hoverinfo="skip", showlegend=False,
                fillcolor=_faint(colour[hull.community], FILL[dark] * (1 if clear else FADED_HULL)),
            )
        )  # fmt: skip
    named = [hull for hull in drawn if hull.label is not None]
    traces.append(
        go.Scatter(
            x=[hull.label.x for hull in named if hull.label], y=[hull.label.y for hull in named if hull.label],
            textposition=[BESIDE[hull.label.side] for hull in named if hull.label],
            mode="text", text=[f"<b>{escape(hull.name)}</b>" for hull in named], hoverinfo="skip", showlegend=False,
            textfont={"size": 12, "shadow": _halo(dark), "color": [
                _faint(colour[hull.community], 1 if here in (None, hull.community) else 0.5) for hull in named
            ]},
        )
    )  # fmt: skip
    return traces


def _lines(graph: nx.Graph, chosen: Sequence[str], measure: str, dark: bool) -> list[go.Scatter]:
    """The lines in groups that look alike, thin ones first, then what stands for them in the legend and on hover."""
    edges = list(graph.edges(data=True))
    values = np.array([data["similarity"] for *_, data in edges])
    low, spread = (values.min(), max(np.ptp(values), 1e-9)) if len(edges) else (0.0, 1.0)
    groups: dict[tuple[bool, int, str], list[tuple[str, str]]] = defaultdict(list)
    for (a, b, data), value in zip(edges, values, strict=True):
        level = min(int(len(WIDTHS) * (value - low) / spread), len(WIDTHS) - 1)
        faded = bool(chosen) and not set(chosen) <= {a, b}
        name = next(name for name, (holds, _) in LINES.items() if holds(data))
        groups[not faded, level, name].append((a, b))
    scale = CROWDED if _crowded(graph) else 1
    traces = []
    for (clear, level, name), pairs in sorted(groups.items()):
        places = [[graph.nodes[a][key], graph.nodes[b][key], None] for key in ("x", "y") for a, b in pairs]
        traces.append(
            go.Scatter(
                x=[value for place in places[: len(pairs)] for value in place],
                y=[value for place in places[len(pairs) :] for value in place],
                mode="lines",
                line={"width": WIDTHS[level] * (1 if chosen and clear else scale), **_line(name, dark)},
                opacity=(0.5 + 0.12 * level) * (1 if chosen else scale) if clear else 0.12 * scale,
                hoverinfo="skip",
                showlegend=False,
            )
        )
    for name in list(LINES)[::-1]:
        if {key[2] for key in groups} == {"Same modality"}:
            continue  # there is nothing to tell apart
        if any(key[2] == name for key in groups):
            line = {"width": 2.5, **_line(name, dark)}
            traces.append(go.Scatter(x=[None], y=[None], mode="lines", line=line, name=name, legendrank=2000))
    if not _crowded(graph):
        traces.append(_middles(graph, measure))
    return traces


def _crowded(graph: nx.Graph) -> bool:
    """Whether its tasks are too many for names, and for lines that are told one by one."""
    return graph.number_of_nodes() > CROWD


def _line(name: str, dark: bool) -> dict[str, str]:
    return {"color": colours(dark)[6], "dash": LINES[name][1]}


def _middles(graph: nx.Graph, measure: str) -> go.Scatter:
    """An invisible marker in the middle of each line: lines themselves say nothing on hover."""
    edges = list(graph.edges(data=True))
    nodes = graph.nodes
    return go.Scatter(
        x=[(nodes[a]["x"] + nodes[b]["x"]) / 2 for a, b, _ in edges],
        y=[(nodes[a]["y"] + nodes[b]["y"]) / 2 for a, b, _ in edges],
        mode="markers",
        marker={"size": 12, "opacity": 0},
        text=[
            f"{escape(nodes[a]['title'])} – {escape(nodes[b]['title'])}<br>{measure} <b>{data['similarity']:.4g}</b>"
            f"{_deviations(data)}{_sides(nodes[a], nodes[b], data)}"
            for a, b, data in edges
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _sides(first: Mapping[str, Any], second: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    if UNKNOWN_MODALITY in (first["modality"], second["modality"]):
        return ""
    return ", across modalities" if data["inter_modal"] else ", same modality"


def _deviations(data: Mapping[str, Any]) -> str:
    """How far above the mean pair, in standard deviations, where that is known."""
    return f" ({data['standardised']:+.1f} SD)" if "standardised" in data else ""


def _points(
    graph: nx.Graph,
    colour_by: ColourBy,
    paint: Mapping[str, str],
    chosen: Sequence[str],
    near: Collection[str | None],
    dark: bool,
) -> list[go.Scatter]:
    """A trace for each group of the legend."""
    groups: dict[str, list[str]] = defaultdict(list)
    if colour_by == "community":
        for task, data in sorted(graph.nodes(data=True), key=lambda item: int(item[1]["community"])):
            groups[category_of(data, colour_by)].append(task)
    else:
        by_modality: dict[str, list[str]] = defaultdict(list)
        for task, data in graph.nodes(data=True):
            by_modality[data["modality"]].append(task)
        groups.update({modality_style(name).label: by_modality[name] for name in in_order(by_modality)})
    scale = CROWDED if _crowded(graph) else 1
    written = set(graph) if graph.number_of_nodes() <= MOST_LABELLED else set(chosen)
    ink, paper = INK[dark], INK[not dark]
    traces = []
    for name, tasks in groups.items():
        nodes = [graph.nodes[task] for task in tasks]
        styles = [modality_style(data["modality"]) for data in nodes]
        clear = [task in near for task in tasks]
        traces.append(
            go.Scatter(
                x=[data["x"] for data in nodes],
                y=[data["y"] for data in nodes],
                mode="markers+text" if written & set(tasks) else "markers",
                name=escape(name),
                customdata=tasks,
                text=[_label(graph.nodes[task], task in chosen) if task in written else "" for task in tasks],
                textposition="bottom center",
                textfont={
                    "size": 12,
                    "color": [ink if shown else _faint(ink) for shown in clear],
                    "shadow": _halo(dark),
                },
                cliponaxis=False,
                marker={
                    "symbol": [style.marker for style in styles],
                    "size": [SIZES[style.marker] * scale * (1.35 / scale**0.6 if task in chosen else 1)
                             for style, task in zip(styles, tasks, strict=True)],
                    "color": paint[name],
                    "opacity": [1.0 if shown else FADED for shown in clear],
                    "line": {
                        "width": [3 if task in chosen else 1.5 * scale for task in tasks],
                        "color": [ink if task in chosen else paper for task in tasks],
                    },
                },
                hovertext=[_hover(data) for data in nodes],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    own = {task: data for task, data in graph.nodes(data=True) if is_own(data)}
    if own:
        traces.append(
            go.Scatter(
                x=[data["x"] for data in own.values()],
                y=[data["y"] for data in own.values()],
                mode="markers",
                name=OWN,
                marker={
                    "symbol": "circle-open", "size": 36, "color": ink, "line": {"width": 2.5},
                    "opacity": [1.0 if task in near else FADED for task in own],
                },
                hoverinfo="skip",
                legendrank=1500,
            )
        )  # fmt: skip
    return traces


def _halo(dark: bool) -> str:
    """The shadow by which letters stand out from what is behind them."""
    return ", ".join(f"{x}px {y}px 2px {INK[not dark]}" for x in (-1, 1) for y in (-1, 1))


def _label(data: dict[str, Any], strong: bool) -> str:
    text = escape(data["label"])
    return f"<b>{text}</b>" if strong else text


def _faint(ink: str, opacity: float = 0.45) -> str:
    red, green, blue = (int(ink[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{round(opacity, 3)})"


def _hover(data: dict[str, Any]) -> str:
    families = ", ".join(data["families"])
    label = MODALITIES[data["modality"]].label if data["modality"] in MODALITIES else data["modality"]
    lines = [f"<b>{escape(data['title'])}</b>", escape(label)]
    lines += [f"Planted families: {escape(families)}"] if families else []
    return "<br>".join([*lines, escape(community_of(data))])
