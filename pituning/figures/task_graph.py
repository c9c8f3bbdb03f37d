"""The task graph as an Apache ECharts option for ``st.echarts_chart``: places are fixed, a click selects one task.

The option holds plain strings, numbers and lists only: Streamlit refuses NumPy numbers and NaN. A selected node comes
back as an index into the order of ``graph.nodes``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import networkx as nx

from pituning.figures.palette import MODALITIES, colours, escape, modality_style

ColourBy = Literal["modality", "community"]

# Room for half a label at the sides and for labels and the legend below, in pixels.
MARGINS = {"left": 76, "right": 76, "top": 30, "bottom": 84}
MOST_LETTERS = 28
"""Of a title that stands at its node whole."""

MOST_IN_LEGEND = 10
"""More groups are turned over like pages."""

NODE_SIZE = {"circle": 24, "rect": 21, "diamond": 29}  # of about the same area
SELECTED_SCALE = 1.35
WIDTHS = (1.0, 5.0)
FADED = 0.22
FADED_LINE = 0.1
_DASH_ICON = "path://M0 9H9V12H0Z M14 9H23V12H14Z"
_LINE_ICON = "path://M0 9H23V12H0Z"


def graph_option(
    graph: nx.Graph,
    *,
    colour_by: ColourBy = "modality",
    selected: str | None = None,
    chosen: Collection[str] = (),
    dark: bool = False,
) -> dict[str, Any]:
    """The option of a graph from `pituning.graph.build.task_graph`.

    Args:
        graph: its nodes have ``label``, ``title``, ``modality``, ``community``, ``x``, ``y``; its edges ``similarity``
            and ``inter_modal``.
        colour_by: what the colour of a node says; its shape is always its modality.
        selected: a task that stands out together with its neighbours; others fade.
        chosen: tasks that were picked out; the others fade while none is selected.
        dark: whether the page is dark.
    """
    picked = set(chosen) & set(graph) or set(graph)
    near = {selected, *graph[selected]} if selected in graph else picked
    ink, paper = ("#e7edf3", "#0f151c") if dark else ("#16202b", "#ffffff")
    return {
        "animation": False,
        "tooltip": {"confine": True, "backgroundColor": paper, "borderColor": "#8a96a3", "textStyle": {"color": ink}},
        "legend": _legend(graph, colour_by, ink, dark),
        "series": [
            {
                "id": "tasks",
                "name": "Tasks",
                "type": "graph",
                "layout": "none",
                **MARGINS,
                "preserveAspect": True,
                "roam": True,
                "scaleLimit": {"min": 0.5, "max": 6},
                "nodeScaleRatio": 0.4,
                "selectedMode": "single",
                "cursor": "pointer",
                "categories": _categories(graph, colour_by, dark),
                "data": [
                    _node(task, data, colour_by, dark, paper, ink, task in near, task == selected)
                    for task, data in graph.nodes(data=True)
                ],
                "links": _links(graph, dark, near, selected if selected in graph else None),
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
                "emphasis": {"focus": "adjacency", "label": {"show": True, "fontWeight": "bold"}},
                "blur": {
                    "itemStyle": {"opacity": FADED},
                    "lineStyle": {"opacity": FADED_LINE},
                    "label": {"opacity": FADED},
                },
                "select": {"itemStyle": {"borderColor": ink, "borderWidth": 3}, "label": {"fontWeight": "bold"}},
            }
        ],
    }


def _node(
    task: str,
    data: dict[str, Any],
    colour_by: ColourBy,
    dark: bool,
    paper: str,
    ink: str,
    near: bool,
    chosen: bool,
) -> dict[str, Any]:
    style = modality_style(data["modality"])
    families = ", ".join(data["families"])
    lines = [
        f"<b>{escape(data['title'])}</b>",
        escape(style.label),
        *([f"Planted families: {escape(families)}"] if families else []),
        f"Community {int(data['community']) + 1}",
    ]
    size = NODE_SIZE[style.symbol] * (SELECTED_SCALE if chosen else 1)
    return {
        "id": task,
        "name": _name(data),
        "x": float(data["x"]),
        "y": float(data["y"]),
        "category": _category(data, colour_by),
        "symbol": style.symbol,
        "symbolSize": round(size),
        "itemStyle": {
            "color": _colour(data, colour_by, dark),
            "borderColor": ink if chosen else paper,
            "borderWidth": 3 if chosen else 1.5,
            "opacity": 1 if near else FADED,
        },
        "label": {"opacity": 1 if near else 0.45, "fontWeight": "bold" if chosen else "normal"},
        "tooltip": {"formatter": "<br>".join(lines)},
    }


def _name(data: dict[str, Any]) -> str:
    """The whole title where there is room for it, else the short one."""
    return str(data["title"] if len(data["title"]) <= MOST_LETTERS else data["label"])


def _links(graph: nx.Graph, dark: bool, near: Collection[str], selected: str | None) -> list[dict[str, Any]]:
    values = [data["similarity"] for _, _, data in graph.edges(data=True)]
    low, spread = min(values, default=0.0), max(max(values, default=1.0) - min(values, default=0.0), 1e-9)
    links = []
    for a, b, data in graph.edges(data=True):
        strength = (data["similarity"] - low) / spread if len(values) > 1 else 1.0
        faded = selected not in (a, b) if selected is not None else a not in near or b not in near
        kind = "across modalities" if data["inter_modal"] else "same modality"
        links.append(
            {
                "source": a,
                "target": b,
                "value": round(float(data["similarity"]), 4),
                "lineStyle": {
                    **_line(bool(data["inter_modal"]), dark),
                    "width": round(WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * float(strength), 2),
                    "opacity": FADED_LINE if faded else round(0.45 + 0.4 * float(strength), 2),
                    "curveness": 0.06,
                },
                "tooltip": {
                    "formatter": f"{escape(graph.nodes[a]['title'])} – {escape(graph.nodes[b]['title'])}<br>"
                    f"Similarity <b>{data['similarity']:.3f}</b> ({data['standardised']:+.1f} SD), {kind}"
                },
            }
        )
    return links


def _line(inter_modal: bool, dark: bool) -> dict[str, Any]:
    """Lines across modalities have their own colour and dashes."""
    palette = colours(dark)
    return {"color": palette[3], "type": "dashed"} if inter_modal else {"color": palette[6], "type": "solid"}


def _colour(data: dict[str, Any], colour_by: ColourBy, dark: bool) -> str:
    palette = colours(dark)
    if colour_by == "community":
        return palette[int(data["community"]) % len(palette)]
    return palette[modality_style(data["modality"]).colour]


def _category(data: dict[str, Any], colour_by: ColourBy) -> str:
    return (
        f"Community {int(data['community']) + 1}"
        if colour_by == "community"
        else modality_style(data["modality"]).label
    )


def _categories(graph: nx.Graph, colour_by: ColourBy, dark: bool) -> list[dict[str, Any]]:
    """What the legend lists: the groups of nodes, then the two kinds of lines as groups without nodes."""
    groups: dict[str, dict[str, Any]] = {}
    for _, data in sorted(graph.nodes(data=True), key=lambda item: _order(item[1], colour_by)):
        name = _category(data, colour_by)
        groups.setdefault(name, {"name": name, "itemStyle": {"color": _colour(data, colour_by, dark)}})
    lines = [
        {"name": name, "itemStyle": {"color": _line(inter_modal, dark)["color"]}}
        for name, inter_modal in (("Same modality", False), ("Across modalities", True))
    ]
    return [*groups.values(), *lines]


def _order(data: dict[str, Any], colour_by: ColourBy) -> tuple[int, str]:
    if colour_by == "community":
        return int(data["community"]), ""
    known = list(MODALITIES)
    return known.index(data["modality"]) if data["modality"] in known else len(known), data["modality"]


def _legend(graph: nx.Graph, colour_by: ColourBy, ink: str, dark: bool) -> dict[str, Any]:
    icons = {"Same modality": _LINE_ICON, "Across modalities": _DASH_ICON}
    if colour_by == "modality":
        icons |= {style.label: style.symbol for style in MODALITIES.values()}
    categories = _categories(graph, colour_by, dark)
    return {
        "type": "plain" if len(categories) <= MOST_IN_LEGEND else "scroll",
        "bottom": 4,
        "left": "center",
        "selectedMode": False,
        "itemWidth": 20,
        "itemHeight": 13,
        "itemGap": 16,
        "textStyle": {"color": ink},
        "data": [
            {"name": category["name"], "icon": icons.get(category["name"], "roundRect")} for category in categories
        ],
    }
