"""Draws what `pituning.figures` makes, the same way everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
from plotly.graph_objects import Figure

from app.components import pictures, pin

INK = {False: "#46535f", True: "#c3ccd5"}
"""Of axes and numbers, by whether the page is dark: Streamlit's own grey is too faint for small letters on white."""


Pinned = tuple[str, Mapping[str, Any]]
"""A view of stories and its settings."""

MATRIX_WIDTH = 1400
"""Pixels; on a wider screen the cells of a matrix would be bars."""


def draw(
    figure: Figure, *, key: str, alt: str, stem: str | None = None, savable: bool = True, pinned: Pinned | None = None
) -> None:
    """A figure at the height it asks for, with buttons to save it.

    Args:
        key: keeps its zoom over reruns.
        alt: what a screen reader says.
        stem: of the files it is saved as; by default the key.
        savable: whether there are such buttons.
        pinned: what a pin sends to a story, where there is such a view.
    """
    _ink(figure)
    with st.container(gap=None):
        st.plotly_chart(
            figure, key=key, alt=alt, height=int(figure.layout.height or 340), config={"displayModeBar": False}
        )
        below(key, alt=alt, stem=stem, savable=savable, pinned=pinned)


def below(
    key: str, *, alt: str, stem: str | None = None, savable: bool = True, svg: bool = True, pinned: Pinned | None = None
) -> None:
    """The row under a chart: a pin, and buttons to save it.

    Args:
        key: of the chart.
        alt, stem, svg: as of `pictures.save`.
        savable, pinned: as of `draw`.
    """
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall"):
        if pinned is not None:
            pin.button(*pinned, key=key)
        if savable:
            pictures.save(key, alt=alt, stem=stem, svg=svg)


def _ink(figure: Figure) -> None:
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(tickfont_color=INK[dark()], title_font_color=INK[dark()])
    figure.update_traces(textfont_color=INK[dark()], selector={"mode": "text"})
    figure.update_traces(textfont_color=INK[dark()], selector={"mode": "markers+text"})
    figure.update_traces(
        colorbar_tickfont_color=INK[dark()], colorbar_title_font_color=INK[dark()], selector={"type": "heatmap"}
    )
    figure.update_layout(hoverlabel_font_color=INK[dark()])


def draw_to_choose(
    figure: Figure,
    *,
    key: str,
    alt: str,
    on_choice: Callable[[list[dict[str, Any]]], None],
    lasso: bool = False,
    pinned: Pinned | None = None,
) -> None:
    """A figure whose points can be clicked, or circled with a lasso; ``on_choice`` is a callback for what was chosen.

    The chart forgets a choice whenever the figure changes, so nothing chosen is not told: keep what was told.
    """

    def chosen() -> None:
        points = st.session_state[key]["selection"]["points"]
        if points:
            on_choice([dict(point) for point in points])

    _ink(figure)
    with st.container(gap=None):
        st.plotly_chart(
            figure, key=key, alt=alt, height=int(figure.layout.height or 340), on_select=chosen,
            selection_mode=("points", "box", "lasso") if lasso else "points",
            config={
                "displayModeBar": lasso,
                "displaylogo": False,
                "scrollZoom": False,
                "modeBarButtonsToRemove": ["toImage", "zoomIn2d", "zoomOut2d", "autoScale2d", "zoom2d"],
            },
        )  # fmt: skip
        below(key, alt=alt, pinned=pinned)


def dark() -> bool:
    """Whether the page is dark, for colours that a figure has to choose itself."""
    return st.context.theme.type == "dark"
