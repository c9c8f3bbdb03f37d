"""A figure as a thumbnail: its marks alone, without letters, as a small SVG.

What is drawn is what the figures of this package are made of: points, lines, bars, cells and arrows. It takes a few
milliseconds and no browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pituning.figures.palette import HIGHLIGHT, escape

WIDTH, HEIGHT, PAD = 160.0, 72.0, 5.0
MOST_CELLS = 24
"""Rows and columns of a heat map; of more, every so many."""

MOST_MARKS = 400
DOT = 0.16
"""Of the size of a marker."""

LINE = 0.4
"""Of the width of a line."""


def sketch(figure: go.Figure) -> str:
    """An SVG element of 160 by 72, which stretches to the width that it is given."""
    layout = figure.layout
    axes = {
        name: _Axis(
            axis, [_values(trace, name) for trace in figure.data if trace.type in ("scatter", "bar", "heatmap")]
        )
        for name, axis in (("x", layout.xaxis), ("y", layout.yaxis))
    }
    x, y = axes["x"].placer(PAD, WIDTH - PAD), axes["y"].placer(HEIGHT - PAD, PAD)
    parts: list[str] = []
    for trace in figure.data:
        if trace.visible is False or trace.type not in _MARKS:
            continue
        parts += _MARKS[trace.type](trace, x, y)
    for arrow in layout.annotations:
        if arrow.showarrow and arrow.axref == "x":
            places = [(x, arrow.ax), (y, arrow.ay), (x, arrow.x), (y, arrow.y)]
            x1, y1, x2, y2 = (float(place(np.array([value], dtype=object))[0]) for place, value in places)
            width = max(float(arrow.arrowwidth or 2) * LINE, 0.4)
            parts.append(_path(f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", _drawn(arrow.arrowcolor, width)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" aria-hidden="true" '
        f'focusable="false">{"".join(parts)}</svg>'
    )


class _Axis:
    """Places of values along an axis, 0 to 1."""

    def __init__(self, axis: Any, values: Sequence[np.ndarray]):
        known = [one for one in values if one.size]
        order = list(axis.categoryarray) if axis.categoryarray is not None else []
        self.categories: dict[Any, int] = {name: place for place, name in enumerate(order)}
        for one in known:
            for value in one:
                if isinstance(value, str):
                    self.categories.setdefault(value, len(self.categories))
        numbers = np.concatenate([self.numbers(one) for one in known]) if known else np.array([0.0, 1.0])
        numbers = numbers[np.isfinite(numbers)]
        low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
        asked = axis.range
        if asked is not None and all(isinstance(one, int | float) for one in asked):
            low, high = (float(one) for one in asked)
        elif axis.autorange == "reversed":
            low, high = high, low
        if self.categories and low == high:
            low, high = low - 0.5, high + 0.5
        self.low, self.spread = low, (high - low) or 1.0

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Categories as their places; what is no number as NaN."""
        return np.array(
            [self.categories[v] if isinstance(v, str) else np.nan if v is None else float(v) for v in values]
        )

    def placer(self, start: float, end: float) -> Any:
        """A function from values to pixels."""
        return lambda values: start + (self.numbers(values) - self.low) / self.spread * (end - start)


def _values(trace: Any, name: str) -> np.ndarray:
    values = trace[name]
    if values is None:
        z = trace.z if trace.type == "heatmap" else None
        values = [] if z is None else range(len(z) if name == "y" else len(z[0]))
    return np.array(list(values), dtype=object)


