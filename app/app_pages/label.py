"""What does an expert say of rows that nobody has labelled yet?"""

from __future__ import annotations

import streamlit as st

from app.components import context, labelling, labelling_result
from app.components.guard import empty, guarded, plain
from app.components.links import to
from app.components.pages import NEW_RUN

st.caption(
    "Upload rows without labels. An expert answers each and says how sure it is: the least sure come first, to check "
    "them by hand."
)
with guarded("The experts"):
    entries = context.experts()
    usable = labelling.usable(entries)
    broken = next((one.problem for one in entries if one.problem is not None), None)
    if not usable and broken is not None:
        st.warning(plain(f"No expert can be used: {broken}"), icon=":material/broken_image:")
    elif not usable:
        build = context.zoo().command("zoo build")
        empty("No experts yet", f"Tune a task first, or make the zoo with `{build}`.", icon=":material/inventory_2:")
        st.page_link(NEW_RUN.path, label="Tune a task", icon=NEW_RUN.icon, query_params=to())
    else:
        page = st.grid(5, min_column_width=196, gap="medium")
        form, measured = page.cell(column_span=3), page.cell(column_span=2)
        with form, guarded("This form"):
            chosen = labelling.form(usable)
        with measured, guarded("How sure it is"):
            if chosen is not None:
                labelling.how_sure(chosen)
        with guarded("The labels"):
            labelling_result.follow()
