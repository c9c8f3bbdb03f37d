"""Figures of similarities: the matrix of all tasks, the neighbours of one task, the layers of one pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from pituning.errors import BadInput
from pituning.figures.palette import (
    HIGHLIGHT,
    INK,
    INTERVAL,
    LIGHT,
    PAD,
    colour_scale,
    colours,
    diverging,
    escape,
    in_order,
    modality_style,
    sequential,
)
from pituning.graph.build import NodeInfo, shorten
from pituning.graph.matrix import Scale, on_scale
from pituning.graph.predict import Neighbor
from pituning.graph.similarity import rank

MOST_CLICKABLE = 80
"""Tasks whose cells can be clicked: each takes an invisible marker. More are for looking at."""

CELL = 24
"""Height of a row in pixels, where there are few."""

HEIGHTS = (330, 980)
SCALE_TITLES = {"raw": "Similarity", "rank": "Rank in its row", "row": "SD from its row’s mean"}


def similarity_heatmap(
    similarity: np.ndarray,
    infos: Sequence[NodeInfo],
    *,
    scale: Scale = "raw",
    chosen: tuple[str | None, str | None] = (None, None),
    dark: bool = False,
) -> go.Figure:
    """S (N, N) as coloured cells; the diagonal, of which there is nothing to say, is left blank.

    Similarities of both signs are coloured around 0, others from the least to the most similar pair. Names carry the
    sign of their modality. Cells of up to `MOST_CLICKABLE` tasks can be chosen: the points of the trace ``cells`` have
    the names of row and column as ``customdata``.

    Args:
        similarity: in the order in which it is shown.
        infos: the tasks in that order.
        scale: see `pituning.graph.matrix.on_scale`.
        chosen: the row's task and the column's: both outline their cell, the first alone its row.
        dark: whether the page is dark.
    """
    n = len(infos)
    if similarity.shape != (n, n):
        raise BadInput(f"S has shape {similarity.shape} for {n} tasks; give one row and column per task")
    shown = on_scale(similarity, scale)
    values = shown[~np.isnan(shown)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    both_signs = low < 0 < high
    reach = max(-low, high)
    stops = diverging(dark) if both_signs else sequential(dark)
    labels = [axis_label(info, info.name in chosen, dark) for info in infos]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if np.isnan(value) else round(float(value), 4) for value in row] for row in shown],
            zmin=-reach if both_signs else low,
            zmax=reach if both_signs else high,
            colorscale=colour_scale(stops[::-1] if scale == "rank" else stops),
            xgap=1,
            ygap=1,
            hoverinfo="skip" if n <= MOST_CLICKABLE else "z",
            hoverongaps=False,
            colorbar={
                "title": {"text": SCALE_TITLES[scale], "side": "right"},
                "thickness": 10,
                "outlinewidth": 0,
                "lenmode": "fraction",
                "len": 0.9,
            },
        )
    )
    if n <= MOST_CLICKABLE:
        figure.add_trace(_cells(similarity, infos))
    for modality in in_order({info.modality for info in infos}):
        style = modality_style(modality)
        marker = {"symbol": style.marker, "size": 10, "color": colours(dark)[style.colour]}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=style.label))
    _outline(figure, [info.name for info in infos], chosen, dark)
    axis = {
        "tickvals": list(range(n)),
        "ticktext": labels,
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "range": [-0.5, n - 0.5],
        "fixedrange": n <= MOST_CLICKABLE,
    }
    figure.update_layout(
        height=min(max(170 + CELL * n, HEIGHTS[0]), HEIGHTS[1]),
        margin={"l": 4, "r": 4, "t": 34, "b": 4},
        hovermode="closest",
        dragmode=False if n <= MOST_CLICKABLE else "zoom",
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.0,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        xaxis={**axis, "tickangle": -90, "ticksuffix": " "},  # a square that is turned halfway is a diamond
        yaxis={**axis, "range": [n - 0.5, -0.5], "ticksuffix": " "},
    )
    return figure


def axis_label(info: NodeInfo, strong: bool, dark: bool) -> str:
    """A task's title with the sign of its modality."""
    style = modality_style(info.modality)
    name = escape(shorten(info.title or info.name))
    sign = f'<span style="color:{colours(dark)[style.colour]}">{style.glyph}</span>'
    return f"{f'<b>{name}</b>' if strong else name} {sign}"


