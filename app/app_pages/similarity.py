"""How alike are any two tasks, and does it depend on how that is measured?"""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.components import backbone, context, graph_view, lens, matrix_view, nearest_view, pair_panel, zoo_panel
from app.components.guard import guarded
from app.components.source import SparseSource

st.caption(
    "Each cell, or line, says how alike two tasks are: how far the foundation model had to attend to the same things "
    "to solve them. Put a second way of measuring beside it to see what the answer depends on."
)
with guarded("The similarity matrix"):
    available = context.available()
    if available:
        with graph_view.above():
            view = matrix_view.controls(available)
            whole = view if isinstance(view, SparseSource) else view.whole
            drawn = nearest_view.graph(view) if isinstance(view, SparseSource) else view.graph
        if drawn is not None:
            known = partial(graph_view.finder, graph_view.titles())
            lens.show(drawn, known, partial(zoo_panel.show, drawn, whole, available[whole.kind]))
        if isinstance(view, SparseSource):
            if drawn is None:
                nearest_view.show(view)
        elif drawn is not None:
            matrix_view.agreement(view)
        else:
            matrix, agreement, pair = st.container(), st.container(), st.container(key=matrix_view.PAIR)
            with pair:
                st.header("One pair", anchor=False)
                chosen = pair_panel.choose(view.whole)
                with guarded("This pair"):
                    pair_panel.show(view.whole, available[view.whole.kind], *chosen)
            with matrix:
                matrix_view.draw(view, chosen)
            with agreement:
                matrix_view.agreement(view)
    else:
        backbone.no_graph()
