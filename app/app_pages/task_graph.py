"""Which tasks are alike, across modalities, and how sure is that?"""

from __future__ import annotations

import streamlit as st

from app.components import context, graph_view, task_panel
from app.components.guard import empty, guarded

st.title("Task graph")
st.caption(
    "Each point is a task; a line joins tasks whose embeddings are alike. A task embedding is the Fisher information "
    "of a small expert: what the foundation model had to attend to, to solve the task."
)
with guarded("The task graph"):
    found = context.require_graph()
    view = graph_view.controls(found)
    # On a narrow page the panel goes below the graph instead of squeezing it.
    page = st.grid(5, min_column_width=196, gap="medium")
    chart, panel = page.cell(column_span=3), page.cell(column_span=2)
    with panel:
        graph_view.finder()
        name = graph_view.selected()
        if name is None:
            empty(
                "No task chosen",
                "Click a point of the graph, or find a task by name, to see its examples and its neighbours.",
                icon=":material/ads_click:",
            )
        else:
            info = context.tasks()[name]
            task_panel.heading(info)
            task_panel.use_as_target(name)
            task_panel.neighbours(name, view.near(name), graph_view.titles(), on_open=graph_view.open_neighbour)
            task_panel.about(info)
    with chart:
        graph_view.draw(view)
