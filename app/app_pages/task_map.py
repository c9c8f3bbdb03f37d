"""Where do the tasks lie, and how far is such a map to be trusted?"""

from __future__ import annotations

import streamlit as st

from app.components import backbone, context, map_view
from app.components.guard import guarded

st.caption(
    "Every task is a point, and near points are tasks that are alike. Two dimensions cannot hold all of "
    "it: each method says how far to trust it."
)
with guarded("The map"):
    available = context.available()
    if available:
        view = map_view.controls(available)
        made = map_view.find(view)
        if made is not None:
            map_view.draw(view, made)
    else:
        backbone.no_graph()