def _scatter(trace: Any, x: Any, y: Any) -> list[str]:
    across, up = x(_values(trace, "x")), y(_values(trace, "y"))
    count = min(len(across), len(up))
    mode = str(trace.mode or "lines+markers")
    opacity = 1.0 if trace.opacity is None else float(trace.opacity)
    parts = []
    if "lines" in mode and count > 1:
        runs, path = [], []
        for px, py in zip(across[:count], up[:count], strict=True):
            if np.isfinite(px) and np.isfinite(py):
                path.append(f"{px:.1f} {py:.1f}")
            elif path:
                runs.append(path)
                path = []
        runs.append(path)
        drawn = "".join(f"M{'L'.join(one)}" for one in runs[:: max(1, -(-len(runs) // MOST_MARKS))] if len(one) > 1)
        filled = trace.fill in ("toself", "tozeroy", "tonexty")
        width = max(float(trace.line.width if trace.line.width is not None else 2) * LINE, 0.3)
        paint = f'fill="{_colour(trace.fillcolor)}"' if filled else _drawn(trace.line.color, width)
        if drawn:
            parts.append(_path(drawn, f'{paint} opacity="{opacity:.2f}"'))
    if "markers" in mode:
        marker = trace.marker
        clear = 1.0 if marker.opacity is None else marker.opacity
        for i in range(0, count, max(1, -(-count // MOST_MARKS))):
            size = float(_at(marker.size, i) or 6) * DOT
            seen = float(_at(clear, i) or 0) * opacity
            if seen > 0 and np.isfinite(across[i]) and np.isfinite(up[i]):
                open_ring = "open" in str(_at(marker.symbol, i) or "")
                colour = _at(marker.color, i)
                paint = _drawn(colour, 0.8) if open_ring else f'fill="{_colour(colour)}"'
                circle = f'cx="{across[i]:.1f}" cy="{up[i]:.1f}" r="{size:.1f}"'
                parts.append(f'<circle {circle} {paint} opacity="{seen:.2f}"/>')
    return parts


def _bar(trace: Any, x: Any, y: Any) -> list[str]:
    lying = trace.orientation == "h"
    ends, places = (x, y) if lying else (y, x)
    end = ends(_values(trace, "x" if lying else "y"))
    place = places(_values(trace, "y" if lying else "x"))
    zero = float(ends(np.array([0.0], dtype=object))[0])
    room = float(np.min(np.abs(np.diff(np.sort(place))))) if len(place) > 1 else 24.0
    thick = max(0.6 * room, 0.6)
    parts = []
    for i, (there, at) in enumerate(zip(end, place, strict=False)):
        if not np.isfinite(there) or not np.isfinite(at):
            continue
        low, long, edge, colour = (
            min(zero, there),
            abs(there - zero),
            at - thick / 2,
            _colour(_at(trace.marker.color, i)),
        )
        parts.append(_box(low, edge, long, thick, colour) if lying else _box(edge, low, thick, long, colour))
    return parts


def _heatmap(trace: Any, x: Any, y: Any) -> list[str]:
    z = np.array([[np.nan if v is None else float(v) for v in row] for row in trace.z], dtype=float)
    if not z.size:
        return []
    low = float(trace.zmin) if trace.zmin is not None else float(np.nanmin(z))
    high = float(trace.zmax) if trace.zmax is not None else float(np.nanmax(z))
    stops = [stop[1] for stop in (trace.colorscale or ((0, "#eef5fb"), (1, "#043255")))]
    upside_down = float(y(np.array([0.0], dtype=object))[0]) < HEIGHT / 2
    z = z[:: max(1, -(-len(z) // MOST_CELLS)), :: max(1, -(-z.shape[1] // MOST_CELLS))]
    z = z if upside_down else z[::-1]
    height, side = (HEIGHT - 2 * PAD) / len(z), (WIDTH - 2 * PAD) / z.shape[1]
    return [
        _box(PAD + column * side, PAD + row * height, side * 0.94, height * 0.94,
             _colour(stops[min(int((value - low) / ((high - low) or 1) * len(stops)), len(stops) - 1)]))
        for (row, column), value in np.ndenumerate(z)
        if np.isfinite(value)
    ]  # fmt: skip


_MARKS = {"scatter": _scatter, "bar": _bar, "heatmap": _heatmap}


def _at(value: Any, index: int) -> Any:
    """Of what may be one for all marks or one for each."""
    if value is None or isinstance(value, str | int | float):
        return value
    return value[index] if index < len(value) else None


def _colour(value: Any) -> str:
    return escape(value) if isinstance(value, str) else HIGHLIGHT


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'


def _drawn(colour: Any, width: float) -> str:
    return f'fill="none" stroke="{_colour(colour)}" stroke-width="{width:.2f}"'


def _path(drawn: str, paint: str) -> str:
    return f'<path d="{drawn}" {paint}/>'
