"""Figures of several runs beside each other; a run has one letter, colour, symbol and dash in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pituning.errors import BadInput
from pituning.figures.palette import GUESS_LABELS, METHOD_LABELS, colours, escape, method_label
from pituning.figures.results import DASHES, guesses_of

LETTERS = "ABCDEF"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
MOST_MARKED = 25
"""Points on a line that still have marks."""


def _check(count: int) -> None:
    if count > len(LETTERS):
        raise BadInput(f"{count} runs are too many for one figure; choose at most {len(LETTERS)}")


def compared_curves(frames: Sequence[pd.DataFrame], *, title: str, dark: bool = False) -> go.Figure:
    """One measured thing by training step, a line for each run.

    Args:
        frames: ``step`` and ``value`` of each run; empty for a run that did not measure it.
        title: what was measured.
        dark: whether the page is dark.
    """
    _check(len(frames))
    figure = go.Figure()
    for i, frame in enumerate(frames):
        if frame.empty:
            continue
        part = frame.sort_values("step")
        figure.add_trace(
            go.Scatter(
                x=[int(step) for step in part["step"]],
                y=[float(value) if np.isfinite(value) else None for value in part["value"].astype(float)],
                name=LETTERS[i],
                mode="lines+markers" if len(part) <= MOST_MARKED else "lines",
                line={"color": colours(dark)[i], "width": 2.2, "dash": DASHES[i % len(DASHES)]},
                marker={"symbol": SYMBOLS[i], "size": 6},
                hovertemplate="%{y:.4g}",
            )
        )
    figure.update_layout(
        height=360,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        hovermode="x unified",
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Training step"}, "rangemode": "tozero", "automargin": True},
        yaxis={"title": {"text": escape(title)}, "automargin": True},
    )
    return figure


def compared_scores(results: Sequence[Mapping[str, Any] | None], *, dark: bool = False) -> go.Figure:
    """The score of every method of every run with its 95 % interval, and of guessing: a row for a method, a mark for a
    run.

    Args:
        results: tune results as for `pituning.figures.results.score_bars`, None for a run without one.
        dark: whether the page is dark.
    """
    _check(len(results))
    guesses = [guesses_of(result or {}) for result in results]
    known = [name for name in GUESS_LABELS if any(name in guessed for guessed in guesses)]
    rows = [*known[::-1], *methods_of(results)[::-1]]  # Plotly draws from the bottom up
    figure = go.Figure()
    present = [i for i, result in enumerate(results) if result is not None]
    for place, i in enumerate(present):
        result = results[i] or {}
        scores = {**scores_of(result), **guesses[i]}
        intervals = result.get("intervals") or {}
        shown = [method for method in rows if method in scores]
        ends = [intervals.get(method) or (scores[method], scores[method]) for method in shown]
        shift = 0.0 if len(present) == 1 else 0.6 * (0.5 - place / (len(present) - 1))  # the first stands highest
        figure.add_trace(
            go.Scatter(
                x=[scores[method] for method in shown],
                y=[rows.index(method) + shift for method in shown],
                name=LETTERS[i],
                mode="markers",
                marker={"symbol": SYMBOLS[i], "size": 9, "color": colours(dark)[i]},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [max(float(end[1]) - scores[method], 0) for method, end in zip(shown, ends, strict=True)],
                    "arrayminus": [
                        max(scores[method] - float(end[0]), 0) for method, end in zip(shown, ends, strict=True)
                    ],
                    "thickness": 1.5,
                    "width": 3,
                    "color": colours(dark)[i],
                },
                customdata=[
                    [_row_label(method), float(end[0]), float(end[1])] for method, end in zip(shown, ends, strict=True)
                ],
                hovertemplate="%{customdata[0]}: %{x:.1f} (%{customdata[1]:.1f} to %{customdata[2]:.1f})",
            )
        )
    figure.update_layout(
        height=110 + (18 + 9 * len(present)) * max(len(rows), 1),
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        hovermode="closest",
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Test score (points, 0 to 100)"}, "automargin": True, "zeroline": False},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": [_row_label(method) for method in rows],
            "range": [-0.6, len(rows) - 0.4],
            "ticksuffix": "  ",
            "automargin": True,
            "zeroline": False,
        },
    )
    return figure


def _row_label(name: str) -> str:
    return escape(GUESS_LABELS.get(name) or method_label(name))


def scores_of(result: Mapping[str, Any]) -> dict[str, float]:
    """The finite test scores of a result, ``pi`` first."""
    values = {"pi": result.get("score"), **(result.get("baselines") or {})}
    return {
        name: float(value) for name, value in values.items() if isinstance(value, int | float) and np.isfinite(value)
    }


def methods_of(results: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """The methods that any of the results has, in the order in which people know them."""
    order = list(METHOD_LABELS)
    methods = {method for result in results if result is not None for method in scores_of(result)}
    return sorted(methods, key=lambda name: (order.index(name) if name in order else len(order), name))
