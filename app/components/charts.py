"""Draws what `pituning.figures` makes, the same way everywhere."""

from __future__ import annotations

import streamlit as st
from plotly.graph_objects import Figure

INK = {False: "#46535f", True: "#c3ccd5"}
"""Of axes and numbers, by whether the page is dark: Streamlit's own grey is too faint for small letters on white."""


def draw(figure: Figure, *, key: str, alt: str) -> None:
    """A figure at the height it asks for. ``key`` keeps its zoom over reruns, ``alt`` is what a screen reader says."""
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(tickfont_color=INK[dark()], title_font_color=INK[dark()])
    figure.update_traces(textfont_color=INK[dark()], selector={"mode": "text"})
    st.plotly_chart(figure, key=key, alt=alt, height=int(figure.layout.height or 340), config={"displayModeBar": False})


def dark() -> bool:
    """Whether the page is dark, for colours that a figure has to choose itself."""
    return st.context.theme.type == "dark"
