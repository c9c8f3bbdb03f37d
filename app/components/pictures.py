"""Two small buttons under a chart that save it as PNG or SVG, as it is seen: zoomed, filtered, light or dark.

Neither Plotly's nor ECharts' own button offers both, so the picture is made from what the browser has drawn. Nothing is
fetched but the page's own font, and the server does nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

_CSS = """
.save { display: flex; gap: .25rem; justify-content: flex-end; align-items: center; font: .8rem var(--st-font);
  color: color-mix(in srgb, var(--st-text-color) 75%, var(--st-background-color)); }
button { font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: 6px;
  padding: .15rem .45rem; min-height: 24px; cursor: pointer; text-decoration: underline; text-underline-offset: 2px; }
button:hover, button:focus-visible { color: var(--st-link-color); border-color: var(--st-border-color); }
button[disabled] { text-decoration: none; cursor: default; opacity: .6; }
"""
_HTML = """<div class="save" role="group"><span id="words">Save as</span>
<button id="png" type="button">PNG</button><button id="svg" type="button">SVG</button></div>"""
_BUTTONS = st.components.v2.component(
    "save_picture",
    html=_HTML,
    css=_CSS,
    js=(Path(__file__).resolve().parent.parent / "assets" / "pictures.js").read_text("utf-8"),
)


def save(chart: str, *, alt: str, stem: str | None = None, svg: bool = True) -> None:
    """The buttons for the chart of that key.

    Args:
        chart: the key of a Plotly or an ECharts chart on this page.
        alt: what a screen reader says of the chart.
        stem: of the file's name; by default the chart's key.
        svg: whether the chart is drawn as SVG; a canvas can be saved as PNG alone.
    """
    _BUTTONS(
        data={
            "chart": re.sub(r"[^a-zA-Z0-9_-]", "-", chart),  # as Streamlit makes a class of a key
            "stem": (stem or chart).replace("_", "-"),
            "name": alt,
            "svg": svg,
        },
        key=f"save-{chart}",
        width=128,
    )
