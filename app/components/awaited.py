"""A run that somebody waits for below the form that started it: how far it is, then what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from app.components import access, run_queue, runs_data
from app.components.guard import guarded, plain
from app.components.words import FAILURES
from pituning.errors import BadInput
from pituning.runs.records import Run
from pituning.text import MOST_IN_MESSAGE

EVERY_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """What is told of such a run.

    Args:
        key: opens the keys of its buttons.
        what: what it makes, as the subject of a sentence.
        none: the title where it failed.
        meanwhile: what is said while it is at work.
        stopped: what is said where it was cancelled.
        resumes: whether a cancelled one can go on.
        show: draws what it made.
    """

    key: str
    what: str
    none: str
    meanwhile: str
    stopped: str
    resumes: bool = False
    show: Callable[[Run], None]


def addressed(param: str, what: str) -> Run | None:
    """The run that the page's address names, if there is one."""
    run_id = st.query_params.get(param)
    if run_id is None:
        return None
    try:
        return runs_data.queue().get(run_id)
    except BadInput:
        st.warning(f"The {what} that this address names {'is' if what == 'run' else 'are'} not in this workspace.")
        return None


def follow(run: Run, awaited: Awaited) -> None:
    """Draws it, on a timer until it is done."""
    if run.active:
        with guarded("The workers"):
            runs_data.wake()
    st.fragment(_follow, run_every=EVERY_SECONDS if run.active else None)(run.id, awaited)


def _follow(run_id: str, awaited: Awaited) -> None:
    waiting = f"{awaited.key}_awaited"
    with guarded(awaited.what):
        run = runs_data.queue().get(run_id)
        if run.active:
            st.session_state[waiting] = run_id
            _at_work(run, awaited)
            return
        if st.session_state.pop(waiting, None) == run_id:
            st.rerun()  # the whole page once more, without the timer
        if run.state == "failed":
            st.error(plain(run.error or "The run ended without a reason; see its log.", MOST_IN_MESSAGE),
                     title=FAILURES.get(run.failure or "", awaited.none), icon=":material/error:")  # fmt: skip
        elif run.state == "cancelled":
            st.info(awaited.stopped, icon=":material/cancel:")
            if awaited.resumes:
                access.button("Go on", icon=":material/play_arrow:", key=f"{awaited.key}_resume",
                              on_click=run_queue.ask, args=("resume", run.id))  # fmt: skip
        else:
            awaited.show(run)


def _at_work(run: Run, awaited: Awaited) -> None:
    fraction = run.fraction()
    st.progress(0.0 if fraction is None else min(1.0, fraction), text=plain(runs_data.progress_text(run)))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(awaited.meanwhile)
        access.button("Stop", icon=":material/stop_circle:", key=f"{awaited.key}_stop", type="tertiary",
                      disabled=run.cancel_requested, on_click=run_queue.ask, args=("cancel", run.id))  # fmt: skip
