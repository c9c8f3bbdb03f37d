"""Measured effects as arrows over a task graph that Plotly draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import networkx as nx
import plotly.graph_objects as go

from pituning.figures.palette import INK, diverging
from pituning.graph.ego import Arrow
from pituning.graph.harm import signed

WIDTHS = (2.0, 6.0)
UNCERTAIN = 0.45
"""Opacity of an arrow whose interval holds 0."""

ASIDE = 9.0
"""Of an arrow from the line between two tasks that have one each way, in pixels of the layout."""

ROOM = 150.0
"""Of the length of an arrow with its gain beside it, likewise; a shorter one would hide names."""

NEAR_DONOR = 0.6
"""Of an arrow's way, how far its gain stands from the target, where several end."""


def add_arrows(figure: go.Figure, graph: nx.Graph, arrows: Sequence[Arrow], dark: bool) -> None:
    """Draws them from donors to targets: blue helps, orange harms; the thicker the more, pale where it may be chance.

    Args:
        figure: of `pituning.figures.graph_plot.graph_figure`.
        graph: its nodes have ``x`` and ``y``.
        dark: whether the page is dark.
    """
    most = max((abs(arrow.gain) for arrow in arrows), default=0.0) or 1.0
    for arrow in arrows:
        (x1, y1), (x2, y2) = _ends(graph, arrow, arrows)
        figure.add_annotation(
            x=x2, y=y2, ax=x1, ay=y1, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True, arrowhead=2,
            arrowsize=0.9, standoff=15, startstandoff=13, opacity=1 if arrow.certain else UNCERTAIN,
            arrowwidth=WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * abs(arrow.gain) / most,
            arrowcolor=_colour(arrow.gain, dark),
        )  # fmt: skip
        if math.hypot(x2 - x1, y2 - y1) >= ROOM:
            figure.add_annotation(
                x=NEAR_DONOR * x1 + (1 - NEAR_DONOR) * x2, y=NEAR_DONOR * y1 + (1 - NEAR_DONOR) * y2, xref="x",
                yref="y", showarrow=False, text=f"<b>{signed(arrow.gain)}</b>", font={"size": 13, "color": INK[dark]},
                bgcolor=INK[not dark], opacity=0.9, borderpad=1,
            )  # fmt: skip
    for gain, name in ((1.0, "Helps"), (-1.0, "Harms")):
        if any(arrow.gain * gain > 0 for arrow in arrows):
            line = {"width": 4, "color": _colour(gain, dark)}
            figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name, legendrank=3000)


def _colour(gain: float, dark: bool) -> str:
    return diverging(dark)[-3 if gain >= 0 else 2]


def _ends(graph: nx.Graph, arrow: Arrow, arrows: Sequence[Arrow]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow begins and ends; of two between the same tasks, each keeps to its side."""
    start, end = graph.nodes[arrow.donor], graph.nodes[arrow.target]
    both = any(one.donor == arrow.target and one.target == arrow.donor for one in arrows)
    along = math.hypot(end["x"] - start["x"], end["y"] - start["y"]) or 1.0
    aside = ASIDE / along if both else 0.0
    x, y = aside * (start["y"] - end["y"]), aside * (end["x"] - start["x"])
    return (start["x"] + x, start["y"] + y), (end["x"] + x, end["y"] + y)
