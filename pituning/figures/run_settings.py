"""Settings and scores of many runs at once, and which settings the scores depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pituning.figures.palette import (
    HIGHLIGHT,
    INK,
    INTERVAL,
    MUTED,
    SEQUENTIAL,
    SEQUENTIAL_DARK,
    colour_scale,
    escape,
)

MOST_TICKS = 8
LONGEST_TICK = 28
BAR = 34
"""Pixels for a bar."""


def parallel_settings(
    settings: pd.DataFrame,
    scores: Sequence[float],
    *,
    score_title: str,
    title_of: Callable[[str], str] = str,
    value_of: Callable[[str], str] = str,
    dark: bool = False,
) -> go.Figure:
    """Parallel coordinates: an axis for each setting, the last one for the score, a line for each run.

    Args:
        settings: as of `pituning.studies.importance.varied_settings`.
        scores: of the runs, which colour the lines.
        title_of: what people read for a setting's name.
        value_of: the same for a value that is text.
    """
    dimensions = [_axis(settings[name], escape(title_of(str(name))), value_of) for name in settings.columns]
    dimensions.append({"label": f"<b>{escape(score_title)}</b>", "values": [float(score) for score in scores]})
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={
                "color": [float(score) for score in scores],
                "colorscale": colour_scale(SEQUENTIAL_DARK[3:] if dark else SEQUENTIAL[3:]),  # the palest are too faint
                "showscale": False,
            },
            unselected={"line": {"color": MUTED, "opacity": 0.25}},
            labelfont={"size": 13, "color": INK[dark]},
            tickfont={"size": 12, "color": INK[dark]},
            rangefont={"size": 10, "color": "rgba(0,0,0,0)"},  # the ticks say it
        )
    )
    figure.update_layout(height=380, margin={"l": 90, "r": 60, "t": 48, "b": 16})
    return figure


def _axis(column: pd.Series, title: str, value_of: Callable[[str], str]) -> dict[str, object]:
    numeric = pd.api.types.is_numeric_dtype(column)
    places = column.to_numpy(float) if numeric else pd.factorize(column, sort=True)[0].astype(float)
    axis: dict[str, object] = {"label": title, "values": places.tolist()}
    values, first = np.unique(places, return_index=True)
    if len(values) <= MOST_TICKS or not numeric:
        texts = [
            f"{value:g}" if numeric else value_of(str(column.iloc[at])) for value, at in zip(values, first, strict=True)
        ]
        shown = [text if len(text) <= LONGEST_TICK else f"{text[: LONGEST_TICK - 1]}…" for text in texts]
        axis |= {"tickvals": values.tolist(), "ticktext": [escape(text) for text in shown]}
    return axis


def importance_bars(titles: Sequence[str], shares: Sequence[float], spreads: Sequence[float]) -> go.Figure:
    """A bar for each setting, the most important on top, with its standard deviation over folds.

    Args:
        titles: of the settings, the most important first.
        shares: R² that is lost without each.
        spreads: standard deviations of these.
    """
    bars = list(zip(titles, shares, spreads, strict=True))[::-1]  # Plotly draws from the bottom up
    figure = go.Figure(
        go.Bar(
            x=[share for _, share, _ in bars],
            y=[escape(title) for title, _, _ in bars],
            orientation="h",
            marker={"color": [HIGHLIGHT if share > spread else MUTED for _, share, spread in bars]},
            error_x={"type": "data", "array": [spread for _, _, spread in bars], "color": INTERVAL, "thickness": 1.5},
            hovertemplate="%{y}: %{x:.2f} ± %{error_x.array:.2f}<extra></extra>",
        )
    )
    figure.update_layout(
        height=70 + BAR * len(bars),
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        bargap=0.4,
        xaxis={"title": {"text": "R² lost when the setting is shuffled"}, "automargin": True, "zeroline": True},
        yaxis={"automargin": True, "type": "category"},
    )
    return figure
