"""The communities of the graph as a list: what each is called, its tasks, and a way to pick them out."""

from __future__ import annotations

from collections import defaultdict

import streamlit as st

from app.components.graph_shown import GraphView
from app.components.guard import plain
from app.components.links import choose_tasks
from pituning.graph.layout import CROWD
from pituning.graph.newcomers import is_own

ABOUT = "Groups with more similarity inside than outside (Louvain), named by what their tasks share."
SHOWN = 12
"""The largest; those are outlined, too."""


def show(view: GraphView) -> None:
    """The communities of at least two tasks; nothing where tasks are too many to be picked out by name."""
    graph = view.graph()
    members: dict[str, list[str]] = defaultdict(list)
    for name, data in sorted(graph.nodes(data=True), key=lambda node: int(node[1]["community"])):
        if data["community_name"] and not is_own(data):
            members[data["community_name"]].append(name)
    if not members or len(graph) > CROWD:
        return
    st.markdown("**Communities**", help=f"{ABOUT} Click one to pick its tasks out on all pages.")
    with st.container(gap="xsmall"):
        for number, (called, names) in enumerate(list(members.items())[:SHOWN]):
            with st.container(gap=None):
                st.button(f"{plain(called)} :gray[· {len(names)} tasks]", key=f"community_{number}", type="tertiary",
                          on_click=choose_tasks, args=(names,))  # fmt: skip
                st.caption(plain(", ".join(graph.nodes[name]["title"] for name in names)))
