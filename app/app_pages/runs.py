"""What is running, what has run, and what came of it?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import (
    access,
    context,
    deleted,
    run_compare,
    run_detail,
    run_list,
    run_queue,
    run_settings,
    runs_data,
    window,
)
from app.components.guard import empty, guarded
from app.components.links import to
from app.components.pages import NEW_RUN, RUNS
from pituning.errors import BadInput
from pituning.runs.records import ACTIVE, Run

EVERY_SECONDS = 2
NOTICED = 50  # newest runs of whose end the browser can tell
AT_ONCE = 200  # runs in the table, and as many more with each click


def choose(run_id: str) -> None:
    st.query_params["run"] = run_id


def anything_active() -> bool:
    """Whether a run waits or is under way, also one that is too old for the list."""
    counts = runs_data.queue().counts()
    return any(counts.get(state) for state in ACTIVE)


def of_batch(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs of the batch that is chosen, every one of them, or those that were given."""
    batches = runs_data.queue().batches(backbone=context.backbone())
    if not batches:
        return runs
    with st.container(horizontal=True, vertical_alignment="bottom"):
        batch = st.selectbox("Batch", batches, index=None, placeholder="All runs", key="runs_batch", width=320)
        if batch is None:
            return runs
        chosen = runs_data.of_backbone(batch=batch)
        if any(run.active for run in chosen):
            access.button("Cancel the batch", icon=":material/stop_circle:", key="batch_cancel",
                          on_click=run_queue.cancel_batch, args=(batch,))  # fmt: skip
    return chosen


def wanted(runs: Sequence[Run], everything: bool) -> Run | None:
    """The run that the address names, also one that is too old for the list; else the newest."""
    name = st.query_params.get("run")
    wanted_run = next((run for run in runs if run.id == name), None)
    if wanted_run is None and name and everything:
        try:
            return runs_data.queue().get(name)
        except BadInput:
            st.warning("The run that this address names is not in this workspace; here is the newest one.")
    return wanted_run or next(iter(runs), None)


def newest() -> tuple[Sequence[Run], int]:
    """The newest runs, and how many there are in all. Those that only answered a question are left out unless they are
    asked for."""
    queue, backbone = runs_data.queue(), context.backbone()
    answers = queue.count(kind="answer", backbone=backbone)
    without: str | None = "answer"
    if answers and st.toggle(
        f"Show answers ({answers:,})", key="runs_answers", help="Questions that experts were asked."
    ):
        without = None
    limit = st.session_state.get("runs_listed", AT_ONCE)
    runs = runs_data.of_backbone(without=without, limit=limit)
    return runs, queue.count(without=without, backbone=backbone)


def left_out(listed: int, total: int) -> None:
    """Says below a table that it is cut, and offers more."""
    if total <= listed:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"The newest {listed:,} of {total:,} runs are listed.", width="content")
        st.button(f"List {min(AT_ONCE, total - listed):,} more", icon=":material/expand_more:", key="runs_more",
                  type="tertiary", on_click=list_more)  # fmt: skip


def opened(run: Run) -> str:
    """What the window's title says of a run: how far it is, and what it is about."""
    fraction = run.fraction() if run.state == "running" else None
    return " · ".join(
        part for part in (f"{fraction:.0%}" if fraction is not None else "", runs_data.title(run)) if part
    )


def list_more() -> None:
    st.session_state["runs_listed"] = st.session_state.get("runs_listed", AT_ONCE) + AT_ONCE


def monitor() -> None:
    """The queue and the chosen run, or several runs side by side; redrawn on a timer while something is active."""
    with guarded("The last deletion"):
        deleted.undo()
    with guarded("The queue"):
        everything, total = newest()
        runs = of_batch(everything)
        chosen = wanted(runs, runs is everything)
        if chosen is None:
            empty("No runs yet", "A run takes a few labelled examples of a task and asks whose experts help.",
                  icon=":material/monitoring:")  # fmt: skip
            st.page_link(NEW_RUN.path, label="Start the first run", icon=":material/add_circle:", query_params=to())
            return
        run_queue.banner()
        window.notices(runs[:NOTICED])
        if run_compare.switched_on(chosen):
            run_list.table_of_several(runs, chosen=run_compare.wanted(), on_choice=run_compare.choose, key="runs-table")
            left_out(len(runs), total if runs is everything else len(runs))
            if run_compare.whole_list():
                with guarded("The settings of all runs"):
                    run_settings.show(runs)
            else:
                run_compare.show([*everything, *(run for run in runs if run not in everything)])
        else:
            run_list.table(runs, chosen=chosen.id, on_open=choose, key="runs-table")
            left_out(len(runs), total if runs is everything else len(runs))
            run_detail.show(chosen)
            window.title(RUNS.title, opened(chosen))
        if st.session_state.get("runs_were_active") and not anything_active():
            st.session_state["runs_were_active"] = False
            st.rerun()  # the whole page once more, without the timer


def page() -> None:
    """What is redrawn, also when something is deleted or comes back."""
    monitor()
    with guarded("What was deleted"):
        deleted.listing()


with guarded("The queue"):
    active = anything_active()
    st.session_state["runs_were_active"] = active
    if active:
        with guarded("The workers"):
            runs_data.wake()
    st.fragment(page, run_every=EVERY_SECONDS if active else None)()
