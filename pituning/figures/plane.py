"""The plane on which graphs are drawn by Apache ECharts: axes that do not show, zoom and move."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np

from pituning.graph.hulls import Hull
from pituning.graph.layout import label_boxes
from pituning.graph.newcomers import is_own

MARGINS = {"left": 0, "right": 0, "top": 8, "bottom": 74}
"""Pixels around the plane. Below there is always room for two lines of the legend: a choice adds entries to it, and no
task moves. At the sides, outlines would be cut off by any."""

ROOM = np.array([14.0, 0.0])
"""Pixels of the layout at the sides in place of that."""

LEGEND_LINE = 22
MOST_IN_LINE = 6
"""Entries of the legend that a narrow page has room for in one line."""

MOST_ZOOM = 8
OWN_RADIUS = 22.0
"""Pixels around a task that joined, which makes the plane no larger unless it stands beyond all others."""


def plane(graph: nx.Graph, low: np.ndarray, high: np.ndarray, *, wheel: bool = True) -> dict[str, Any]:
    """Grid, axes and zoom of an option.

    The id of the zoom tells whether tasks stand where they stood, so that a page can keep what is seen while they do.

    Args:
        graph: of the tasks that are drawn.
        low, high: the corners of what is to be seen, in pixels of the layout, y down, (2,) each.
        wheel: whether the mouse wheel zooms; otherwise it does with the control key, and else moves the page.
    """
    axes = [
        {"type": "value", "show": False, "min": float(first), "max": float(last)}
        for first, last in zip(low, high, strict=True)
    ]
    zoom = {"type": "inside", "filterMode": "none", "minSpan": 100 / MOST_ZOOM, "zoomOnMouseWheel": wheel or "ctrl"}
    return {
        "grid": dict(MARGINS),
        "xAxis": axes[0],
        "yAxis": axes[1] | {"inverse": True},  # y runs down
        "dataZoom": [zoom | {axis: 0, "id": f"{axis} {_places(graph)}"} for axis in ("xAxisIndex", "yAxisIndex")],
    }


def _places(graph: nx.Graph) -> str:
    """Tells graphs apart whose tasks, without those that joined, stand elsewhere."""
    places = [(task, data["x"], data["y"]) for task, data in graph.nodes(data=True) if not is_own(data)]
    return f"{zlib.crc32(repr(places).encode()):08x}"


def bounds(graph: nx.Graph, hulls: Sequence[Hull]) -> tuple[np.ndarray, np.ndarray]:
    """The corners of tasks with their labels, outlines and names.

    A task that joined the graph does not make it larger unless it stands beyond all others: these stay.
    """
    boxes, corners = label_boxes([data["label"] for data in graph.nodes.values()]), []
    for data, box in zip(graph.nodes.values(), boxes, strict=True):
        reach = np.full(2, OWN_RADIUS) if is_own(data) else box / 2
        corners += [np.array([data["x"], data["y"]]) + sign * reach for sign in (-1, 1)]
    corners += hull_corners(hulls)
    if not corners:
        return np.zeros(2), np.ones(2)
    return (np.min(corners, axis=0) - ROOM).round(1), (np.max(corners, axis=0) + ROOM).round(1)


def hull_corners(hulls: Sequence[Hull]) -> list[np.ndarray]:
    """The corners of outlines and names, (2,) each."""
    corners = []
    for hull in hulls:
        corners += [part for outline in hull.outlines for part in (outline.min(0), outline.max(0))]
        if hull.label is not None:
            place, size = hull.label.box(hull.name)
            corners += [place - size / 2, place + size / 2]
    return corners
