"""The queue as a whole, and a run's place in it: what holds it up, the order, and the same run with other settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components import access, context, runs_data
from app.components.guard import say, sentence
from app.components.words import KINDS, label
from pituning.errors import PiTuningError
from pituning.experts.kinds import in_order
from pituning.figures.palette import method_label
from pituning.runs.attempts import has_left
from pituning.runs.records import Run
from pituning.runs.store import PAUSED
from pituning.tuning.config import BASELINES

WHOLE = {"shots": "Shots", "seed": "Seed", "steps": "Steps", "batch_size": "Batch size", "donors": "Donors"}
"""Settings that can be changed when a run is duplicated; those that a run does not have are left out."""


def banner() -> None:
    """Why nothing is taken from the queue, and the switch for a pause."""
    queue = runs_data.queue()
    held, paused = runs_data.held_up(), queue.setting(PAUSED) is not None
    waiting = queue.counts().get("queued", 0)
    if held is not None and (paused or waiting):
        st.warning(sentence(held), title="Nothing is started", icon=":material/pause_circle:")
    if paused:
        access.button(
            "Go on with the queue", icon=":material/play_circle:", key="queue_unpause", on_click=ask, args=("unpause",)
        )  # fmt: skip
    elif waiting:
        access.button(
            "Pause the queue", icon=":material/pause_circle:", key="queue_pause", on_click=ask, args=("pause",),
            type="tertiary", help="Nothing more is started; what is running goes on.",
        )  # fmt: skip


def ask(what: str, *arguments: Any) -> None:
    """A button's callback: asks the queue, and says so when it cannot be done."""
    try:
        getattr(runs_data.queue(), what)(*arguments)
        if what in ("resume", "retry", "unpause", "duplicate"):
            runs_data.wake()
    except PiTuningError as error:
        say("That did not work", error)


def place(run: Run) -> None:
    """Moves a queued run up or down, or to the front."""
    now = runs_data.queue().place(run.id)
    if now is None:
        return
    access.button(
        "Run next", icon=":material/low_priority:", key="run_first", on_click=ask, args=("move", run.id, 1),
        disabled=now == 1, help="Moves it to the front of the queue.",
    )  # fmt: skip
    access.button(
        "Move up", icon=":material/arrow_upward:", key="run_sooner", on_click=ask, args=("move", run.id, now - 1),
        disabled=now == 1, help=f"It is number {now} in the queue.",
    )  # fmt: skip
    access.button(
        "Move down", icon=":material/arrow_downward:", key="run_later", on_click=ask, args=("move", run.id, now + 1),
        disabled=now == runs_data.queue().counts().get("queued", 0),
    )  # fmt: skip


def duplicate(run: Run) -> None:
    """A form with the main settings of a run, from which another one is queued."""
    with access.popover("Duplicate", icon=":material/content_copy:", key="run_duplicate_ask"):
        changes = _form(run)
        access.button("Queue run", icon=":material/rocket_launch:", type="primary", key="run_duplicate",
                      on_click=_again, args=(run.id, changes))  # fmt: skip


def grow(run: Run) -> None:
    """Baselines that a finished tuning does not have, to be added by a new run that goes on from it."""
    has = {**run.spec.defaults(), **run.spec.config}["baselines"]
    with access.popover("Add baselines", icon=":material/add_chart:", key="run_grow_ask"):
        left = has_left(context.workspace().run_dir(run.id))
        st.caption(
            "A new run goes on from what this one has found: only what you add is trained."
            if left
            else "This run kept nothing to go on from: a new run trains everything again, and what you add."
        )
        more = st.multiselect(
            "Baselines", [name for name in BASELINES if name not in has], format_func=method_label,
            key=f"grow_{run.id}",
        )  # fmt: skip
        access.button("Queue run", icon=":material/rocket_launch:", type="primary", key="run_grow",
                      disabled=not more, on_click=_extend, args=(run.id, more))  # fmt: skip


def _extend(run_id: str, more: Sequence[str]) -> None:
    try:
        st.query_params["run"] = runs_data.queue().extend(run_id, more)
        runs_data.wake()
    except PiTuningError as error:
        say("The run could not be queued", error)


def _form(run: Run) -> Mapping[str, Any]:
    settings = {**run.spec.defaults(), **run.spec.config}
    changes: dict[str, Any] = {}
    if settings.get("kind") in KINDS:
        kinds = in_order({*context.kinds(), str(settings["kind"])})
        changes["kind"] = st.selectbox(
            "Kind", kinds, index=kinds.index(settings["kind"]), key=f"again_kind_{run.id}",
            format_func=lambda kind: label(KINDS, kind),
        )  # fmt: skip
    for name, title in WHOLE.items():
        if isinstance(settings.get(name), int):
            least = 0 if name == "seed" else 1
            changes[name] = st.number_input(title, least, None, settings[name], key=f"again_{name}_{run.id}")
    return {name: value for name, value in changes.items() if value != settings.get(name)}


def _again(run_id: str, changes: Mapping[str, Any]) -> None:
    try:
        st.query_params["run"] = runs_data.queue().duplicate(run_id, changes)
        runs_data.wake()
    except PiTuningError as error:
        say("The run could not be queued", error)


def cancel_batch(batch: str) -> None:
    """Cancels what has not ended of a batch."""
    queue = runs_data.queue()
    for run in queue.list(states=["queued", "running"], batch=batch):
        ask("cancel", run.id)
