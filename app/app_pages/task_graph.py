"""Which tasks are alike, across modalities, and how sure is that?"""

from __future__ import annotations

import streamlit as st

from app.components import affinity_view, backbone, context, deleted, graph_controls, graph_view, zoo_panel
from app.components.guard import guarded

ABOUT = (
    "Each point is a task; a line joins tasks whose embeddings are alike. A task embedding is the Fisher information "
    "of a small expert: what the foundation model had to attend to, to solve the task."
)

about = st.container()
with guarded("The last deletion"):
    deleted.undo()
with guarded("The task graph"):
    with graph_view.above():
        outside = affinity_view.choose()
        about.caption(ABOUT if outside is None else affinity_view.ABOUT)
        available = context.available() if outside is None else {}
        if outside is None and not available:
            affinity_view.upload_first()
            backbone.no_graph()
        elif outside is None:
            view, whole = graph_controls.zoo(available, more=affinity_view.upload_first)
            known = graph_view.titles()
        else:
            table = affinity_view.load(outside)
            view = affinity_view.controls(outside, table)
            known = {info.name: info.title for info in affinity_view.infos(table.names)}
    if outside is not None or available:
        # On a narrow page the panel goes below the graph instead of squeezing it.
        page = st.grid(5, min_column_width=196, gap="medium")
        chart, panel = page.cell(column_span=3), page.cell(column_span=2)
        with panel:
            task, other = graph_view.finder(known)
            with guarded("This task"):
                if outside is None:
                    zoo_panel.show(view, whole, available[whole.kind], task, other)
                else:
                    affinity_view.panel(table, task, other)
        with chart:
            graph_view.draw(view, task, other)
        if outside is None:
            with panel, guarded("This task"):
                zoo_panel.more(whole, task, other)
