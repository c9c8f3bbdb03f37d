"""Values of every pair of tasks as coloured cells that can be clicked; `similarity` and `transfer` fill it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pituning.figures.palette import INK, colour_scale, colours, escape, in_order, modality_style
from pituning.graph.build import shorten
from pituning.graph.info import NodeInfo

MOST_CLICKABLE = 80
"""Tasks whose cells can be clicked: each takes an invisible marker. More are for looking at."""

CELL = 24
"""Height of a row in pixels, where there are few."""

HEIGHTS = (330, 980)
LETTER = 6.6
"""Mean advance of an axis label's letter in pixels, on the wide side."""

Pairs = Callable[[int, int], str]


def cells_figure(
    values: np.ndarray,
    infos: Sequence[NodeInfo],
    *,
    limits: tuple[float, float],
    stops: tuple[str, ...],
    unit: str,
    tooltip: Pairs,
    chosen: tuple[str | None, str | None],
    axes: tuple[str, str] = ("", ""),
    dark: bool,
) -> go.Figure:
    """The matrix; names carry the sign of their modality. Points of the trace ``cells`` have row and column as
    ``customdata``.

    Args:
        values: (N, N) in the order in which they are shown; NaN where there is nothing to say, which is left blank.
        infos: the tasks in that order.
        limits: the values at the ends of the colours.
        stops: the colours, from the lowest value to the highest.
        unit: what the values are, beside the colours.
        tooltip: what is told of row i and column j.
        chosen: tasks whose names are bold.
        axes: titles of columns and rows.
        dark: whether the page is dark.
    """
    n = len(infos)
    clickable = n <= MOST_CLICKABLE
    figure = go.Figure(
        go.Heatmap(
            z=[[None if np.isnan(value) else round(float(value), 4) for value in row] for row in values],
            zmin=limits[0],
            zmax=limits[1],
            colorscale=colour_scale(stops),
            xgap=1,
            ygap=1,
            hoverinfo="skip" if clickable else "z",
            hoverongaps=False,
            colorbar={
                "title": {"text": unit, "side": "right"},
                "thickness": 10,
                "outlinewidth": 0,
                "lenmode": "fraction",
                "len": 0.9,
            },
        )
    )
    if clickable:
        figure.add_trace(_markers(values, infos, tooltip))
    for modality in in_order({info.modality for info in infos}):
        style = modality_style(modality)
        marker = {"symbol": style.marker, "size": 10, "color": colours(dark)[style.colour]}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=style.label))
    longest = max((len(shorten(info.title or info.name)) for info in infos), default=0)
    bottom = round(LETTER * (longest + 3)) + (26 if axes[0] else 4)  # Plotly's own margin cuts turned labels off
    axis: dict[str, Any] = {
        "tickvals": list(range(n)),
        "ticktext": [_label(info, info.name in chosen, dark) for info in infos],
        "ticksuffix": " ",
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "range": [-0.5, n - 0.5],
        "fixedrange": clickable,
    }
    figure.update_layout(
        height=min(max(40 + bottom + CELL * n, HEIGHTS[0]), HEIGHTS[1]),
        margin={"l": 4, "r": 4, "t": 34, "b": bottom},
        hovermode="closest",
        dragmode=False if clickable else "zoom",
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.0,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        # A sign that is turned halfway would be another one: a square a diamond.
        xaxis={**axis, "tickangle": -90, "title": {"text": axes[0]}, "automargin": False},
        yaxis={**axis, "range": [n - 0.5, -0.5], "title": {"text": axes[1]}, "automargin": True},
    )
    return figure


def _markers(values: np.ndarray, infos: Sequence[NodeInfo], tooltip: Pairs) -> go.Scatter:
    """An invisible marker in each cell that is not blank: heat maps themselves cannot be clicked."""
    pairs = [(int(i), int(j)) for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True)]
    return go.Scatter(
        name="cells",
        x=[j for _, j in pairs],
        y=[i for i, _ in pairs],
        mode="markers",
        marker={"symbol": "square", "size": 16, "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        showlegend=False,
        customdata=[[infos[i].name, infos[j].name] for i, j in pairs],
        text=[tooltip(i, j) for i, j in pairs],
        hovertemplate="%{text}<extra></extra>",
    )


def _label(info: NodeInfo, strong: bool, dark: bool) -> str:
    """A task's title with the sign of its modality."""
    style = modality_style(info.modality)
    name = escape(shorten(info.title or info.name))
    sign = f'<span style="color:{colours(dark)[style.colour]}">{style.glyph}</span>'
    return f"{f'<b>{name}</b>' if strong else name} {sign}"


def frame(
    figure: go.Figure, columns: tuple[int, int], rows: tuple[int, int], dark: bool, *, dash: str = "solid"
) -> None:
    """A frame around cells that stands out from light and from dark ones."""
    for colour, width, style in ((INK[not dark], 5, "solid"), (INK[dark], 2, dash)):
        figure.add_shape(
            type="rect",
            x0=columns[0] - 0.5,
            x1=columns[1] + 0.5,
            y0=rows[0] - 0.5,
            y1=rows[1] + 0.5,
            line={"color": colour, "width": width, "dash": style},
        )
