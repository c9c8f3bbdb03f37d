"""What pages that start a run of their own have in common: the button, its command, and how far the run is."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.components import access, context, runs_data
from app.components.guard import guarded, plain, say
from app.components.links import to
from app.components.pages import RUNS
from pituning.errors import PiTuningError
from pituning.runs.plans import Forecast
from pituning.runs.queue import RunQueue
from pituning.runs.records import ACTIVE
from pituning.runs.spec import RunSpec

EVERY_SECONDS = 2


def queue() -> RunQueue:
    """The workspace's queue, asked by whoever is looking."""
    return runs_data.queue()


def made_from(expected: Forecast) -> str:
    """What an estimate is made from."""
    if expected.runs:
        return "From your last run of this kind." if expected.runs == 1 else (
            f"From your last {expected.runs} runs of this kind."
        )  # fmt: skip
    if expected.others:
        runs = "another run" if expected.others == 1 else f"{expected.others} other runs"
        return f"From {runs} on this backbone."
    if expected.scaled:
        return (
            "A rough guess by the size of this backbone, from what the embedded one takes on 2 cores. The first run "
            "tells better."
        )
    return "As measured on 2 cores; your machine may differ."


def start(spec: RunSpec, words: str, *, key: str, disabled: bool = False) -> None:
    """A button that queues a run and opens it."""
    if access.button(words, icon=":material/rocket_launch:", type="primary", key=key, disabled=disabled):
        try:
            run = runs_data.queue().submit(spec)
            runs_data.wake()
        except PiTuningError as error:
            say("The run could not be started", error)
            return
        st.switch_page(RUNS.path, query_params=to(run=run))


def command(spec: RunSpec) -> None:
    """The same from a terminal."""
    with st.expander("The same from a terminal", icon=":material/terminal:", key=f"command_{spec.kind}"):
        st.code(spec.command().replace(" --", " \\\n  --"), language=None, wrap_lines=True)


def watched(run_kind: str, kind: str, words: str) -> bool:
    """Shows how far the run of that kind on these experts is; whether there is one."""
    runs = runs_data.queue().list(states=ACTIVE, kind=run_kind, backbone=context.backbone())
    active = next((run for run in runs if run.spec.config.get("kind", "lora") == kind), None)
    if active is None:
        return False
    st.fragment(partial(_watch, active.id, words), run_every=EVERY_SECONDS)()
    return True


def _watch(run_id: str, words: str) -> None:
    with guarded("The run"):
        run = runs_data.queue().get(run_id)
        if not run.active:
            st.rerun()
        fraction = run.fraction()
        with st.container(border=True):
            st.markdown(f"**{words}**")
            st.progress(0.0 if fraction is None else min(1.0, fraction), text=plain(runs_data.progress_text(run)))
            st.page_link(RUNS.path, label="Watch the run", icon=RUNS.icon, query_params=to(run=run_id))
