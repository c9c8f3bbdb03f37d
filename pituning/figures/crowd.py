"""A task graph of thousands of tasks as an Apache ECharts option: all lines of a kind are one stroke of the pen.

ECharts' own graph holds an object for every line, so that 20,000 of them take a second whenever one task is chosen.
Here tasks are points in a plane whose axes zoom and move, and lines can be seen but not clicked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np

from pituning.figures.graph_hulls import hull_colours, hull_series
from pituning.figures.graph_lines import line_colour, line_label, line_name
from pituning.figures.palette import inks, modality_style
from pituning.figures.plane import hull_corners, plane
from pituning.figures.task_graph import (
    FADED,
    OWN,
    RINGED,
    ColourBy,
    categories,
    category_of,
    legend,
    name_of,
    near_of,
    painted,
)
from pituning.graph.hulls import Hull
from pituning.graph.newcomers import is_own

POINT_SIZE = {"circle": 7, "rect": 6, "diamond": 8}  # of about the same area
OWN_SIZE = 20
"""With the ring."""

CHOSEN_SCALE = 2.2
LINE = {"width": 1, "opacity": 0.3}
FADED_LINE = {"width": 1, "opacity": 0.07}
CHOSEN_LINE = {"width": 1.5, "opacity": 0.9}
MOST_NAMED = 12
"""Neighbours of the chosen task whose names are written; more would cover each other."""

ROOM = 0.04
"""Beside the outermost points, as a share of the whole."""


def crowd_option(
    graph: nx.Graph,
    *,
    colour_by: ColourBy = "modality",
    selected: str | None = None,
    other: str | None = None,
    chosen: Collection[str] = (),
    gain_unit: str = "points",
    hulls: Sequence[Hull] = (),
    wheel: bool = True,
    dark: bool = False,
) -> dict[str, Any]:
    """The option; arguments as of `pituning.figures.task_graph.graph_option`.

    A click comes back as a group with the ``series_id`` and the indices of tasks in `crowd_members` of it.
    """
    near = near_of(graph, selected, other, chosen)
    all_near = len(near) == len(graph)
    lines = _lines(graph, dark, gain_unit, faded=not all_near)
    # A legend names series only: one without points is for the ring.
    ringed = any(map(is_own, graph.nodes.values()))
    rings: list[dict[str, Any]] = [{"id": "own", "name": OWN, "type": "scatter", "data": []}] if ringed else []
    drawn = {series["name"] for series in (*lines, *rings)}
    drawn |= {category_of(data, colour_by) for _, data in graph.nodes(data=True)}
    behind = hull_colours(hulls, dark)
    paint = painted(graph, colour_by, behind, dark)
    groups = [one for one in categories(graph, colour_by, paint, dark, plain=not gain_unit) if one["name"] in drawn]
    ink, paper = inks(dark)
    return {
        "animation": False,
        "tooltip": {"confine": True, "backgroundColor": paper, "borderColor": "#8a96a3", "textStyle": {"color": ink},
                    "formatter": "{b}"},
        "legend": legend(groups, colour_by, ink, paper),
        **plane(graph, *_bounds(graph, hulls), wheel=wheel),
        "series": [
            *lines,
            *_points(graph, colour_by, paint, paper, faded=not all_near),
            *rings,
            *([] if all_near else _standing_out(graph, near, selected, other, colour_by, paint, dark)),
            *hull_series(
                hulls, behind, dark=dark, paper=paper,
                community=int(graph.nodes[selected]["community"]) if selected in graph else None, above=ink,
            ),
        ],
    }  # fmt: skip


def crowd_members(graph: nx.Graph, colour_by: ColourBy) -> dict[str, list[str]]:
    """The tasks of each series of points, in its order, by the series' id."""
    members: dict[str, list[str]] = {}
    for task, data in graph.nodes(data=True):
        members.setdefault(f"tasks {category_of(data, colour_by)}", []).append(task)
    return members


def _bounds(graph: nx.Graph, hulls: Sequence[Hull]) -> tuple[np.ndarray, np.ndarray]:
    places = np.array([(data["x"], data["y"]) for data in graph.nodes.values()])
    low, high = places.min(0), places.max(0)
    room = np.maximum(ROOM * (high - low), 1.0)
    everything = [low - room, high + room, *hull_corners(hulls)]
    return np.min(everything, axis=0), np.max(everything, axis=0)


