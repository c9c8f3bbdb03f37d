"""The task graph as an Apache ECharts option for ``st.echarts_chart``: places are fixed, a click selects one task.

The option holds plain strings, numbers and lists only: Streamlit refuses NumPy numbers and NaN. A selected node comes
back as an index into the order of ``graph.nodes``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import networkx as nx

from pituning.figures.graph_hulls import hull_colours, hull_series
from pituning.figures.graph_lines import (
    ARROW_SIZE,
    FADED_LINE,
    LINE_ICONS,
    PLAIN,
    arrow_links,
    line_colour,
    line_label,
    line_links,
    line_name,
)
from pituning.figures.palette import MODALITIES, colours, community_colours, escape, inks, modality_style
from pituning.figures.plane import bounds, plane
from pituning.graph.build import UNKNOWN_MODALITY
from pituning.graph.ego import Arrow
from pituning.graph.hulls import Hull
from pituning.graph.newcomers import is_own

ColourBy = Literal["modality", "community"]

MOST_LETTERS = 28
"""Of a title that stands at its node whole."""

LARGE = {"minWidth": 1100, "minHeight": 760}
"""Pixels of a canvas whose letters can be larger."""

LARGE_LETTERS = 15

ROOMY = 6
"""Groups that have room in a line of the legend; more stand closer together."""

MOST_IN_LEGEND = 10
"""More groups are turned over like pages."""

NODE_SIZE = {"circle": 24, "rect": 21, "diamond": 29}  # of about the same area
SCALES = (0.6, 1.45)
"""Of the smallest and the largest node; in between, areas are in proportion to what they tell."""

SELECTED_SCALE = 1.35
FADED = 0.22
ALONE = "In no community"
"""What the legend calls tasks that are a community each."""

OWN = "Yours"
"""What the legend calls a task that is in the graph by its shots alone, whose symbol has a ring around it."""

_RING = "M50 0A50 50 0 1 1 50 100A50 50 0 1 1 50 0ZM50 10A40 40 0 1 0 50 90A40 40 0 1 0 50 10Z"
RINGED = {
    "circle": f"path://{_RING}M50 17A33 33 0 1 1 50 83A33 33 0 1 1 50 17Z",
    "rect": f"path://{_RING}M24 24H76V76H24Z",
    "diamond": f"path://{_RING}M50 13L87 50L50 87L13 50Z",
}
"""The symbols within a ring, by the symbol."""

RING_SCALE = 1.6
"""Of a symbol with its ring, so that what is within is about as large as without."""


def graph_option(
    graph: nx.Graph,
    *,
    colour_by: ColourBy = "modality",
    selected: str | None = None,
    other: str | None = None,
    chosen: Collection[str] = (),
    sizes: Mapping[str, float] | None = None,
    size_unit: str = "",
    gain_unit: str = "points",
    arrows: Sequence[Arrow] = (),
    hulls: Sequence[Hull] = (),
    wheel: bool = True,
    dark: bool = False,
) -> dict[str, Any]:
    """The option of a graph from `pituning.graph.build.task_graph` or `pituning.graph.directed.directed_graph`.

    Args:
        graph: its nodes have ``label``, ``title``, ``modality``, ``community``, ``x``, ``y``; its edges
            ``inter_modal`` and ``similarity``, or ``gain`` and ``rank`` where it is directed.
        colour_by: what the colour of a node says; its shape is always its modality.
        selected: a task that stands out together with its neighbours; others fade.
        other: a second task: then only these two stand out, and what joins them.
        chosen: tasks that were picked out; the others fade while none is selected.
        sizes: what the area of each node tells; all are alike where it is not given.
        size_unit: what the sizes count, for example ``"training examples"``.
        gain_unit: what gains are measured in; empty where they are no gains, but other values.
        arrows: measured effects that are drawn over lines of similarity, which are grey. They come after the edges, and
            come back from a click with indices beyond theirs.
        hulls: communities that are drawn behind, of `pituning.graph.hulls.hulls`.
        wheel: whether the mouse wheel zooms.
        dark: whether the page is dark.
    """
    near = near_of(graph, selected, other, chosen)
    near |= {task for arrow in arrows for task in (arrow.donor, arrow.target)}
    behind = hull_colours(hulls, dark)
    paint = painted(graph, colour_by, behind, dark)
    groups = categories(graph, colour_by, paint, dark, plain=not gain_unit, arrows=arrows)
    scales = _scales(sizes or {})
    notes = {task: f"{value:,.0f} {size_unit}" for task, value in (sizes or {}).items()} if size_unit else {}
    ink, paper = inks(dark)
    letters = {"label": {"fontSize": LARGE_LETTERS}}
    larger = {
        "series": [{"id": "tasks", **letters}, *([{"id": "communities", **letters}] if hulls else [])],
        "legend": {"textStyle": {"fontSize": LARGE_LETTERS - 1}},
    }
    return {
        "animation": False,
        "tooltip": {"confine": True, "backgroundColor": paper, "borderColor": "#8a96a3", "textStyle": {"color": ink}},
        "legend": legend(groups, colour_by, ink, paper),
        **plane(graph, *bounds(graph, hulls), wheel=wheel),
        "media": [{"query": LARGE, "option": larger}],
        "series": [
            {
                "id": "tasks",
                "name": "Tasks",
                "type": "graph",
                "coordinateSystem": "cartesian2d",
                "z": 2,
                "selectedMode": "single",
                "cursor": "pointer",
                "categories": groups,
                "edgeSymbol": ["none", "arrow" if graph.is_directed() else "none"],
                "edgeSymbolSize": [0, ARROW_SIZE],
                "data": [
                    _node(
                        data,
                        category_of(data, colour_by),
                        paint,
                        paper,
                        ink,
                        task in near,
                        task in (selected, other),
                        scales.get(task, 1.0),
                        notes.get(task),
                    )
                    | {"id": task}
                    for task, data in graph.nodes(data=True)
                ],
                "links": [
                    *line_links(graph, dark, near, selected, other, gain_unit),
                    *arrow_links(graph, dark, arrows),
                ],
                "label": {
                    "show": True,
                    "position": "bottom",
                    "distance": 4,
                    "color": ink,
                    "fontSize": 12,
                    "textBorderColor": paper,
                    "textBorderWidth": 3,
                },
                "labelLayout": {"hideOverlap": True},
                "emphasis": {
                    "focus": "adjacency",
                    "blurScope": "series",
                    "label": {"show": True, "fontWeight": "bold"},
                    "lineStyle": {"opacity": 1},
                },
                "blur": {
                    "itemStyle": {"opacity": FADED},
                    "lineStyle": {"opacity": FADED_LINE},
                    "label": {"opacity": FADED},
                },
                "select": {"itemStyle": {"borderColor": ink, "borderWidth": 3}, "label": {"fontWeight": "bold"}},
            },
            *hull_series(
                hulls,
                behind,
                dark=dark,
                paper=paper,
                community=int(graph.nodes[selected]["community"]) if selected in graph else None,
            ),
        ],
    }


def near_of(graph: nx.Graph, selected: str | None, other: str | None, chosen: Collection[str]) -> set[str]:
    """The tasks that do not fade."""
    if selected not in graph:
        return set(chosen) & set(graph) or set(graph)
    if other in graph and other != selected:
        return {str(selected), str(other)}
    return {str(selected), *nx.all_neighbors(graph, selected)}


def _scales(sizes: Mapping[str, float]) -> dict[str, float]:
    """How much larger or smaller than usual each node is."""
    low, high = min(sizes.values(), default=0.0), max(sizes.values(), default=0.0)
    if low == high:
        return {}
    return {task: max(SCALES[0], SCALES[1] * math.sqrt(max(value, 0.0) / high)) for task, value in sizes.items()}


def _node(
    data: dict[str, Any],
    category: str,
    paint: Mapping[str, str],
    paper: str,
    ink: str,
    near: bool,
    chosen: bool,
    scale: float,
    note: str | None,
) -> dict[str, Any]:
    style = modality_style(data["modality"])
    families = ", ".join(data["families"])
    lines = [
        f"<b>{escape(data['title'])}</b>",
        escape(style.label),
        *([f"Planted families: {escape(families)}"] if families else []),
        "Yours, placed from its shots" if is_own(data) else escape(community_of(data)),
        *([escape(note)] if note else []),
    ]
    size = NODE_SIZE[style.symbol] * scale * (SELECTED_SCALE if chosen else 1) * (RING_SCALE if is_own(data) else 1)
    return {
        "name": name_of(data),
        "value": [float(data["x"]), float(data["y"])],
        "category": category,
        "symbol": RINGED[style.symbol] if is_own(data) else style.symbol,
        "symbolSize": round(size),
        "itemStyle": {
            "color": paint[category],
            "borderColor": ink if chosen else paper,
            "borderWidth": 1.5 if is_own(data) or not chosen else 3,
            "opacity": 1 if near else FADED,
        },
        "label": {"opacity": 1 if near else 0.45, "fontWeight": "bold" if chosen else "normal"},
        "tooltip": {"formatter": "<br>".join(lines)},
    }


def name_of(data: dict[str, Any]) -> str:
    """The whole title where there is room for it, else the short one."""
    return str(data["title"] if len(data["title"]) <= MOST_LETTERS else data["label"])


def _line_names(graph: nx.Graph) -> list[str]:
    """The kinds of lines that there are, where there is more than one."""
    directed = graph.is_directed()
    names = {line_name(data, directed) for _, _, data in graph.edges(data=True)}
    if names == {"Same modality"}:
        return []
    if directed and any(data["inter_modal"] for _, _, data in graph.edges(data=True)):
        names.add("Dashed: across modalities")
    return [name for name in LINE_ICONS if name in names]


def painted(graph: nx.Graph, colour_by: ColourBy, behind: Mapping[int, str], dark: bool) -> dict[str, str]:
    """The colour of each group of tasks: its modality's, or that of its community's outline.

    Args:
        behind: the colours of the outlines that are drawn, by community.
    """
    palette, many = colours(dark), community_colours(dark)
    paint = {}
    for data in graph.nodes.values():
        group, number = category_of(data, colour_by), int(data["community"])
        if colour_by == "modality":
            paint[group] = palette[modality_style(data["modality"]).colour]
        else:
            paint[group] = palette[6] if group == ALONE else behind.get(number, many[number % len(many)])
    return paint


def community_of(data: Mapping[str, Any]) -> str:
    """What the community of a task is called."""
    return f"Community: {data['community_name']}" if data["community_name"] else ALONE


def category_of(data: Mapping[str, Any], colour_by: ColourBy) -> str:
    """The group of a task in the legend."""
    return (data["community_name"] or ALONE) if colour_by == "community" else modality_style(data["modality"]).label


def categories(
    graph: nx.Graph,
    colour_by: ColourBy,
    paint: Mapping[str, str],
    dark: bool,
    *,
    plain: bool,
    arrows: Sequence[Arrow] = (),
) -> list[dict[str, Any]]:
    """What the legend lists: the groups of nodes, then what rings and lines mean, as groups without any.

    Args:
        paint: of `painted`.
    """
    places: dict[str, tuple[int, str]] = {}
    for data in graph.nodes.values():
        name, place = category_of(data, colour_by), _order(data, colour_by)
        places[name] = min(place, places.get(name, place))
    groups = {
        name: {"name": name, "itemStyle": {"color": paint[name]}} for name in sorted(places, key=places.__getitem__)
    }
    effects = [name for name, harm in (("Helps", False), ("Harms", True)) if harm in {one.gain < 0 for one in arrows}]
    lines = [
        {"name": line_label(name, plain=plain), "itemStyle": {"color": line_colour(name, dark)}}
        for name in [*_line_names(graph), *effects]
    ]
    own = [{"name": OWN, "itemStyle": {"color": inks(dark)[0]}}] if any(map(is_own, graph.nodes.values())) else []
    return [*groups.values(), *own, *lines]


def _order(data: dict[str, Any], colour_by: ColourBy) -> tuple[int, str]:
    if colour_by == "community":
        return (int(data["community"]) if data["community_name"] else len(data) * 1_000_000), ""
    known = list(MODALITIES)
    return known.index(data["modality"]) if data["modality"] in known else len(known), data["modality"]


def legend(groups: list[dict[str, Any]], colour_by: ColourBy, ink: str, paper: str) -> dict[str, Any]:
    """The legend of `categories`, below the graph."""
    icons = LINE_ICONS | {OWN: RINGED["circle"]} | {word: LINE_ICONS[name] for name, word in PLAIN.items()}
    if colour_by == "modality":
        icons |= {style.label: style.symbol for style in (*MODALITIES.values(), modality_style(UNKNOWN_MODALITY))}
    return {
        "type": "plain" if len(groups) <= MOST_IN_LEGEND else "scroll",
        "bottom": 4,
        "left": "center",
        "selectedMode": False,
        "backgroundColor": paper,  # to be read also where tasks are behind it, when it is zoomed
        "itemWidth": 20,
        "itemHeight": 13,
        "itemGap": 16 if len(groups) <= ROOMY else 10,
        "itemStyle": {"opacity": 1},  # also while the points fade
        "textStyle": {"color": ink},
        "data": [{"name": group["name"], "icon": icons.get(group["name"], "roundRect")} for group in groups],
    }
