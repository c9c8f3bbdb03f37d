"""Which experts are there, where do they come from, and what do they answer?"""

from __future__ import annotations

import streamlit as st

from app.components import answers, build, context, deleted, expert_import, expert_panel, expert_table
from app.components.guard import empty, guarded

st.caption(
    "An expert is a small module, trained on one task, that the frozen foundation model borrows. Each is an ordinary "
    "PEFT checkpoint with a card that says where it comes from."
)
with guarded("The last deletion"):
    deleted.undo()
with guarded("The experts"):
    with st.spinner("Reading the experts’ cards …", show_time=False):
        entries = context.experts()
    expert_import.form(entries)
    train = st.expander(
        "Train experts of my tasks", icon=":material/model_training:", key="build_zoo", on_change="rerun",
        expanded=not entries,
    )  # fmt: skip
    if train.open:
        with train, guarded("What can be trained"):
            build.zoo()
    if entries:
        chosen = expert_table.choose(entries)
        if chosen is None:
            empty("No expert chosen", "Choose a row to see where an expert comes from, download it, and try it.",
                  icon=":material/ads_click:")  # fmt: skip
        else:
            # On a narrow page the questions go below the card.
            with st.container(key=expert_table.CARD):
                page = st.grid(5, min_column_width=196, gap="medium")
            card, trial = page.cell(column_span=2), page.cell(column_span=3)
            with card, guarded("This expert"):
                expert_panel.show(chosen)
            with trial, guarded("Trying it"):
                answers.try_it(chosen, entries)
    else:
        commands = [context.zoo().command(words) for words in ("zoo build", "experts train TASK")]
        empty("No experts yet", f"Train them above, with `{commands[0]}` or `{commands[1]}`, or import some.",
              icon=":material/inventory_2:")  # fmt: skip
with guarded("What was deleted"):
    deleted.listing()
