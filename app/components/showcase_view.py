"""Two targets to begin with: one about which the method has something to say, and one where it says that it has not."""

from __future__ import annotations

import streamlit as st

from app.components import context
from app.components.guard import plain
from app.components.links import to
from app.components.pages import GRAPH, NEW_RUN
from pituning.studies.showcase import SHOTS, Showcase


def show() -> None:
    """The two side by side; nothing where nothing was measured."""
    helped, not_helped = context.showcase_targets()
    if helped is None and not_helped is None:
        return
    st.header("Targets to try")
    with st.grid(2, min_column_width=320, gap="medium"):
        if helped is not None:
            _card(
                helped, icon=":material/thumb_up:",
                says="Relatives help: their experts are worth more than random ones of the same size.",
            )  # fmt: skip
        if not_helped is not None:
            _card(
                not_helped, icon=":material/do_not_disturb_on:",
                says="Nobody’s expert helps, and the verdict says so: random parameters or none do as well.",
            )  # fmt: skip


def _card(shown: Showcase, *, icon: str, says: str) -> None:
    title = plain(context.tasks()[shown.target].title)
    with st.container(border=True, height="stretch", gap="small"):
        st.markdown(f"**{icon} {title}**")
        st.markdown(says)
        st.caption(
            f"{SHOTS} shots, means of the study’s seeds: {shown.tuned:.1f} by π-tuning, {shown.alone:.1f} by a new "
            f"expert alone, {shown.placebo:.1f} with placebos."
        )
        with st.container(horizontal=True, gap="medium"):
            st.page_link(GRAPH.path, label="Its relatives", icon=GRAPH.icon, query_params=to(task=shown.target))
            st.page_link(NEW_RUN.path, label="Start a run", icon=NEW_RUN.icon, query_params=to(target=shown.target))
