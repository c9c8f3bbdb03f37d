"""Which backbone the pages are about: a chooser above them, and what to do where its zoo has nothing to show yet."""

from __future__ import annotations

import streamlit as st

from app.components import context
from app.components.guard import empty, plain
from app.components.links import linked_select, to
from app.components.pages import EXPERTS, GRAPH
from pituning.backbones.embedded import ADD, REAL, beyond
from pituning.workspace.layout import DEFAULT_BACKBONE

OF_ONE = ("expert", "answers", "run", "compare")
"""What addresses name that belongs to one backbone."""

ABOUT = (
    "The foundation model without any expert. Experts, similarities, maps, runs and results belong to one, and the "
    "pages show those of the one that is chosen."
)


def choose() -> None:
    """The chooser, where there is anything to choose or to know; every page follows it."""
    known = context.backbones()
    if known in ([], [DEFAULT_BACKBONE]):
        wanted = st.query_params.get(context.BACKBONE)
        if wanted not in (None, DEFAULT_BACKBONE):
            st.warning(f"The address names the backbone “{plain(str(wanted))}”, which is not in this workspace.")
        return
    # Above the page, or beside its title (frame.css): a sidebar for one choice would take a quarter of a laptop's
    # window.
    bar = st.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small", key="backbone_bar"
    )
    bar.caption("Backbone", width="content", help=ABOUT)
    with bar.container(width=230):
        linked_select(
            "Backbone", known, param=context.BACKBONE, format_func=str, default=known[0], on_change=_leave,
            usual=DEFAULT_BACKBONE, hide_label=True,
        )  # fmt: skip


def no_graph() -> None:
    """What stands where a task graph would be."""
    zoo = context.zoo()
    command = zoo.how_to_graph()
    does = "trains them all" if "build" in command else "compares those that are there"
    made_of = f"It is made of the experts of your tasks: `{command}` {does}."
    title = "No task graph yet" if zoo.backbone == DEFAULT_BACKBONE else f"No task graph of {plain(zoo.backbone)} yet"
    empty(title, made_of, icon=GRAPH.icon)
    if context.backbone_ready():
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.page_link(EXPERTS.path, label="Train experts of your tasks", icon=EXPERTS.icon, query_params=to())


def _leave() -> None:
    """What the address names on the backbone of before is left behind."""
    for param in OF_ONE:
        st.query_params.pop(param, None)


def warn_beyond(source: str) -> None:
    """Says plainly where the backbone is not made for a task, and what helps.

    Args:
        source: `Task.source`.
    """
    reason = beyond(context.backbone(), source)
    if reason is None:
        return
    ready = REAL in context.backbones()
    how = f"choose {REAL} as the backbone" if ready else f"add one with `{ADD}`, then choose it as the backbone"
    st.warning(f"{plain(reason)}: {how}.", icon=":material/draw:", title="Not made for real data")
