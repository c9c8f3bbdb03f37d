"""How far probabilities and shares of right answers agree."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from pituning.figures.palette import HIGHLIGHT, MUTED

SIZES = 10, 34
"""Pixels of the smallest and the largest mark."""


def reliability_figure(curves: Sequence[tuple[str, Sequence[tuple[int, float, float]]]]) -> go.Figure:
    """Curves over bins, the last one highlighted; the diagonal is where a probability is what it says.

    Args:
        curves: a name and, for each bin, rows, mean probability and share of right answers (0 to 1).
    """
    figure = go.Figure(
        go.Scatter(
            x=[0, 100], y=[0, 100], mode="lines", name="As sure as right", hoverinfo="skip",
            line={"color": MUTED, "width": 1.5, "dash": "dot"},
        )
    )  # fmt: skip
    for number, (name, bins) in enumerate(curves):
        last = number == len(curves) - 1
        most = max((count for count, _, _ in bins), default=1)
        sizes = [SIZES[0] + (SIZES[1] - SIZES[0]) * (count / most) ** 0.5 for count, _, _ in bins]
        figure.add_trace(
            go.Scatter(
                x=[round(100 * sure, 1) for _, sure, _ in bins],
                y=[round(100 * right, 1) for _, _, right in bins],
                mode="lines+markers",
                cliponaxis=False,
                name=name,
                customdata=[count for count, _, _ in bins],
                marker={"size": sizes, "opacity": 0.75, "color": HIGHLIGHT if last else MUTED},
                line={"color": HIGHLIGHT if last else MUTED, "width": 2},
                hovertemplate=f"<b>{name}</b><br>%{{customdata}} rows, on average %{{x}} % sure<br>%{{y}} % are right"
                "<extra></extra>",
            )
        )
    axis = {"range": [-4, 106], "ticksuffix": " %", "fixedrange": True, "zeroline": False, "automargin": True}
    figure.update_layout(
        height=300, margin={"l": 4, "r": 8, "t": 34, "b": 4}, dragmode=False, hovermode="closest",
        xaxis={**axis, "title": {"text": "Mean probability of the answers"}},
        yaxis={**axis, "title": {"text": "Share that is right"}},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
    return figure
