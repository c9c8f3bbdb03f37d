"""Lines of the task graph: similarities and gains as links of an Apache ECharts graph, their names and colours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import networkx as nx

from pituning.figures.palette import colours, diverging, escape, inks
from pituning.graph.build import UNKNOWN_MODALITY
from pituning.graph.ego import Arrow
from pituning.graph.harm import points
from pituning.graph.newcomers import is_own

WIDTHS = (1.0, 5.0)
PREDICTED_WIDTH = 2.2
"""Of lines to predicted donors: similarities of shots to a zoo are on a scale of their own."""

ARROW_SIZE = 9
BENDS = {False: 0.06, True: 0.16}
"""Of lines and of arrows, of which there may be two between the same tasks."""

CERTAIN = {True: 0.95, False: 0.4}
"""How strongly an effect is drawn, by whether its interval leaves 0 out."""

EGO_BEND = 0.22
"""Of arrows over lines, so that both are seen."""

FADED_LINE = 0.1
_DASH_ICON = "path://M0 9H9V12H0Z M14 9H23V12H14Z"
_LINE_ICON = "path://M0 9H23V12H0Z"
_DOTS_ICON = "path://M0 8H4V12H0Z M9 8H13V12H9Z M18 8H22V12H18Z"
_ARROW_ICON = "path://M0 9H14V5L23 10.5L14 16V12H0Z"
LINE_ICONS = {
    "Same modality": _LINE_ICON,
    "Across modalities": _DASH_ICON,
    "Helps": _ARROW_ICON,
    "Harms": _ARROW_ICON,
    "Dashed: across modalities": _DASH_ICON,
    "Predicted donor": _DOTS_ICON,
}
"""By what the legend calls a line, in its order."""

PLAIN = {"Helps": "Positive", "Harms": "Negative"}
"""Of values that are no gains."""


def line_links(
    graph: nx.Graph,
    dark: bool,
    near: Collection[str],
    selected: str | None,
    other: str | None,
    gain_unit: str,
) -> list[dict[str, Any]]:
    """The edges: the wider, the more similar or the larger the gain; those away from what is chosen are faded.

    Args:
        near: tasks that are not faded, where none is ``selected``.
        gain_unit: what gains are measured in; empty where they are other values.
    """
    directed = graph.is_directed()
    values = [abs(data["gain"]) if directed else data["similarity"] for _, _, data in graph.edges(data=True)]
    compared = [
        value for value, (*_, data) in zip(values, graph.edges(data=True), strict=True) if not data.get("predicted")
    ]
    low = 0.0 if directed else min(compared, default=0.0)  # no gain is no width; similarity has no such zero
    spread = max(max(compared, default=1.0) - low, 1e-9)
    alone = len(compared) == 1
    pair = other in graph and other != selected
    links = []
    for (a, b, data), value in zip(graph.edges(data=True), values, strict=True):
        strength = 1.0 if alone else (value - low) / spread
        opacity = round(0.45 + 0.4 * float(data.get("confidence", 0.5) if data.get("predicted") else strength), 2)
        if "certain" in data:
            opacity = CERTAIN[data["certain"]]
        width = round(WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * float(strength), 2)
        if selected in graph:
            faded = {a, b} != {selected, other} if pair else selected not in (a, b)
        else:
            faded = a not in near or b not in near
        links.append(
            {
                "source": a,
                "target": b,
                "value": round(float(data["gain"] if directed else data["similarity"]), 4),
                "lineStyle": {
                    "color": line_colour(line_name(data, directed), dark),
                    "type": "dotted" if data.get("predicted") else "dashed" if data["inter_modal"] else "solid",
                    "width": PREDICTED_WIDTH if data.get("predicted") else width,
                    "opacity": FADED_LINE if faded else opacity,
                    "curveness": BENDS[directed],
                },
                "tooltip": {"formatter": _link_tooltip(graph, a, b, data, gain_unit)},
            }
        )
    return links


def arrow_links(graph: nx.Graph, dark: bool, arrows: Sequence[Arrow]) -> list[dict[str, Any]]:
    """Measured effects as links: the wider, the larger; fainter where they may as well be chance."""
    most = max((abs(arrow.gain) for arrow in arrows), default=0.0) or 1.0
    links = []
    for arrow in arrows:
        donor, target = (escape(graph.nodes[task]["title"]) for task in (arrow.donor, arrow.target))
        words = f"{donor} → {target}<br>measured <b>{points(arrow.gain)}</b>, {over_seeds(arrow.half)}"
        links.append(
            {
                "source": arrow.donor,
                "target": arrow.target,
                "value": round(arrow.gain, 4),
                "symbol": ["none", "arrow"],
                "symbolSize": [0, ARROW_SIZE],
                "lineStyle": {
                    "color": line_colour("Helps" if arrow.gain >= 0 else "Harms", dark),
                    "width": round(WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * abs(arrow.gain) / most, 2),
                    "opacity": CERTAIN[arrow.certain],
                    "curveness": EGO_BEND,
                },
                "tooltip": {"formatter": words},
            }
        )
    return links


def over_seeds(half: float | None) -> str:
    """How sure a measured effect is."""
    return "one seed" if half is None else f"± {half:.1f} over seeds"


def _link_tooltip(graph: nx.Graph, a: str, b: str, data: Mapping[str, Any], gain_unit: str) -> str:
    first, second = (escape(graph.nodes[task]["title"]) for task in (a, b))
    unknown = UNKNOWN_MODALITY in (graph.nodes[a]["modality"], graph.nodes[b]["modality"])
    kind = "" if unknown else ", across modalities" if data["inter_modal"] else ", same modality"
    if graph.is_directed():
        gain = (f"{data['gain']:+.2f} {escape(gain_unit)}" if gain_unit else f"{data['gain']:.4g}").replace("-", "−")
        sure = f" {over_seeds(data.get('half'))}" if "certain" in data else ""
        return f"{first} → {second}<br><b>{gain}</b>{sure}, number {data['rank']} of its donors{kind}"
    similar = f"Similarity <b>{data['similarity']:.3f}</b>"
    if data.get("predicted"):
        sure = f", stable rank {100 * data['confidence']:.0f} %" if "confidence" in data else ""
        own, donor = (first, second) if is_own(graph.nodes[a]) else (second, first)
        return f"{donor}, predicted donor {data['rank']} of {own}<br>{similar}{sure}{kind}"
    return f"{first} – {second}<br>{similar} ({data['standardised']:+.1f} SD){kind}"


def line_name(data: Mapping[str, Any], directed: bool) -> str:
    """What the legend calls a line."""
    if directed:
        return "Helps" if data["gain"] >= 0 else "Harms"
    if data.get("predicted"):
        return "Predicted donor"
    return "Across modalities" if data["inter_modal"] else "Same modality"


def line_label(name: str, *, plain: bool) -> str:
    """What people read for a kind of line; ``plain`` where values are no gains."""
    return PLAIN.get(name, name) if plain else name


def line_colour(name: str, dark: bool) -> str:
    """Similarity is grey, whatever it joins; gain and harm are the ends of one scale."""
    palette = colours(dark)
    return {
        "Same modality": palette[6],
        "Across modalities": palette[6],
        "Helps": diverging(dark)[-2],
        "Harms": diverging(dark)[1],
        "Dashed: across modalities": palette[6],
        "Predicted donor": inks(dark)[0],
    }[name]
