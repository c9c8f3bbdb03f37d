"""The stages of a tuning in a row: what each has found, while it goes on and afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components import runs_data
from app.components.guard import plain
from app.components.run_results import expert_title
from app.components.words import duration
from pituning.reports.stages import Stage, StageState, stages
from pituning.runs.records import Run

MARKS: dict[StageState, str] = {
    "done": ":green[:material/check_circle:]",
    "active": ":blue[:material/pending:]",
    "waiting": ":gray[:material/radio_button_unchecked:]",
    "stopped": ":orange[:material/cancel:]",
    "skipped": ":gray[:material/remove_circle_outline:]",
}
STILL: dict[StageState, str] = {
    "done": "Done",
    "active": "Under way",
    "waiting": "Not yet",
    "stopped": "Not reached",
    "skipped": "",
}
"""What stands where a stage has found nothing."""

KINDS = ("tune",)
"""Runs that have these stages."""


def show(run: Run) -> None:
    """The stages of a run, if it has any."""
    if run.kind not in KINDS or not run.understood:
        return
    settings = {**run.spec.defaults(), **run.spec.config}
    rail = stages(
        _found(run), baselines=settings["baselines"], begun=run.attempt > 0, ended=not run.active, title_of=expert_title
    )
    with st.grid(len(rail), min_column_width=130, gap="small", key="stages"):
        for stage in rail:
            _stage(stage)


def _found(run: Run) -> Mapping[str, Any]:
    kept = runs_data.result(run) if run.state == "succeeded" else runs_data.queue().partial_of(run.id)
    return kept or {}


def _stage(stage: Stage) -> None:
    with st.container(border=True, gap="xsmall", height="stretch"):
        st.markdown(f"{MARKS[stage.state]} **{stage.title}**")
        st.caption(plain(stage.found or STILL[stage.state]))


def updated(run: Run, now: float | None = None) -> str:
    """How old what the worker last told is; empty where nobody works on the run."""
    if run.state != "running" or run.heartbeat is None:
        return ""
    return f"updated {duration(max(0.0, (now or time.time()) - run.heartbeat))} ago"