def _cells(similarity: np.ndarray, infos: Sequence[NodeInfo]) -> go.Scatter:
    """An invisible marker in each cell but those of the diagonal: heat maps themselves cannot be clicked."""
    n = len(infos)
    ranks = rank(similarity)
    titles = [escape(info.title or info.name) for info in infos]
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
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
        text=[
            f"<b>{titles[i]} – {titles[j]}</b><br>Similarity {similarity[i, j]:.3f}<br>"
            f"Seen from {titles[i]}: rank {ranks[i, j]} of {n - 1}<br>"
            f"Seen from {titles[j]}: rank {ranks[j, i]} of {n - 1}"
            for i, j in pairs
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def _outline(figure: go.Figure, names: list[str], chosen: tuple[str | None, str | None], dark: bool) -> None:
    first, second = chosen
    if first not in names:
        return
    row = names.index(first)
    if second in names and second != first:
        column = names.index(second)
        frame(figure, (column, column), (row, row), dark)
        frame(figure, (row, row), (column, column), dark, dash="dot")
    else:
        frame(figure, (0, len(names) - 1), (row, row), dark)


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


def layer_bars(similarity: Mapping[str, float], usual: Mapping[str, float], *, dark: bool = False) -> go.Figure:
    """How alike two tasks are in each layer, first layer on top, beside the zoo's mean pair as a mark.

    Args:
        similarity: S of the pair by layer (``encoder.0`` … ``decoder.2``), in the order of the network.
        usual: S of the zoo's mean pair by layer.
        dark: whether the page is dark.
    """
    names = list(similarity)[::-1]
    labels = [_layer_label(name) for name in names]
    figure = go.Figure(
        [
            go.Bar(
                x=[similarity[name] for name in names],
                y=labels,
                orientation="h",
                name="This pair",
                marker={"color": HIGHLIGHT},
                hovertemplate="%{y}: %{x:.3f}<extra>This pair</extra>",
            ),
            go.Scatter(
                x=[usual[name] for name in names],
                y=labels,
                mode="markers",
                name="Mean of all pairs",
                marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": INK[dark]}},
                hovertemplate="%{y}: %{x:.3f}<extra>Mean of all pairs</extra>",
            ),
        ]
    )
    figure.update_layout(
        height=110 + 32 * len(names),
        bargap=0.4,
        margin={"l": 4, "r": 8, "t": 30, "b": 4},
        xaxis={"title": {"text": "Similarity in the layer"}, "automargin": True, "zeroline": True},
        yaxis={"automargin": True, "showgrid": False, "ticksuffix": "  "},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )
    return figure


def _layer_label(name: str) -> str:
    part, _, number = name.partition(".")
    return f"{part.capitalize()} {int(number) + 1}" if number.isdigit() else part.capitalize()


def neighbor_bars(
    neighbors: Sequence[Neighbor],
    *,
    titles: Mapping[str, str] | None = None,
    modalities: Mapping[str, str] | None = None,
) -> go.Figure:
    """The most similar tasks as bars, best on top, with bootstrap intervals and confidence.

    Args:
        neighbors: from `pituning.graph.predict`.
        titles: what people read for a task.
        modalities: colours the bars by the tasks' modality.
    """
    shown = list(reversed(neighbors))
    titles = titles or {}
    labels = [escape(titles.get(item.task, item.task)) for item in shown]
    values = [item.similarity for item in shown]
    lows = [item.similarity if item.low is None else min(item.low, item.similarity) for item in shown]
    highs = [item.similarity if item.high is None else max(item.high, item.similarity) for item in shown]
    notes = [
        "" if item.confidence is None else f", in the top {len(shown)} {item.confidence:.0%} of the time"
        for item in shown
    ]
    figure = go.Figure(
        [
            go.Bar(
                x=values,
                y=list(range(len(shown))),
                orientation="h",
                marker={
                    "color": [
                        LIGHT[modality_style(modalities[item.task]).colour] if modalities else HIGHLIGHT
                        for item in shown
                    ]
                },
                error_x={
                    "type": "data",
                    "array": [high - value for high, value in zip(highs, values, strict=True)],
                    "arrayminus": [value - low for low, value in zip(lows, values, strict=True)],
                    "symmetric": False,
                    "color": INTERVAL,
                    "thickness": 2,
                    "width": 5,
                    "visible": any(item.low is not None for item in shown),
                },
                customdata=[[label, note] for label, note in zip(labels, notes, strict=True)],
                hovertemplate="%{customdata[0]}: %{x:.3f}%{customdata[1]}<extra></extra>",
            ),
            go.Scatter(
                x=[max(high, 0.0) for high in highs],
                y=list(range(len(shown))),
                mode="text",
                text=["" if item.confidence is None else f"{PAD}{item.confidence:.0%} sure" for item in shown],
                textposition="middle right",
                cliponaxis=False,
                hoverinfo="skip",
            ),
        ]
    )
    figure.update_layout(
        showlegend=False,
        bargap=0.35,
        height=90 + 34 * max(len(shown), 1),
        margin={"l": 8, "r": 80, "t": 8, "b": 8},
        xaxis={"title": {"text": "Similarity (bars: 95 % bootstrap interval)"}, "automargin": True},
        yaxis={
            "tickvals": list(range(len(shown))),
            "ticktext": labels,
            "ticksuffix": "  ",
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
    )
    return figure
