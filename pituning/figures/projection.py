"""A map of the tasks: points in two dimensions, with names, clouds of uncertainty and what was picked out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pituning.errors import BadInput
from pituning.figures.labels import place_labels
from pituning.figures.palette import INK, MUTED, colours, escape, in_order, modality_style
from pituning.graph.build import shorten
from pituning.graph.info import NodeInfo

PURPLE = {False: "#7a5195", True: "#b79ae0"}
"""One colour more than the palette has, by whether the page is dark."""

SIZES = {"circle": 13, "square": 12, "diamond": 15}  # of about the same area
SMALL = 0.7
CROWDED = 0.4
"""Of the size of a point where there are more than `MOST_IN_SVG` tasks, which would hide each other."""

FADED = 0.22
MOST_LABELLED = 150
MOST_IN_SVG = 1500
"""Points; more are drawn by WebGL."""

CANVAS = (660.0, 520.0)
"""The large map's inside in pixels, about; names are placed for it."""

ROOM = (0.13, 0.09)
"""Of the extent of the points, left free on each side; names are wider than high."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """More places of the same tasks.

    Args:
        points: (M, N, 2).
        names: of the M, for tooltips; none for resamplings, of which there is nothing to tell.
    """

    points: np.ndarray
    names: tuple[str, ...] = ()


def map_figure(
    points: np.ndarray,
    infos: Sequence[NodeInfo],
    groups: Sequence[str],
    *,
    cloud: Cloud | None = None,
    chosen: Collection[str] = (),
    large: bool = True,
    axes: tuple[str, str] = ("", ""),
    paint: Mapping[str, str] | None = None,
    dark: bool = False,
) -> go.Figure:
    """One map. A point's shape is its modality, its colour its group; the points' names come as ``customdata``.

    Args:
        points: (N, 2).
        infos: the N tasks.
        groups: what each task is coloured by, as people read it; an empty one is grey.
        cloud: drawn small around the tasks.
        chosen: tasks that were picked out; the others fade. None picked out is all.
        large: with names and a legend, to choose from; else small and bare.
        paint: the colours of some groups; others have one by their order.
        axes: titles; a map of which only distances mean something has none.
        dark: whether the page is dark.
    """
    if points.shape != (len(infos), 2) or len(groups) != len(infos):
        raise BadInput(f"{len(infos)} tasks, points {points.shape}, {len(groups)} groups; give one of each per task")
    paint = {**group_colours(groups, infos, dark), **(paint or {})}
    picked = {info.name for info in infos if info.name in chosen} or {info.name for info in infos}
    figure = go.Figure()
    dots = len(infos) + (0 if cloud is None else cloud.points.size // 2)
    trace = go.Scatter if dots <= MOST_IN_SVG else go.Scattergl
    if cloud is not None and cloud.points.size:
        figure.add_trace(_cloud(cloud, points, infos, groups, paint, picked, trace))
    crowded = len(infos) > MOST_IN_SVG
    scale = (1 if large else SMALL) * (CROWDED if crowded else 1)
    symbols = [modality_style(info.modality).marker for info in infos]
    figure.add_trace(
        trace(
            name="tasks",
            x=points[:, 0].tolist(),
            y=points[:, 1].tolist(),
            mode="markers",
            customdata=[info.name for info in infos],
            text=[_tooltip(info, group) for info, group in zip(infos, groups, strict=True)],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            marker={
                "symbol": symbols,
                "size": [scale * SIZES[symbol] for symbol in symbols],
                "color": [paint[group] for group in groups],
                "opacity": [1 if info.name in picked else FADED for info in infos],
                "line": {"width": 0 if crowded else 1, "color": INK[not dark]},
            },
            # What is picked out shows by its own; while a lasso is drawn nothing flickers.
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": FADED}},
        )
    )
    if large and len(infos) <= MOST_LABELLED:
        figure.add_trace(_names(points, infos, picked, cloud))
    if large:
        for entry in _legend(infos, groups, paint):
            figure.add_trace(entry)
    side = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "showline": False}
    figure.update_layout(
        height=590 if large else 262,
        margin={"l": 6, "r": 6, "t": 6, "b": 6},
        hovermode="closest",
        dragmode="lasso" if large else False,
        uirevision="map",
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -0.06,
            "yanchor": "top",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        xaxis={**side, "title": {"text": axes[0]}, "fixedrange": not large, "range": _range(points, cloud, 0)},
        yaxis={
            **side,
            "title": {"text": axes[1]},
            "fixedrange": not large,
            "range": _range(points, cloud, 1),
            "scaleanchor": "x",  # only so do distances mean something
        },
    )
    return figure


def group_colours(groups: Sequence[str], infos: Sequence[NodeInfo], dark: bool) -> Mapping[str, str]:
    """A colour for each group: its modality's where groups are modalities, else by the order of the groups."""
    palette = colours(dark)
    styles = {modality_style(info.modality).label: modality_style(info.modality).colour for info in infos}
    names = list(dict.fromkeys(group for group in groups if group))
    if set(names) <= set(styles):
        by_name = {name: palette[styles[name]] for name in names}
    else:
        many = (*palette[:-1], PURPLE[dark])
        by_name = {name: many[number % len(many)] for number, name in enumerate(sorted(names))}
    return {**by_name, "": palette[-1]}


