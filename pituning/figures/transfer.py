"""Figures of measured transfer: what every donor does for every target, and whether a similarity predicted it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from pituning.errors import BadInput
from pituning.figures.cells import cells_figure, frame
from pituning.figures.labels import place_labels
from pituning.figures.palette import (
    HIGHLIGHT,
    INK,
    MUTED,
    colours,
    diverging,
    escape,
    modality_style,
)
from pituning.graph.harm import points
from pituning.graph.info import NodeInfo

CANVAS = (500.0, 300.0)
"""The inside of the scatter plot in pixels, about; names are placed for it."""

CLIP = 98
"""Percentile of the sizes of gains at which the colours end: a few huge ones would leave the rest without any."""


def transfer_heatmap(
    gains: np.ndarray,
    infos: Sequence[NodeInfo],
    *,
    chosen: tuple[str | None, str | None] = (None, None),
    dark: bool = False,
) -> go.Figure:
    """Gains (N, N) in points, targets as rows and donors as columns: blue helps, orange harms.

    Cells can be chosen: the points of the trace ``cells`` have target and donor as ``customdata``.

    Args:
        gains: NaN where nothing was measured, and on the diagonal.
        infos: the tasks in the order of rows and columns.
        chosen: target and donor: both outline their cell, the first alone its row.
        dark: whether the page is dark.
    """
    n = len(infos)
    if gains.shape != (n, n):
        raise BadInput(f"gains have shape {gains.shape} for {n} tasks; give one row and column per task")
    sizes = np.abs(gains[np.isfinite(gains)])
    reach = max(1.0, float(np.percentile(sizes, CLIP))) if sizes.size else 1.0
    titles = [escape(info.title or info.name) for info in infos]
    figure = cells_figure(
        gains,
        infos,
        limits=(-reach, reach),
        stops=diverging(dark),
        unit="Gain in points",
        tooltip=lambda i, j: f"<b>{titles[j]} → {titles[i]}</b><br>{points(gains[i, j])} with this donor",
        chosen=chosen,
        axes=("Donor", "Target"),
        dark=dark,
    )
    names = [info.name for info in infos]
    target, donor = chosen
    if target in names:
        row = names.index(target)
        columns = (names.index(donor),) * 2 if donor in names and donor != target else (0, n - 1)
        frame(figure, columns, (row, row), dark)
    return figure


def predicted_against_measured(
    predicted: np.ndarray,
    gains: np.ndarray,
    infos: Sequence[NodeInfo],
    *,
    target: str | None = None,
    dark: bool = False,
) -> go.Figure:
    """Similarity (N, N) against gain in points (N, N), a point a pair; those of one target stand out and have names.

    The points have target and donor as ``customdata``.
    """
    names = [info.name for info in infos]
    titles = [escape(info.title or info.name) for info in infos]
    pairs = [(a, b) for a in range(len(names)) for b in range(len(names)) if a != b and np.isfinite(gains[a, b])]
    figure = go.Figure()
    palette = colours(dark)
    for label, across, colour, symbol in (
        ("Within a modality", False, palette[0], "circle"),
        ("Across modalities", True, palette[3], "diamond"),
    ):
        shown = [(a, b) for a, b in pairs if (infos[a].modality != infos[b].modality) == across]
        if not shown:
            continue
        faint = target in names
        figure.add_trace(
            go.Scatter(
                x=[float(predicted[a, b]) for a, b in shown],
                y=[round(float(gains[a, b]), 2) for a, b in shown],
                mode="markers",
                name=label,
                marker={
                    "symbol": symbol,
                    "size": 8,
                    "color": MUTED if faint else colour,
                    "opacity": 0.35 if faint else 0.75,
                    "line": {"width": 0},
                },
                customdata=[[names[a], names[b]] for a, b in shown],
                text=[_pair(titles, predicted, gains, a, b) for a, b in shown],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    if target in names:
        a = names.index(target)
        donors = [b for b in range(len(names)) if b != a and np.isfinite(gains[a, b])]
        best = sorted(donors, key=lambda b: -gains[a, b])[:3]
        places = _places(pairs, predicted, gains, a, best, titles)
        figure.add_trace(
            go.Scatter(
                x=[float(predicted[a, b]) for b in donors],
                y=[round(float(gains[a, b]), 2) for b in donors],
                mode="markers+text",
                name=f"For {titles[a]}",
                marker={
                    "symbol": [modality_style(infos[b].modality).marker for b in donors],
                    "size": 11,
                    "color": HIGHLIGHT,
                    "line": {"width": 1.5, "color": INK[not dark]},
                },
                text=[titles[b] if b in best else "" for b in donors],
                textposition=[places.get(b, "top center") for b in donors],
                customdata=[[names[a], names[b]] for b in donors],
                hovertext=[_pair(titles, predicted, gains, a, b) for b in donors],
                hovertemplate="%{hovertext}<extra></extra>",
                cliponaxis=False,
            )
        )
    figure.add_hline(y=0, line={"width": 1, "color": MUTED, "dash": "dot"})
    figure.update_layout(
        height=420,
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        hovermode="closest",
        dragmode=False,
        xaxis={"title": {"text": "Predicted: similarity"}, "automargin": True, "zeroline": False, "fixedrange": True},
        yaxis={"title": {"text": "Measured: gain in points"}, "automargin": True, "fixedrange": True},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )
    return figure


def _places(
    pairs: Sequence[tuple[int, int]],
    predicted: np.ndarray,
    gains: np.ndarray,
    target: int,
    donors: Sequence[int],
    titles: Sequence[str],
) -> dict[int, str]:
    """Where the names of some donors of a target stand beside their points."""
    everything = np.array([(predicted[pair], -gains[pair]) for pair in pairs])
    low, spread = everything.min(0), np.ptp(everything, axis=0)
    points = np.array([(predicted[target, b], -gains[target, b]) for b in donors])
    pixels = (points - low) / np.where(spread > 0, spread, 1) * CANVAS
    return dict(zip(donors, place_labels(pixels, [titles[b] for b in donors], CANVAS), strict=True))


def _pair(titles: Sequence[str], predicted: np.ndarray, gains: np.ndarray, target: int, donor: int) -> str:
    return (
        f"<b>{titles[donor]} → {titles[target]}</b><br>Similarity {predicted[target, donor]:.3f}<br>"
        f"{points(gains[target, donor])}"
    )
