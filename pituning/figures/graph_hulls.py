"""Communities behind the tasks of a graph: soft outlines and names, as series of an Apache ECharts plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pituning.figures.palette import community_colours
from pituning.graph.hulls import ASIDE, Hull

FILL = {False: 0.12, True: 0.2}
"""How strongly outlines are filled, by whether the page is dark."""

FADED = 0.35
"""Of that, where a task of another community is chosen."""

NEAR = 60.0
"""Pixels; communities that are nearer have different colours where there are enough."""


def hull_colours(hulls: Sequence[Hull], dark: bool) -> dict[int, str]:
    """The colour of each community that is drawn: one that none near to it has."""
    palette = community_colours(dark)
    chosen: dict[int, int] = {}
    for hull in hulls:
        near = [chosen[one.community] for one in hulls if one.community in chosen and _apart(one, hull) < NEAR]
        used = list(chosen.values())
        chosen[hull.community] = min(
            range(len(palette)), key=lambda colour: (near.count(colour), used.count(colour), colour)
        )
    return {community: palette[colour] for community, colour in chosen.items()}


def _apart(a: Hull, b: Hull) -> float:
    """About how many pixels are between the outlines of two communities."""
    first, second = (np.concatenate(hull.outlines)[::4] for hull in (a, b))
    return float(np.sqrt(((first[:, None] - second[None]) ** 2).sum(2).min()))


def hull_series(
    hulls: Sequence[Hull],
    colours: Mapping[int, str],
    *,
    dark: bool,
    paper: str,
    community: int | None = None,
    above: str | None = None,
) -> list[dict[str, Any]]:
    """Outlines and names for a plane with the axes of `plane`; they do not take the mouse.

    Args:
        hulls: of `pituning.graph.hulls.hulls`.
        colours: of each community.
        paper: what names stand on.
        community: the only one that does not fade.
        above: the colour of names that stand above tasks; others stand behind them, in their community's.
    """
    if not hulls:
        return []
    # A closed line fills what is within it: the way forth and the way back leave nothing down to the axis.
    outlines = [
        {
            "id": f"community {hull.community} {number}",
            "type": "line",
            "silent": True,
            "z": 0,
            "clip": False,
            "symbol": "none",
            "lineStyle": {"width": 0},
            "areaStyle": {
                "color": colours[hull.community],
                "opacity": round(FILL[dark] * _strength(hull, community), 3),
            },
            "data": np.concatenate([outline, outline[:1]]).tolist(),
        }
        for hull in hulls
        for number, outline in enumerate(hull.outlines)
    ]
    names = [
        {
            "name": hull.name,
            "value": [hull.label.x, hull.label.y],
            "label": {
                "color": above or colours[hull.community],
                "opacity": 1.0 if _strength(hull, community) == 1 else 0.45,
                "position": hull.label.side,
            },
        }
        for hull in hulls
        if hull.label is not None
    ]
    label = {
        "show": True, "distance": ASIDE, "formatter": "{b}", "fontSize": 12 if above is None else 14,
        "fontWeight": 600, "textBorderColor": paper, "textBorderWidth": 3,
    }  # fmt: skip
    return [
        *outlines,
        {
            "id": "communities", "type": "scatter", "silent": True, "z": 1 if above is None else 5, "clip": False,
            "symbolSize": 1, "itemStyle": {"opacity": 0}, "label": label, "labelLayout": {"hideOverlap": True},
            "data": names,
        },
    ]  # fmt: skip


def _strength(hull: Hull, community: int | None) -> float:
    return 1.0 if community is None or hull.community == community else FADED