def _cloud(
    cloud: Cloud,
    points: np.ndarray,
    infos: Sequence[NodeInfo],
    groups: Sequence[str],
    paint: Mapping[str, str],
    picked: Collection[str],
    trace: Any,
) -> Any:
    count = len(cloud.points)
    flat = cloud.points.reshape(-1, 2)  # all tasks of the first, then all of the second
    named = [f"{escape(info.title or info.name)}, {escape(name)}" for name in cloud.names for info in infos]
    return trace(
        name="cloud",
        x=flat[:, 0].tolist(),
        y=flat[:, 1].tolist(),
        mode="markers",
        showlegend=False,
        text=named or None,
        hovertemplate="%{text}<extra></extra>" if named else None,
        hoverinfo=None if named else "skip",
        marker={
            "size": 7 if named else 4,
            "symbol": "circle-open" if named else "circle",
            "color": [paint[group] for group in groups] * count,
            "opacity": [(0.75 if named else 0.4) if info.name in picked else 0.06 for info in infos] * count,
        },
        selected={"marker": {"opacity": 0.4}},
        unselected={"marker": {"opacity": 0.15}},
    )


def _names(points: np.ndarray, infos: Sequence[NodeInfo], picked: Collection[str], cloud: Cloud | None) -> go.Scatter:
    """The names of what is picked out; the others tell theirs when they are pointed at."""
    at = [i for i, info in enumerate(infos) if info.name in picked]
    labels = [shorten(infos[i].title or infos[i].name) for i in at]
    x, y = _range(points, cloud, 0), _range(points, cloud, 1)
    scale = min(CANVAS[0] / (x[1] - x[0]), CANVAS[1] / (y[1] - y[0]))  # both axes have the same
    middle = np.array([sum(x) / 2, sum(y) / 2])
    pixels = (points[at] - middle) * [scale, -scale] + np.array(CANVAS) / 2
    return go.Scatter(
        name="names",
        x=points[at, 0].tolist(),
        y=points[at, 1].tolist(),
        mode="markers+text",
        marker={"size": 15, "opacity": 0},  # keeps names off the points
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        text=[escape(label) for label in labels],
        textposition=place_labels(pixels, labels, CANVAS),
        textfont={"size": 11},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )


def _legend(infos: Sequence[NodeInfo], groups: Sequence[str], paint: Mapping[str, str]) -> list[go.Scatter]:
    """The groups by colour; the modalities by shape, in grey where colour says something else."""
    entries = []
    labels = {modality_style(info.modality).label for info in infos}
    for modality in in_order({info.modality for info in infos}):
        style = modality_style(modality)
        entries.append(_entry(style.label, style.marker, paint.get(style.label, MUTED)))
    for group in sorted({group for group in groups if group} - labels):
        entries.append(_entry(escape(group), "circle", paint[group]))
    return entries


def _entry(name: str, symbol: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=[None], y=[None], mode="markers", marker={"symbol": symbol, "size": 10, "color": colour}, name=name
    )


def _tooltip(info: NodeInfo, group: str) -> str:
    label = modality_style(info.modality).label
    lines = [f"<b>{escape(info.title or info.name)}</b>", escape(label)]
    return "<br>".join([*lines, *([escape(group)] if group and group != label else [])])


def _range(points: np.ndarray, cloud: Cloud | None, axis: int) -> list[float]:
    values = points[:, axis]
    if cloud is not None and cloud.points.size:
        values = np.concatenate([values, cloud.points[..., axis].ravel()])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    room = ROOM[axis] * (high - low) or 0.5
    return [low - room, high + room]
