"""A page's own values on the places of the task graph: a lens on the one canvas that all pages share."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app.components import graph_view
from app.components.graph_shown import GraphView
from app.components.guard import guarded
from app.components.links import one_of
from app.components.words import Word

SHOWN = {
    "matrix": Word("Matrix", "A cell for each pair."),
    "graph": Word("Graph", "The same values as lines between tasks that stand where the task graph has them."),
}
Chosen = tuple[str | None, str | None]


def choose() -> bool:
    """Whether the values are shown on the graph rather than as a matrix."""
    return one_of("Shown as", SHOWN, key="shown") == "graph"


def show(view: GraphView, choose_pair: Callable[[], Chosen], panel: Callable[[str | None, str | None], None]) -> Chosen:
    """The canvas, with what is known of the chosen task or pair beside it; and which that is.

    Args:
        choose_pair: draws the controls that name the two, which a click sets as well.
        panel: draws what is known of them.
    """
    with st.container(key="lens"):  # there is more above it than above the task graph (frame.css)
        chart, beside = graph_view.canvas()
    with beside:
        chosen = choose_pair()
        with guarded("This task"):
            panel(*chosen)
    with chart:
        graph_view.draw(view, *chosen)
    return chosen
