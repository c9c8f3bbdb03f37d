"""Figures of similarities: the matrix of all tasks, the neighbours of one task, the layers of one pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from pituning.errors import BadInput
from pituning.figures.cells import cells_figure, frame
from pituning.figures.palette import (
    HIGHLIGHT,
    INK,
    INTERVAL,
    LIGHT,
    PAD,
    diverging,
    escape,
    modality_style,
    sequential,
)
from pituning.graph.info import NodeInfo
from pituning.graph.matrix import Scale, on_scale
from pituning.graph.predict import Neighbor
from pituning.graph.similarity import rank

_ATTENTION = {"self_attn": "Self-attention", "encoder_attn": "Cross-attention"}
_PROJECTIONS = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
MODULES = {
    **{f"{a}.{p}": f"{attention}, {what}" for a, attention in _ATTENTION.items() for p, what in _PROJECTIONS.items()},
    "fc1": "Feed-forward, first",
    "fc2": "Feed-forward, second",
    "key": "Prefix, key",
    "value": "Prefix, value",
}
"""What people read for a module."""

SCALE_TITLES = {"raw": "Similarity", "rank": "Rank in its row", "row": "SD from its row’s mean"}


def similarity_heatmap(
    similarity: np.ndarray,
    infos: Sequence[NodeInfo],
    *,
    scale: Scale = "raw",
    chosen: tuple[str | None, str | None] = (None, None),
    letters: int | None = None,
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
        letters: the most of a column's name, as of `cells_figure`.
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
    ranks = rank(similarity)
    titles = [escape(info.title or info.name) for info in infos]
    figure = cells_figure(
        shown,
        infos,
        limits=(-reach, reach) if both_signs else (low, high),
        stops=stops[::-1] if scale == "rank" else stops,
        unit=SCALE_TITLES[scale],
        tooltip=lambda i, j: (
            f"<b>{titles[i]} – {titles[j]}</b><br>Similarity {similarity[i, j]:.3f}<br>"
            f"Rank for {titles[i]}: {ranks[i, j]} of {n - 1}<br>"
            f"Rank for {titles[j]}: {ranks[j, i]} of {n - 1}"
        ),
        chosen=chosen,
        letters=letters,
        dark=dark,
    )
    _outline(figure, [info.name for info in infos], chosen, dark)
    return figure


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


def part_bars(
    similarity: Mapping[str, float],
    usual: Mapping[str, float],
    *,
    unit: str = "Similarity in the layer",
    dark: bool = False,
) -> go.Figure:
    """How alike two tasks are in each part of the network, the first on top, beside the zoo's mean pair as a mark.

    Args:
        similarity: S of the pair by layer (``encoder.0`` … ``decoder.2``) or module (``self_attn.q_proj`` …), in the
            order of the network.
        usual: S of the zoo's mean pair, likewise.
        unit: the title of the axis.
        dark: whether the page is dark.
    """
    names = list(similarity)[::-1]
    labels = [part_label(name) for name in names]
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
        xaxis={"title": {"text": unit}, "automargin": True, "zeroline": True},
        yaxis={"automargin": True, "showgrid": False, "ticksuffix": "  "},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )
    return figure


def part_label(name: str) -> str:
    """What people read for a layer or a module."""
    if name in MODULES:
        return MODULES[name]
    return layer_words(name).replace("_", " ").capitalize()


def layer_words(name: str, between: str = " ") -> str:
    """The stack of a layer and its number, counted from 1: ``encoder.0`` is encoder 1.

    Args:
        between: what stands between the two.
    """
    stack, *numbers = name.split(".")
    counted = ".".join(str(int(number) + 1) for number in numbers if number.isdigit())
    return f"{stack}{between}{counted}" if counted else stack


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
        "" if item.confidence is None else f", in the top {len(shown)} {item.confidence:.0%} of resamplings"
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
                text=[
                    "" if item.confidence is None else f"{PAD}stable rank {100 * item.confidence:.0f} %"
                    for item in shown
                ],
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
        margin={"l": 8, "r": 130, "t": 8, "b": 8},
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
