"""The form of a new run: task, shots, donors and baselines, with a summary of what it will do."""

from __future__ import annotations

import streamlit as st

from app.components import backbone_cards, budget, context, donors, launch, target
from app.components.guard import empty, guarded

st.caption("A handful of examples, the experts of similar tasks, compared with honest baselines.")
page = st.grid(4, min_column_width=250, gap="medium")  # on a narrow page the summary goes below the form
form, summary = page.cell(column_span=3), page.cell()
chosen_target = settings = None
with form, guarded("This form"):
    st.header("1 · Task", anchor=False)
    chosen_target = target.choose()
    if chosen_target is not None:
        st.header("2 · Shots and expert kind", anchor=False)
        wanted = budget.choose(chosen_target)
        st.header("3 · Donors", anchor=False)
        helpers = donors.choose(chosen_target, wanted.kind, wanted.shots)
        st.header("4 · Baselines", anchor=False)
        methods = budget.baselines(wanted)
        details = budget.details(wanted, chosen_target)
        if helpers is not None and details is not None:
            settings = budget.settings(chosen_target, wanted, helpers, methods, details)
with summary, guarded("This run"), st.container(border=True):
    if not context.backbone_ready():
        backbone_cards.not_here()
    elif chosen_target is None:
        empty("No task yet", "Choose or upload one; what the run will do is then written here.",
              icon=":material/pending:", border=False)  # fmt: skip
    elif settings is None:
        empty("Not ready", "Something in the form is missing or cannot be used.", icon=":material/edit:", border=False)
    else:
        launch.panel(chosen_target, settings, wanted.seeds, methods)
