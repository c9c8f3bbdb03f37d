"""Draws what `pituning.figures` makes, the same way everywhere."""

from __future__ import annotations

import streamlit as st
from plotly.graph_objects import Figure


def draw(figure: Figure, *, key: str, alt: str) -> None:
    """A figure at the height it asks for. ``key`` keeps its zoom over reruns, ``alt`` is what a screen reader says."""
    st.plotly_chart(figure, key=key, alt=alt, height=int(figure.layout.height or 340), config={"displayModeBar": False})


def dark() -> bool:
    """Whether the page is dark, for colours that a figure has to choose itself."""
    return st.context.theme.type == "dark"
