"""The figure of cross-validation: how each learning rate did on held-out shots, fold by fold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from pituning.figures.palette import colours
from pituning.figures.results import DASHES, Y_TITLES


def search_curves(
    losses: Mapping[tuple[float, int], Mapping[int, float]], *, chosen: float | None = None, dark: bool = False
) -> go.Figure:
    """The held-out loss by step, a line for each rate and fold: colours are rates, dashes are folds.

    Args:
        losses: by rate and fold, counted from 1, the loss at each step.
        chosen: the rate that was chosen, whose lines are thick.
        dark: whether the page is dark.
    """
    rates = sorted({rate for rate, _ in losses})
    figure = go.Figure()
    for rate, fold in sorted(losses):
        steps = sorted(losses[rate, fold])
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=[value if np.isfinite(value) else None for value in (losses[rate, fold][step] for step in steps)],
                name=f"rate {rate:g}, fold {fold}",
                mode="lines+markers",
                marker={"size": 5},
                line={
                    "color": colours(dark)[rates.index(rate) % len(colours(dark))],
                    "dash": DASHES[(fold - 1) % len(DASHES)],
                    "width": 3.5 if rate == chosen else 1.6,
                },
                hovertemplate="step %{x}: %{y:.4g}",
            )
        )
    figure.update_layout(
        height=340,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Training step"}, "rangemode": "tozero", "automargin": True},
        yaxis={"title": {"text": Y_TITLES["held_out_loss"]}, "automargin": True},
    )
    return figure
