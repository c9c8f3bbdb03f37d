"""Figures of a run: scores of the methods, training curves, interpolation weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pituning.errors import BadInput
from pituning.figures.palette import (
    GUESS_LABELS,
    INTERVAL,
    METHOD_LABELS,
    MUTED,
    PAD,
    SEQUENTIAL,
    colour_at,
    colour_scale,
    escape,
    ink_on,
    method_label,
    method_style,
)

Y_TITLES = {
    "loss": "Loss per answer",
    "held_out_loss": "1 − probability of the right answer",
    "score": "Score (points, 0 to 100)",
    "validation_score": "Score (points, 0 to 100)",
    "examples_per_second": "Examples per second",
    "memory_mib": "MiB",
}
"""Loss: −log p of the answer, in nats, over the square root of its tokens."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
AWAITED = "…"
"""What stands in the place of a score that is still to come."""
MAX_CELLS_WITH_TEXT = 400
_PI = {"pi", METHOD_LABELS["pi"]}


def score_bars(result: Mapping[str, Any], *, metric: str = "Test score", awaited: Sequence[str] = ()) -> go.Figure:
    """Scores of π, of the baselines and of guessing as bars, best first, π in bold; a line marks the best guess.

    Until π-tuning has chosen, ``mixture_score`` stands for it.

    Args:
        result: a tune result: ``score``, ``baselines`` {method: score} and, if there, ``intervals`` {method: (low,
            high)} with ``pi`` for π's own, and ``guessing`` {``chance``, ``largest``}. All in points, 0 to 100. A
            score that is None is left out.
        metric: what the scores are.
        awaited: methods that are still to be scored: rows without a bar, below the others.
    """
    reported = {"pi": result.get("score"), **(result.get("baselines") or {})}
    if reported["pi"] is None:
        reported["mixture"] = result.get("mixture_score")
    scores = {name: float(value) for name, value in reported.items() if value is not None and np.isfinite(value)}
    guessed = guesses_of(result)
    scores |= guessed
    # π first among equals and guessing last; Plotly draws from the bottom up.
    names = sorted(scores, key=lambda name: (scores[name], name == "pi", name not in guessed))
    intervals = result.get("intervals") or {}
    low, high = [], []
    for name in names:
        interval = intervals.get(name) or (scores[name], scores[name])
        low.append(max(scores[name] - float(interval[0]), 0.0))
        high.append(max(float(interval[1]) - scores[name], 0.0))
    below = [name for name in reversed(awaited) if name not in scores]
    labels = {name: escape(GUESS_LABELS.get(name) or method_label(name)) for name in (*below, *names)}
    styles = [method_style(name) for name in names if name not in guessed]
    ends = [scores[name] + above for name, above in zip(names, high, strict=True)]
    measured = [place for place, name in enumerate(names) if name not in guessed]
    has_intervals = any(low) or any(high)
    figure = go.Figure(
        [
            go.Bar(
                x=[scores[names[i]] for i in measured],
                y=[labels[names[i]] for i in measured],
                orientation="h",
                marker={
                    "color": [style.colour for style in styles],
                    "pattern": {"shape": [style.pattern for style in styles], "size": 5, "solidity": 0.25},
                },
                error_x={
                    "type": "data",
                    "array": [high[i] for i in measured],
                    "arrayminus": [low[i] for i in measured],
                    "symmetric": False,
                    "color": INTERVAL,
                    "thickness": 2,
                    "width": 5,
                    "visible": has_intervals,
                },
                customdata=[[scores[names[i]] - low[i], ends[i]] for i in measured],
                hovertemplate="%{y}: %{x:.1f}"
                + (" (95 % interval %{customdata[0]:.1f} to %{customdata[1]:.1f})" if has_intervals else "")
                + "<extra></extra>",
            ),
            # The numbers stand to the right of the intervals and of the line, in the page's text colour.
            go.Scatter(
                x=[
                    *(0.0 for _ in below),
                    *(
                        max(end, *guessed.values()) if name in guessed else end
                        for name, end in zip(names, ends, strict=True)
                    ),
                ],
                y=[labels[name] for name in (*below, *names)],
                mode="text",
                text=[
                    *(f"{PAD}{AWAITED}" for _ in below),
                    *(f"{PAD}<b>{scores[n]:.1f}</b>" if n == "pi" else f"{PAD}{scores[n]:.1f}" for n in names),
                ],
                textposition="middle right",
                cliponaxis=False,
                hoverinfo="skip",
            ),
        ]
    )
    if guessed:
        figure.add_bar(
            x=list(guessed.values()),
            y=[labels[name] for name in guessed],
            orientation="h",
            marker={"color": MUTED, "pattern": {"shape": "/", "size": 5}},
            hovertemplate="%{y}: %{x:.1f}<extra></extra>",
        )
        figure.add_vline(max(guessed.values()), line={"color": INTERVAL, "width": 1.5, "dash": "dot"})
    top = max(ends, default=100.0)
    figure.update_layout(
        showlegend=False,
        barmode="overlay",
        bargap=0.35,
        height=90 + 34 * max(len(labels), 1),
        margin={"l": 8, "r": 48, "t": 8, "b": 8},
        xaxis={
            "title": {"text": f"{escape(metric)} (points, 0 to 100)"},
            "range": [0, 100.0 if awaited else max(top * 1.02, 1.0)],
            "automargin": True,
            "zeroline": False,
        },
        yaxis={
            "automargin": True,
            "ticksuffix": "  ",
            "showgrid": False,
            "categoryorder": "array",
            "categoryarray": list(labels.values()),
        },
    )
    return figure


