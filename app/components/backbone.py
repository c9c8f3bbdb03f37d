"""Which backbone the pages are about: a chooser above them, and what to do where its zoo has nothing to show yet."""

from __future__ import annotations

import streamlit as st

from app.components import backbone_cards, context
from app.components.guard import empty, guarded, plain
from app.components.links import linked_select, to
from app.components.pages import EXPERTS, GRAPH
from pituning.backbones.embedded import beyond
from pituning.backbones.offers import OFFERS
from pituning.workspace.layout import DEFAULT_BACKBONE

ABOUT = (
    "The foundation model without any expert. Experts, similarities, maps, runs and results belong to one, and the "
    "pages show those of the one that is chosen."
)


def heading(text: str, about: str | None = None) -> None:
    """The heading of a page, and in its row the chooser of the backbone that every page follows.

    Args:
        about: what stands behind its question mark.
    """
    backbone_cards.follow()
    # A sidebar for one choice would take a quarter of a laptop's window.
    row = st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small", key="page_title"
    )
    row.title(text, help=about, width="content")
    with row, guarded("The backbone"):
        _choose()


def _choose() -> None:
    """The chooser; beside it, what can be chosen and what can be added."""
    known = context.backbones()
    alone = known in ([], [DEFAULT_BACKBONE])
    bar = st.container(horizontal=True, vertical_alignment="center", gap="small", width="content", key="backbone_bar")
    bar.caption("Backbone", width="content", help=ABOUT)
    if alone:
        wanted = st.query_params.get(context.BACKBONE)
        bar.markdown(f"**{DEFAULT_BACKBONE}**", width="content")
        if wanted not in (None, DEFAULT_BACKBONE):
            st.warning(f"The address names the backbone “{plain(str(wanted))}”, which is not in this workspace.")
    else:
        with bar.container(width=230):
            linked_select(
                "Backbone", known, param=context.BACKBONE, format_func=_named, default=known[0],
                on_change=backbone_cards.leave, usual=DEFAULT_BACKBONE, hide_label=True,
            )  # fmt: skip
    compare = bar.button("Compare", key="backbone_others", icon=":material/neurology:",
                         help="What each backbone can and cannot do, and how to get another one.")  # fmt: skip
    if compare:
        backbone_cards.dialog()


def _named(name: str) -> str:
    offer = OFFERS.get(name)
    label = name if offer is None else f"{offer.label} ({offer.what})"
    return label if name in context.workspace().backbone_names() else f"{label} · not added"


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


def warn_beyond(source: str) -> None:
    """Says plainly where the backbone is not made for data of which nothing more is known yet, and what helps.

    Args:
        source: `Task.source`.
    """
    reason = beyond(context.backbone(), source)
    if reason is None:
        return
    known = context.workspace().backbone_names()
    ways = [
        f"{offer.label} for {offer.what}" + ("" if offer.name in known else f" (`{offer.add}`)")
        for offer in OFFERS.values() if offer.real
    ]  # fmt: skip
    st.warning(f"{plain(reason)}: {' or '.join(ways)}.", icon=":material/draw:", title="Not made for real data")
