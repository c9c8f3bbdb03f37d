"""Figures of similarities: the clustered matrix and the neighbours of one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from pituning.errors import BadInput
from pituning.figures.palette import (
    DIVERGING,
    HIGHLIGHT,
    INTERVAL,
    LIGHT,
    PAD,
    SEQUENTIAL,
    colour_scale,
    escape,
    modality_style,
)
from pituning.graph.predict import Neighbor


def similarity_heatmap(similarity: np.ndarray, names: Sequence[str]) -> go.Figure:
    """S (N, N) with rows and columns ordered so that similar tasks stand together.

    The diagonal, always 1, is left blank so that it does not stretch the colours. Similarities of both signs are
    coloured around 0, others from the least to the most similar pair.
    """
    n = len(names)
    if similarity.shape != (n, n):
        raise BadInput(f"S has shape {similarity.shape} for {n} tasks; give one row and column per task")
    order = cluster_order(similarity)
    pairs = similarity[~np.eye(n, dtype=bool)]
    low, high = (float(pairs.min()), float(pairs.max())) if pairs.size else (0.0, 1.0)
    both_signs = low < 0 < high
    reach = max(-low, high)
    labels = [escape(names[i]) for i in order]
    figure = go.Figure(
        go.Heatmap(
            x=labels,
            y=labels,
            z=[[None if i == j else float(similarity[i, j]) for j in order] for i in order],
            zmin=-reach if both_signs else low,
            zmax=reach if both_signs else high,
            colorscale=colour_scale(DIVERGING if both_signs else SEQUENTIAL),
            xgap=1,
            ygap=1,
            hoverongaps=False,
            hovertemplate="%{y} – %{x}: %{z:.3f}<extra></extra>",
            colorbar={"title": {"text": "Similarity", "side": "right"}, "thickness": 12},
        )
    )
    axis = {"type": "category", "automargin": True, "showgrid": False, "zeroline": False, "dtick": 1}
    figure.update_layout(
        height=200 + 20 * n,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={**axis, "tickangle": -45, "title": {"text": "Task"}},
        yaxis={**axis, "autorange": "reversed", "title": {"text": "Task"}},
    )
    return figure


def cluster_order(similarity: np.ndarray) -> list[int]:
    """Puts similar tasks side by side: average linkage with the optimal order of leaves (Bar-Joseph et al., 2001)."""
    n = len(similarity)
    if n < 3:
        return list(range(n))
    distance = np.clip(1 - (similarity + similarity.T) / 2, 0, None)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    return [int(i) for i in leaves_list(tree)]


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
