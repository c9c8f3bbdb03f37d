"""Whose experts really helped whom, and did the similarity predict it?"""

from __future__ import annotations

import streamlit as st

from app.components import backbone, context, graph_view, lens, lowshot_view, measure, runs_data, transfer_view
from app.components.guard import guarded

st.caption(
    "Similarity only predicts transfer; here it is measured. A row of the matrix is a target, a column the donor whose "
    "expert it started from; in the graph an arrow leads from donor to target. Blue helped, orange did harm; empty "
    "cells are not measured."
)
with guarded("The measured transfer"):
    found = context.available()
    with graph_view.above():
        view = transfer_view.controls(found) if found else None
    if not found:
        backbone.no_graph()
    chosen: lens.Chosen = (None, None)
    if view is not None and view.graph is not None:
        chosen = transfer_view.on_graph(view)
    elif view is not None:
        matrix, pair = st.container(), st.container(key=transfer_view.PAIR)
        with pair:
            st.header("One pair", anchor=False)
            chosen = transfer_view.choose(view)
            with guarded("This pair"):
                transfer_view.pair(view, *chosen)
        with matrix:
            transfer_view.matrix(view, chosen)
    if view is not None:
        st.header("Predicted against measured", anchor=False)
        with guarded("The comparison"):
            transfer_view.prediction(view, found[view.shown.kind], chosen[0])
        st.header("Measure transfer between my tasks", anchor=False)
        with guarded("What can be measured"):
            measure.transfer(view.shown.kind)
st.header("Low-shot results", anchor=False)
with guarded("The low-shot study"):
    lowshot_view.study()
st.header("Low-shot runs of this workspace", anchor=False)
with guarded("The low-shot results"):
    transfer_view.results(runs_data.of_backbone(kind="tune", states=("succeeded",)))
