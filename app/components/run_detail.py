"""One run: where it is, what can be done with it, what it has measured so far, and its log."""

from __future__ import annotations

import json

import streamlit as st

from app.components import access, deleted, run_curves, run_queue, run_results, run_stages, runs_data
from app.components.guard import empty, guarded, plain, say
from app.components.words import FAILURES, duration
from pituning.errors import PiTuningError
from pituning.runs import removal
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.records import Run
from pituning.runs.roles import Role
from pituning.text import MOST_IN_MESSAGE


def show(run: Run) -> None:
    """The whole run; redrawn every two seconds while it is active."""
    _heading(run)
    if run.damage is not None:
        st.error(plain(run.damage[:1].upper() + run.damage[1:]), title="This run cannot be read",
                 icon=":material/broken_image:")  # fmt: skip
        return
    if run.active:
        _progress(run)
    elif run.state == "failed":
        _failure(run)
    elif run.state == "cancelled":
        st.warning("It was stopped before it was done. Resume goes on where it stopped, retry starts afresh.",
                   icon=":material/cancel:")  # fmt: skip
    with guarded("The stages of this run"):
        run_stages.show(run)
    with guarded("The result of this run"):
        if run.state == "succeeded":
            run_results.show(run)
        else:
            run_results.show_so_far(run)
    _measured(run)


def _failure(run: Run) -> None:
    """What went wrong, and what to do about it."""
    error = run.error or "The run ended without a reason; see its log."
    fix = f"\n\nWhat helps: {plain(run.fix, MOST_IN_MESSAGE)}" if run.fix else ""
    st.error(
        plain(error, MOST_IN_MESSAGE) + fix,
        title=FAILURES.get(run.failure or "", "This run failed"),
        icon=":material/error:",
    )


def _heading(run: Run) -> None:
    title, actions = st.columns([3, 2], vertical_alignment="center")
    with title:
        st.header(plain(runs_data.title(run)))
        elapsed = run.elapsed()
        took = f" · took {duration(elapsed)}" if run.finished and elapsed is not None else ""
        attempt = f" · attempt {run.attempt}" if run.attempt > 1 else ""
        attempt += f" · {plain(run.slot)}" if run.state == "running" and run.slot else ""
        age = run_stages.updated(run)
        attempt += f" · {age}" if age else ""
        queued_by = f" · queued by {plain(run.submitted_by)}" if run.submitted_by else ""
        began = runs_data.when(run.started or run.created)
        st.markdown(f"{runs_data.state_text(run)} :gray[· {began}{took}{attempt}{queued_by}]")
    with actions, st.container(horizontal=True, horizontal_alignment="right"):
        _actions(run)


def _actions(run: Run) -> None:
    if run.state == "queued":
        run_queue.place(run)
    if run.active:
        access.button(
            "Cancel", icon=":material/stop_circle:", key="run_cancel", disabled=run.cancel_requested,
            on_click=run_queue.ask, args=("cancel", run.id),
            help="Stops at the next step. What it has measured stays, and it can be resumed.",
        )  # fmt: skip
    if run.state in ("failed", "cancelled") and run.damage is None:
        access.button(
            "Resume", icon=":material/play_arrow:", key="run_resume", type="primary", on_click=run_queue.ask,
            args=("resume", run.id), help="Goes on where it stopped.",
        )  # fmt: skip
        access.button(
            "Retry", icon=":material/replay:", key="run_retry", on_click=run_queue.ask, args=("retry", run.id),
            help="Starts again from the very beginning.",
        )  # fmt: skip
    if run.kind != "answer" and run.understood:
        run_queue.duplicate(run)
        if run.state == "succeeded" and run.spec.record.grows == "baselines":
            run_queue.grow(run)
    if not run.active:
        _delete(run)
    if run.state == "succeeded":
        with guarded("The download"):
            result = runs_data.result(run)
            if result is not None:
                st.download_button(
                    "Result as JSON", json.dumps(result, indent=1), file_name=f"{run.id}.json", mime="application/json",
                    icon=":material/download:", key="run_download", on_click="ignore",
                )  # fmt: skip


def _delete(run: Run) -> None:
    """A button that asks once more; its key closes it for the next run."""
    with access.popover("Delete", role=Role.ADMIN, icon=":material/delete:", key=f"run_delete_ask_{run.id}"):
        expert = removal.expert_of(runs_data.queue(), run)
        also = f" and its expert “{plain(expert.name)}”" if expert is not None else ""
        st.markdown(
            f"This run’s result, curves and log{also} go into the bin and can be restored for {deleted.days()}."
        )
        st.button("Delete it", icon=":material/delete:", type="primary", key="run_delete",
                  on_click=_delete_now, args=(run.id,))  # fmt: skip


def _delete_now(run_id: str) -> None:
    try:
        deleted.remember(removal.delete_run(runs_data.queue(), run_id).entry)
        st.query_params.pop("run", None)
    except PiTuningError as error:
        say("That did not work", error)


def _progress(run: Run) -> None:
    fraction = run.fraction()
    st.progress(0.0 if fraction is None else min(1.0, fraction), text=plain(runs_data.progress_text(run)))


def _measured(run: Run) -> None:
    """Curves, weights, log and settings, one at a time."""
    record = RUN_KINDS.get(run.kind)
    learns = record is None or record.curves
    views = ["Curves", "Donor weights", "Log", "Settings"] if learns else ["Log", "Settings"]
    if run.state == "succeeded" and learns:
        views.insert(2, "Predictions")
    key = "run_view" if learns else "plain_view"
    view = st.segmented_control(
        "Show",
        views,
        default=views[0],
        required=True,
        key=key,
        label_visibility="collapsed",
    )
    with guarded("This part of the run"):
        if view == "Donor weights":
            run_curves.weights(run)
        elif view == "Predictions":
            run_results.predictions(run)
        elif view == "Log":
            _log(run)
        elif view == "Settings":
            _settings(run)
        else:
            run_curves.curves(run)


def _log(run: Run) -> None:
    events = runs_data.queue().events_of(run.id)
    text = runs_data.log_tail(run)
    if events:
        st.caption(" · ".join(plain(event.message, MOST_IN_MESSAGE) for event in events[-4:]))
    if text:
        st.code(text, language=None, height=340, wrap_lines=True)
    elif not events:
        empty("No log yet", "Lines appear here once the run has begun.", icon=":material/article:")


def _settings(run: Run) -> None:
    st.markdown("The same run from a terminal:")
    st.code(run.spec.command(), language=None, wrap_lines=True)
    st.caption("Exactly what this run was started with:")
    st.json(dict(run.spec.config), expanded=True)
