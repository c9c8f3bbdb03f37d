"""The task graph as a Plotly figure: the same places, colours and lines as `task_graph`, for files that stand alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import networkx as nx
import numpy as np
import plotly.graph_objects as go

from pituning.figures.graph_hulls import FADED as FADED_HULL
from pituning.figures.graph_hulls import FILL, hull_colours
from pituning.figures.palette import INK, MODALITIES, colours, escape, in_order, modality_style
from pituning.figures.plane import hull_corners
from pituning.figures.task_graph import ColourBy, category_of, community_of, painted
from pituning.graph.hulls import Hull, hulls

MOST_LABELLED = 150
WIDTHS = (1.2, 2.2, 3.4, 4.8)
"""Of lines, by quarters of the range of similarities: Plotly draws a trace with one width."""

SIZES = {"circle": 20, "square": 18, "diamond": 21}
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
    graph: nx.Graph, *, colour_by: ColourBy = "modality", selected: str | None = None, dark: bool = False
) -> go.Figure:
    """A graph from `pituning.graph.build.task_graph`.

    Args:
        graph: its nodes and edges have what `task_graph` says.
        colour_by: what the colour of a node says; its shape is always its modality.
        selected: a task that stands out with its neighbours.
        dark: whether the page is dark.
    """
    near = {selected, *graph[selected]} if selected in graph else set(graph)
    drawn = hulls(graph)
    behind = hull_colours(drawn, dark)
    paint = painted(graph, colour_by, behind, dark)
    here = int(graph.nodes[selected]["community"]) if selected in graph else None
    figure = go.Figure(
        [
            *_hulls(drawn, behind, here, dark),
            *_lines(graph, selected, dark),
            *_points(graph, colour_by, paint, selected, near, dark),
        ]
    )
    axis: dict[str, Any] = {"visible": False, "zeroline": False, "showgrid": False}
    xs, ys = ([data[key] for _, data in graph.nodes(data=True)] or [0.0] for key in ("x", "y"))
    pads = [max((max(v) - min(v)) * MARGIN, 1.0) for v in (xs, ys)]
    corners = np.array(
        [(min(xs) - 2 * pads[0], min(ys) - pads[1]), (max(xs) + 2 * pads[0], max(ys) + pads[1]), *hull_corners(drawn)]
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
            textfont={"size": 12, "color": [
                _faint(colour[hull.community], 1 if here in (None, hull.community) else 0.5) for hull in named
            ]},
        )
    )  # fmt: skip
    return traces


def _lines(graph: nx.Graph, selected: str | None, dark: bool) -> list[go.Scatter]:
    """The lines in groups that look alike, thin ones first, then what stands for them in the legend and on hover."""
    edges = list(graph.edges(data=True))
    values = np.array([data["similarity"] for *_, data in edges])
    low, spread = (values.min(), max(np.ptp(values), 1e-9)) if len(edges) else (0.0, 1.0)
    groups: dict[tuple[bool, int, bool], list[tuple[str, str]]] = defaultdict(list)
    for (a, b, data), value in zip(edges, values, strict=True):
        level = min(int(len(WIDTHS) * (value - low) / spread), len(WIDTHS) - 1)
        faded = selected in graph and selected not in (a, b)
        groups[not faded, level, bool(data["inter_modal"])].append((a, b))
    traces = []
    for (clear, level, across), pairs in sorted(groups.items()):
        places = [[graph.nodes[a][key], graph.nodes[b][key], None] for key in ("x", "y") for a, b in pairs]
        traces.append(
            go.Scatter(
                x=[value for place in places[: len(pairs)] for value in place],
                y=[value for place in places[len(pairs) :] for value in place],
                mode="lines",
                line={"width": WIDTHS[level], **_line(across, dark)},
                opacity=(0.5 + 0.12 * level) if clear else 0.12,
                hoverinfo="skip",
                showlegend=False,
            )
        )
    for across, name in ((False, "Same modality"), (True, "Across modalities")):
        if any(key[2] == across for key in groups):
            line = {"width": 2.5, **_line(across, dark)}
            traces.append(go.Scatter(x=[None], y=[None], mode="lines", line=line, name=name, legendrank=2000))
    traces.append(_middles(graph))
    return traces


def _line(across: bool, dark: bool) -> dict[str, str]:
    return {"color": colours(dark)[6], "dash": "4px,3px" if across else "solid"}


def _middles(graph: nx.Graph) -> go.Scatter:
    """An invisible marker in the middle of each line: lines themselves say nothing on hover."""
    edges = list(graph.edges(data=True))
    nodes = graph.nodes
    return go.Scatter(
        x=[(nodes[a]["x"] + nodes[b]["x"]) / 2 for a, b, _ in edges],
        y=[(nodes[a]["y"] + nodes[b]["y"]) / 2 for a, b, _ in edges],
        mode="markers",
        marker={"size": 12, "opacity": 0},
        text=[
            f"{escape(nodes[a]['title'])} – {escape(nodes[b]['title'])}<br>Similarity <b>{data['similarity']:.3f}</b> "
            f"({data['standardised']:+.1f} SD), {'across modalities' if data['inter_modal'] else 'same modality'}"
            for a, b, data in edges
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _points(
    graph: nx.Graph,
    colour_by: ColourBy,
    paint: Mapping[str, str],
    selected: str | None,
    near: set[str | None],
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
    labelled = graph.number_of_nodes() <= MOST_LABELLED
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
                mode="markers+text" if labelled else "markers",
                name=escape(name),
                customdata=tasks,
                text=[_label(graph.nodes[task], task == selected) if labelled else "" for task in tasks],
                textposition="bottom center",
                textfont={
                    "size": 12,
                    "color": [ink if shown else _faint(ink) for shown in clear],
                    "shadow": ", ".join(f"{x}px {y}px 2px {paper}" for x in (-1, 1) for y in (-1, 1)),
                },
                cliponaxis=False,
                marker={
                    "symbol": [style.marker for style in styles],
                    "size": [SIZES[style.marker] * (1.35 if task == selected else 1)
                             for style, task in zip(styles, tasks, strict=True)],
                    "color": paint[name],
                    "opacity": [1.0 if shown else FADED for shown in clear],
                    "line": {
                        "width": [3 if task == selected else 1.5 for task in tasks],
                        "color": [ink if task == selected else paper for task in tasks],
                    },
                },
                hovertext=[_hover(data) for data in nodes],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    return traces


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
