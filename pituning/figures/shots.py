"""The figure of a learning curve: the score by how many shots it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from pituning.figures.palette import GUESS_LABELS, HIGHLIGHT, INTERVAL, MUTED, PAD, escape, method_label
from pituning.figures.results import guesses_of


def shots_curve(result: Mapping[str, Any], *, metric: str = "Test score") -> go.Figure:
    """π's score and its interval by shots; what needs no training, as lines across.

    Args:
        result: a tune result: ``learning_curve`` of points with ``shots``, ``score``, ``low`` and ``high``; if there,
            ``guessing`` and ``backbone`` among ``baselines``. All in points, 0 to 100.
        metric: what the scores are.
    """
    points = result["learning_curve"]
    shots = [point["shots"] for point in points]
    figure = go.Figure(
        [
            go.Scatter(
                x=[*shots, *reversed(shots)],
                y=[*(point["high"] for point in points), *(point["low"] for point in reversed(points))],
                mode="lines", fill="toself", fillcolor=HIGHLIGHT, opacity=0.2, line={"width": 0}, hoverinfo="skip",
            ),
            go.Scatter(
                x=shots,
                y=[point["score"] for point in points],
                mode="lines+markers",
                line={"color": HIGHLIGHT, "width": 2.5},
                marker={"size": 8},
                customdata=[[point["low"], point["high"]] for point in points],
                hovertemplate="%{x} shots per class: %{y:.1f} (95 % interval %{customdata[0]:.1f} to "
                "%{customdata[1]:.1f})<extra></extra>",
            ),
        ]
    )  # fmt: skip
    beside = {GUESS_LABELS[name]: score for name, score in guesses_of(result).items()}
    backbone = (result.get("baselines") or {}).get("backbone")
    best_guess = max(beside, key=lambda label: beside[label], default=None)
    across = {best_guess: beside[best_guess]} if best_guess is not None else {}
    if backbone is not None and not result.get("crossed"):  # else it was scored on shots, too, the curve was not
        across[method_label("backbone")] = float(backbone)
    for label, score in across.items():
        figure.add_hline(
            score, line={"color": INTERVAL if label == best_guess else MUTED, "width": 1.5, "dash": "dot"},
            annotation={"text": f"{escape(label)} {score:.1f}{PAD}", "font": {"size": 11}},
            annotation_position="top right",
        )  # fmt: skip
    figure.update_layout(
        showlegend=False,
        height=280,
        margin={"l": 8, "r": 16, "t": 16, "b": 8},
        xaxis={"title": {"text": "Shots per class"}, "tickvals": shots, "type": "log", "automargin": True,
               "showgrid": False},
        yaxis={"title": {"text": f"{escape(metric)} (points, 0 to 100)"}, "rangemode": "tozero", "automargin": True},
    )  # fmt: skip
    return figure
