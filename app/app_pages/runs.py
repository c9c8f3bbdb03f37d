"""What is running, what has run, and what came of it?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import access, run_compare, run_detail, run_list, run_queue, runs_data
from app.components.guard import empty, guarded
from app.components.links import to
from app.components.pages import NEW_RUN
from pituning.errors import BadInput
from pituning.runs.records import ACTIVE, Run

EVERY_SECONDS = 2


def choose(run_id: str) -> None:
    st.query_params["run"] = run_id


def anything_active() -> bool:
    """Whether a run waits or is under way, also one that is too old for the list."""
    counts = runs_data.queue().counts()
    return any(counts.get(state) for state in ACTIVE)


def of_batch(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs of the batch that is chosen, or all."""
    batches = list(dict.fromkeys(run.batch for run in runs if run.batch))
    if not batches:
        return runs
    with st.container(horizontal=True, vertical_alignment="bottom"):
        batch = st.selectbox("Batch", batches, index=None, placeholder="All runs", key="runs_batch", width=320)
        if batch is None:
            return runs
        chosen = [run for run in runs if run.batch == batch]
        if any(run.active for run in chosen):
            access.button("Cancel the batch", icon=":material/stop_circle:", key="batch_cancel",
                          on_click=run_queue.cancel_batch, args=(batch,))  # fmt: skip
    return chosen


def wanted(runs: Sequence[Run], everything: bool) -> Run:
    """The run that the address names, also one that is too old for the list; else the newest."""
    name = st.query_params.get("run")
    wanted_run = next((run for run in runs if run.id == name), None)
    if wanted_run is None and name and everything:
        try:
            return runs_data.queue().get(name)
        except BadInput:
            st.warning("The run that this address names is not in this workspace; here is the newest one.")
    return wanted_run or runs[0]


def without_answers(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs without those that only answered a question, unless they are asked for or the address names one."""
    answers = sum(run.kind == "answer" for run in runs)
    if not answers:
        return runs
    if st.toggle(f"Show answers ({answers})", key="runs_answers", help="Questions that experts were asked."):
        return runs
    return [run for run in runs if run.kind != "answer" or run.id == st.query_params.get("run")]


def monitor() -> None:
    """The queue and the chosen run, or several runs side by side; redrawn on a timer while something is active."""
    with guarded("The queue"):
        everything = without_answers(runs_data.of_backbone(limit=200))
        if not everything:
            empty("No runs yet", "A run takes a few labelled examples of a task and asks whose experts help.",
                  icon=":material/monitoring:")  # fmt: skip
            st.page_link(NEW_RUN.path, label="Start the first run", icon=":material/add_circle:", query_params=to())
            return
        run_queue.banner()
        runs = of_batch(everything)
        chosen = wanted(runs, len(runs) == len(everything))
        if run_compare.switched_on(chosen):
            run_list.table_of_several(runs, chosen=run_compare.wanted(), on_choice=run_compare.choose, key="runs-table")
            run_compare.show(everything)
        else:
            run_list.table(runs, chosen=chosen.id, on_open=choose, key="runs-table")
            run_detail.show(chosen, runs)
        if st.session_state.get("runs_were_active") and not anything_active():
            st.session_state["runs_were_active"] = False
            st.rerun()  # the whole page once more, without the timer


st.title("Runs")
with guarded("The queue"):
    active = anything_active()
    st.session_state["runs_were_active"] = active
    if active:
        with guarded("The workers"):
            runs_data.wake()
    st.fragment(monitor, run_every=EVERY_SECONDS if active else None)()
