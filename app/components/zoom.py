"""A graph that is zoomed or moved stays so when a click, or an option, changes something else of it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_KEEP = st.components.v2.component(
    "keep_zoom",
    html="<span hidden></span>",
    js=(Path(__file__).resolve().parent.parent / "assets" / "zoom.js").read_text("utf-8"),
)


def keep(chart: str) -> None:
    """For the ECharts chart of that key, whose option has the zoom of `pituning.figures.plane.plane`."""
    _KEEP(key=f"zoom-{chart}", data={"chart": chart})