def guesses_of(result: Mapping[str, Any]) -> dict[str, float]:
    """What guessing scores beside a result, by the names of `GUESS_LABELS`; what is not known is left out."""
    kept = result.get("guessing") or {}
    return {name: float(kept[name]) for name in GUESS_LABELS if kept.get(name) is not None}


def curves(frame: pd.DataFrame, names_of: Mapping[str, str] = MappingProxyType({})) -> go.Figure:
    """One measured thing by training step, one line per series; π is thick.

    Args:
        frame: columns ``series``, ``step`` and ``value``; ``name`` (``loss``, ``score``…), if there, titles the axis.
        names_of: what a series is called in the legend, where that is more than the method's name.

    Raises:
        BadInput: when the frame holds several names.
    """
    names = list(frame["name"].unique()) if "name" in frame else []
    if len(names) > 1:
        raise BadInput(f"curves got {', '.join(map(str, names))}; draw one of them at a time")
    title = Y_TITLES.get(names[0], str(names[0]).replace("_", " ").capitalize()) if names else "Value"
    figure = go.Figure()
    for series, part in frame.groupby("series", sort=False):
        part = part.sort_values("step")
        style = method_style(str(series))
        line = {"color": style.colour, "dash": style.dash, "width": 3.5 if series in _PI else 1.8}
        # NaN and infinities make gaps.
        values = [float(v) if np.isfinite(v) else None for v in part["value"].astype(float)]
        figure.add_trace(
            go.Scatter(
                x=[int(step) for step in part["step"]],
                y=values,
                name=escape(names_of.get(str(series)) or method_label(str(series))),
                mode="lines+markers" if len(part) <= 25 else "lines",
                marker={"size": 5},
                line=line,
                hovertemplate="step %{x}: %{y:.4g}",
            )
        )
    figure.update_layout(
        height=340,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        hovermode="x unified",
        showlegend=len(figure.data) > 1,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"title": {"text": "Training step"}, "rangemode": "tozero", "automargin": True},
        yaxis={"title": {"text": title}, "automargin": True},
    )
    return figure


def alpha_heatmap(sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]) -> go.Figure:
    """The interpolation weights: one row per site from the first layer down, one column per expert.

    Args:
        sites: names of the S sites.
        experts: names of the K experts.
        weights: softmax(α), (S, K), each row summing to 1.

    Raises:
        BadInput: when the weights do not fit the names.
    """
    values = np.asarray(weights, dtype=float).reshape(len(weights), -1)
    if values.shape != (len(sites), len(experts)):
        raise BadInput(f"weights have shape {values.shape} for {len(sites)} sites and {len(experts)} experts")
    most = float(max(0.5, np.nanmax(values, initial=0.5)))
    figure = go.Figure(
        go.Heatmap(
            # Positions, not names, so that two experts may be called the same.
            x=list(range(len(experts))),
            y=list(range(len(sites))),
            z=[[float(v) if np.isfinite(v) else None for v in row] for row in values],
            zmin=0,
            zmax=most,
            colorscale=colour_scale(SEQUENTIAL),
            xgap=1,
            ygap=1,
            customdata=[[[escape(site), escape(expert)] for expert in experts] for site in sites],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}: %{z:.3f}<extra></extra>",
            colorbar={"title": {"text": "Weight, softmax(α)", "side": "right"}, "thickness": 12},
        )
    )
    figure.update_layout(
        # Plotly's own letters on cells are grey, too faint for a middling blue.
        annotations=[
            {"x": x, "y": y, "text": f"{value:.2f}", "showarrow": False,
             "font": {"size": 12, "color": ink_on(colour_at(SEQUENTIAL, value / most))}}
            for (y, x), value in np.ndenumerate(values)
            if np.isfinite(value) and values.size <= MAX_CELLS_WITH_TEXT
        ],
        height=max(300, 110 + 24 * len(sites)),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={
            "title": {"text": "Expert"},
            "tickvals": list(range(len(experts))),
            "ticktext": [escape(name) for name in experts],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={
            "title": {"text": "Site"},
            "tickvals": list(range(len(sites))),
            "ticktext": [escape(name) for name in sites],
            "automargin": True,
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
        },
    )  # fmt: skip
    return figure
