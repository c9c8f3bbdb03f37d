"""What one method gains over another on few shots, target by target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from pituning.figures.palette import INK, INTERVAL, MUTED, colours, escape, in_order, modality_style
from pituning.graph.build import UNKNOWN_MODALITY
from pituning.graph.harm import points
from pituning.graph.info import NodeInfo

ROW = 23
"""Pixels for a target."""
ALL = "All targets"


def gains_figure(
    gains: Mapping[str, Sequence[float]],
    infos: Mapping[str, NodeInfo],
    *,
    mean: tuple[float, float, float],
    names: tuple[str, str],
    chosen: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """A row for a target, the largest mean gain on top: a faint mark for each seed, a strong one for their mean.

    Args:
        gains: in points, the seeds' of each target.
        infos: of the targets; one that is missing is called by its name and has no modality.
        mean: of all targets, with the ends of its 95 % interval.
        names: of the method and of the one it is compared with.
        chosen: the target whose name stands out.
        dark: whether the page is dark.

    Raises:
        ValueError: when a target has no gains.
    """
    means = {name: sum(values) / len(values) for name, values in gains.items() if len(values)}
    if not means or len(means) < len(gains):
        raise ValueError("every target needs at least one gain")
    order = sorted(means, key=lambda name: (means[name], name))  # Plotly draws from the bottom up
    rows = {name: number + 1 for number, name in enumerate(order)}
    modality = {name: infos[name].modality if name in infos else UNKNOWN_MODALITY for name in order}
    titles = {name: escape(infos[name].title if name in infos else name) for name in order}
    figure = go.Figure()
    seeds = max(len(values) for values in gains.values())
    for group in in_order(set(modality.values())):
        style = modality_style(group)
        colour = colours(dark)[style.colour]
        members = [name for name in order if modality[name] == group]
        if seeds > 1:
            figure.add_trace(
                go.Scatter(
                    x=[round(value, 2) for name in members for value in gains[name]],
                    y=[rows[name] for name in members for _ in gains[name]],
                    mode="markers",
                    showlegend=False,
                    hoverinfo="skip",
                    marker={"symbol": style.marker, "size": 6, "color": colour, "opacity": 0.4},
                )
            )
        figure.add_trace(
            go.Scatter(
                x=[round(means[name], 2) for name in members],
                y=[rows[name] for name in members],
                mode="markers",
                name=style.label,
                marker={"symbol": style.marker, "size": 11, "color": colour},
                customdata=[[titles[name], points(means[name]), _each(gains[name])] for name in members],
                hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}%{customdata[2]}<extra></extra>",
            )
        )
    value, low, high = mean
    figure.add_trace(
        go.Scatter(
            x=[round(value, 2)],
            y=[0],
            mode="markers",
            name="Mean with 95 % interval",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": INK[dark]}},
            error_x={
                "type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low],
                "thickness": 2, "width": 5, "color": INK[dark],
            },
            customdata=[[points(value), points(low), points(high)]],
            hovertemplate=f"<b>{ALL}</b><br>%{{customdata[0]}} (%{{customdata[1]}} to %{{customdata[2]}})",
        )
    )  # fmt: skip
    figure.add_vline(x=0, line={"width": 1.5, "color": MUTED})
    figure.add_hline(y=0.5, line={"width": 1, "color": INTERVAL if dark else MUTED, "dash": "dot"})
    figure.update_layout(
        height=100 + ROW * (len(order) + 1),
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        hovermode="closest",
        dragmode=False,
        xaxis={
            "title": {"text": f"{escape(names[0])} minus {escape(names[1])} (points)"},
            "automargin": True, "zeroline": False, "fixedrange": True,
        },
        yaxis={
            "tickvals": list(range(len(order) + 1)),
            "ticktext": [f"<b>{ALL}</b>", *(_label(titles[name], name == chosen) for name in order)],
            "range": [-0.7, len(order) + 0.6], "ticksuffix": "  ", "automargin": True, "zeroline": False,
            "fixedrange": True, "showgrid": False,
        },
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
    return figure


def _label(title: str, strong: bool) -> str:
    return f"<b>{title}</b>" if strong else title


def _each(gains: Sequence[float]) -> str:
    """The seeds' gains, where there are several."""
    if len(gains) == 1:
        return ""
    return "<br>By seed: " + ", ".join(f"{gain:+.1f}".replace("-", "−") for gain in gains)
