"""The figure of the interpolation weights over training: which experts count more than an equal share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from pituning.errors import BadInput
from pituning.figures.palette import PAD, colour_at, colour_scale, diverging, escape, ink_on

LEAST = 5.0
"""Points of percent at which the scale of colours ends at the least, so that a drift of one looks like little."""


def weight_ribbon(
    steps: Sequence[int], experts: Sequence[str], weights: Sequence[Sequence[float]], *, dark: bool = False
) -> go.Figure:
    """A ribbon for each expert over the steps, coloured by its weight minus an equal share.

    Args:
        steps: the T steps at which weights were told, rising.
        experts: names of the K experts.
        weights: (T, K), means of softmax(α) over sites; each row sums to 1.
        dark: whether the page is dark.

    Raises:
        BadInput: when the weights do not fit steps and names, or there are none.
    """
    values = 100 * np.asarray(weights, dtype=float)
    if not len(steps) or values.shape != (len(steps), len(experts)):
        raise BadInput(f"weights have shape {values.shape} for {len(steps)} steps and {len(experts)} experts")
    if len(steps) == 1:  # a ribbon needs an end
        steps, values = [steps[0], steps[0] + 1], values.repeat(2, axis=0)
    equal = 100 / len(experts)
    difference = values - equal
    most = max(LEAST, float(np.abs(difference).max()))
    stops = diverging(dark)
    figure = go.Figure(
        go.Heatmap(
            x=[int(step) for step in steps],
            y=list(range(len(experts))),  # positions, not names, so that two experts may be called the same
            z=np.round(difference.T, 4).tolist(),
            zmin=-most,
            zmax=most,
            colorscale=colour_scale(stops),
            ygap=6,
            customdata=[
                [[escape(name), round(float(row[at]), 2)] for row in values] for at, name in enumerate(experts)
            ],
            hovertemplate=f"step %{{x}}: %{{customdata[0]}} %{{customdata[1]:.1f}} % (equal share {equal:.1f} %)"
            "<extra></extra>",
            colorbar={"title": {"text": "Above an equal share (points)", "side": "right"}, "thickness": 12},
        )
    )
    figure.update_layout(
        annotations=[
            {"x": 1, "xref": "paper", "xanchor": "right", "y": row, "showarrow": False,
             "text": f"<b>{share:.0f} %</b>{PAD}",
             "font": {"size": 13, "color": ink_on(colour_at(stops, (share - equal + most) / (2 * most)))}}
            for row, share in enumerate(values[-1])
        ],
        height=110 + 42 * len(experts),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"title": {"text": "Training step"}, "automargin": True, "showgrid": False, "zeroline": False},
        yaxis={
            "tickvals": list(range(len(experts))),
            "ticktext": [escape(name) for name in experts],
            "automargin": True,
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
            "ticksuffix": "  ",
        },
    )  # fmt: skip
    return figure


def ribbon_words(experts: Sequence[str], last: Sequence[float]) -> str:
    """What the weights say, in a sentence.

    Args:
        experts: names of the K experts.
        last: (K,) mean weights over sites, summing to 1.
    """
    equal = 1 / len(experts)
    most = max(range(len(experts)), key=lambda place: last[place])
    away = 100 * (last[most] - equal)
    if len(experts) == 1:
        return f"Only {experts[0]} takes part."
    if away < LEAST:
        return (
            f"All {len(experts)} have about the same weight, {100 * equal:.0f} % each: what was learned is in the "
            "experts, not in their weights."
        )
    share = f"{100 * last[most]:.0f} %, where an equal share is {100 * equal:.0f} %"
    return f"{experts[most]} has the largest weight: {share}."
