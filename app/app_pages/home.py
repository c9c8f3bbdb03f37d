"""What does this workspace hold, and where do I go from here?"""

from __future__ import annotations

import streamlit as st

from app.components import backbone, context, graph_view, run_list, runs_data, showcase_view, tour
from app.components.guard import empty, guarded, plain
from app.components.links import to
from app.components.pages import GRAPH, NEW_RUN, PRESENT, RUNS
from app.components.target import SOURCES

LAST_RUNS = 5

st.markdown(
    "A new task with a handful of examples rarely stands alone. The Studio shows which tasks are alike, across images "
    "and language, lends your task the experts of its nearest relatives, and tells honestly whether that helped."
)
page = st.grid(4, min_column_width=230, gap="large")  # on a narrow page the doors go below the graph
hero, aside = page.cell(column_span=3), page.cell()
with hero, guarded("The task graph"):
    if context.available():
        clicked = graph_view.hero()
        if clicked is not None:
            st.switch_page(GRAPH.path, query_params=to(task=clicked))
    else:
        backbone.no_graph()
        st.caption("Or import a table of similarities on the page of the task graph.")
with aside:
    with guarded("This workspace"), st.container(border=True, gap="small"):
        everything = context.tasks().values()
        st.markdown("**In this workspace**")
        with st.grid(2, gap="small", min_column_width=90):
            st.metric("Tasks", len(everything), help="Those of the embedded suite and those that were uploaded here.")
            st.metric("Your own", sum(info.source != "mini" for info in everything), help="Tasks made from your files.")
            st.metric("Experts", context.expert_count(), help="Small trained modules, of all kinds.")
            runs = runs_data.queue().counts(backbone=context.backbone())
            st.metric("Runs", sum(runs.values()), help="Waiting, running and finished.")
    for name, reason in context.damaged().items():
        st.warning(plain(reason), title=f"The task “{plain(name)}” cannot be used", icon=":material/broken_image:")
    doors = (
        ("graph", GRAPH, "Explore the task graph"),
        ("run", NEW_RUN, "Start a run"),
        ("present", PRESENT, "Show it to others"),
    )
    for name, leads_to, words in doors:
        if st.button(
            words, icon=leads_to.icon, type="primary" if leads_to is GRAPH else "secondary", width="stretch",
            key=f"door_{name}", help=leads_to.help,
        ):  # fmt: skip
            st.switch_page(leads_to.path, query_params=to())
    if st.button("Upload a table of your own", icon=":material/upload_file:", type="tertiary", key="door_file"):
        st.switch_page(NEW_RUN.path, query_params=to(source=SOURCES["file"]))
    with guarded("The tour"):
        tour.offer()


with guarded("The two targets"):
    showcase_view.show()


def open_run(run_id: str) -> None:
    st.session_state["home_open_run"] = run_id


with guarded("The last runs"):
    st.header("Last runs")
    last = runs_data.of_backbone(without="answer", limit=LAST_RUNS)
    if last:
        run_list.table(last, chosen=None, on_open=open_run, key="home-runs")
        chosen = st.session_state.pop("home_open_run", None)
        if chosen is not None:
            st.switch_page(RUNS.path, query_params=to(run=chosen))
    else:
        empty("No runs yet", "Choose a target in the task graph, or start from a file of your own.",
              icon=":material/monitoring:")  # fmt: skip