def _lines(graph: nx.Graph, dark: bool, gain_unit: str, *, faded: bool) -> list[dict[str, Any]]:
    """One series for each kind of line, its ends as one list of numbers: x1, y1, x2, y2."""
    directed = graph.is_directed()
    ends: dict[str, list[float]] = {}
    for a, b, data in graph.edges(data=True):
        first, second = graph.nodes[a], graph.nodes[b]
        # The list begins with the number of corners of each line.
        ends.setdefault(line_name(data, directed), []).extend((2, first["x"], first["y"], second["x"], second["y"]))
    return [
        {
            "id": f"lines {kind}",
            "name": line_label(kind, plain=not gain_unit),
            "type": "lines",
            "coordinateSystem": "cartesian2d",
            "large": True,
            "largeThreshold": 0,
            "silent": True,
            "lineStyle": {"color": line_colour(kind, dark), **(FADED_LINE if faded else LINE)},
            "data": flat,
        }
        for kind, flat in ends.items()
    ]


def _points(
    graph: nx.Graph, colour_by: ColourBy, paint: Mapping[str, str], paper: str, *, faded: bool
) -> list[dict[str, Any]]:
    points = []
    for series, tasks in crowd_members(graph, colour_by).items():
        group = series.removeprefix("tasks ")
        points.append(
            {
                "id": series,
                "name": group,
                "type": "scatter",
                "selectedMode": "single",
                "cursor": "pointer",
                "itemStyle": {"color": paint[group], "opacity": FADED if faded else 1, "borderColor": paper,
                              "borderWidth": 0.5},
                "emphasis": {"scale": 1.6},
                "select": {"itemStyle": {"borderWidth": 0.5}},
                "data": [_point(graph.nodes[task]) for task in tasks],
            }
        )  # fmt: skip
    return points


def _point(data: dict[str, Any]) -> dict[str, Any]:
    symbol = modality_style(data["modality"]).symbol
    own = is_own(data)
    return {"name": data["title"], "value": [data["x"], data["y"]], "symbol": RINGED[symbol] if own else symbol,
            "symbolSize": OWN_SIZE if own else POINT_SIZE[symbol]}  # fmt: skip


def _standing_out(
    graph: nx.Graph,
    near: Collection[str],
    selected: str | None,
    other: str | None,
    colour_by: ColourBy,
    paint: Mapping[str, str],
    dark: bool,
) -> list[dict[str, Any]]:
    """What is chosen, once more and on top: its points and the lines between the chosen task and its neighbours."""
    ink, paper = inks(dark)
    pair = {selected, other} if other in near else None
    lines = [
        {
            "coords": [[graph.nodes[task]["x"], graph.nodes[task]["y"]] for task in (a, b)],
            "lineStyle": {"color": line_colour(line_name(data, graph.is_directed()), dark)},
        }
        for a, b, data in graph.edges(near, data=True)
        if selected in (a, b) and a in near and b in near and (pair is None or {a, b} == pair)
    ]
    named = {selected, other} | (set(near) if len(near) <= MOST_NAMED else set())
    points = []
    for task in sorted(near, key=lambda one: one in (selected, other)):  # the chosen ones lie on top
        data, large = graph.nodes[task], task in (selected, other)
        point = _point(data)
        point["itemStyle"] = {"color": paint[category_of(data, colour_by)], "borderColor": ink if large else paper,
                              "borderWidth": 2.5 if large else 1}  # fmt: skip
        point["symbolSize"] = round(point["symbolSize"] * (CHOSEN_SCALE if large and not is_own(data) else 1.3))
        point["label"] = {"show": task in named, "fontWeight": "bold" if large else "normal"}
        points.append(point | {"name": name_of(data)})
    return [
        {"id": "chosen lines", "type": "lines", "coordinateSystem": "cartesian2d", "silent": True, "z": 3,
         "lineStyle": CHOSEN_LINE, "data": lines},
        {"id": "chosen tasks", "type": "scatter", "silent": True, "z": 4, "data": points,
         "label": {"position": "bottom", "formatter": "{b}", "color": ink, "textBorderColor": paper,
                   "textBorderWidth": 3},
         "labelLayout": {"hideOverlap": True}},
    ]  # fmt: skip
