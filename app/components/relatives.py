"""A new task's relatives before anything is trained: a few of its rows are embedded, and it lands on the task graph."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.components import access, awaited, context, donor_columns, own_tasks, runs_data
from app.components.guard import empty, plain, say
from app.components.links import set_linked, to
from app.components.pages import GRAPH
from app.components.target import Target
from app.components.words import KINDS, duration, label
from pituning.errors import PiTuningError
from pituning.graph.newcomers import ranking_of
from pituning.runs.configs import RelativesRun
from pituning.runs.plans import forecast
from pituning.runs.records import Run
from pituning.runs.roles import Role
from pituning.runs.spec import RunSpec
from pituning.workspace.atomic import remove_directory

PRIORITY = 10
"""Somebody waits for it, and it takes seconds."""

KIND = "relatives"
SHOWN = 8


def offer(target: Target, kind: str, shots: int, donors: int) -> None:
    """How far the run that looks for them is, or the button that starts it."""
    run = None if target.uploaded is not None else _asked_before(target.name, kind)
    if run is None or not run.active:
        spec = RunSpec.of(
            KIND,
            RelativesRun(target=target.name, kind=kind, shots=shots, donors=donors, backbone=context.backbone()),
        )
        seconds = forecast(runs_data.queue(), spec, target.subject).seconds
        words = "Find its relatives" if target.uploaded is None else "Keep the task and find its relatives"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            access.button(words, icon=":material/hub:", key="relatives_find", on_click=_start, args=(target, spec))
            st.caption(f"Before anything is trained; about {duration(seconds)}. It then stands on the task graph.",
                       width="content")  # fmt: skip
    if run is not None:
        awaited.follow(run, awaited.Awaited(
            key="relatives", what="Its relatives", none="Its relatives were not found",
            meanwhile="A few of its rows are embedded and compared with the zoo. Go on meanwhile.",
            stopped="It was stopped before its relatives were known.", show=show,
        ))  # fmt: skip


def _asked_before(name: str, kind: str) -> Run | None:
    """The newest run that looked for them."""
    runs = runs_data.of_backbone(kind=KIND, limit=own_tasks.SEARCHED)
    return next((run for run in runs if run.spec.subject == name and own_tasks.kind_of(run) == kind), None)


def _start(target: Target, spec: RunSpec) -> None:
    """A callback: keeps the task where it is new, and queues the run."""
    made = None
    try:
        queue = runs_data.queue()
        queue.actor.require(Role.RUNNER, "start runs")  # before the task is kept
        made = None if target.uploaded is None else target.uploaded.keep()
        queue.submit(spec, priority=PRIORITY)
        made = None
        runs_data.wake()
    except PiTuningError as error:
        if made is not None:
            remove_directory(made)  # else the next try would find the name taken
        say("The run could not be started", error)
        return
    if target.uploaded is not None:
        st.session_state["source"] = "task"
        set_linked(target=target.name)


def show(run: Run) -> None:
    """The most similar tasks that a run has found."""
    result = runs_data.result(run) or {}
    near = ranking_of(result)
    if not near:
        empty("No ranking", "The run is done but ranked no tasks; start it once more.", icon=":material/hub:")
        return
    tasks, name = context.tasks(), run.spec.subject
    st.markdown(f"**Most similar of {len(near)} tasks** :gray[· from {int(result.get('examples') or 0)} rows]")
    first, expected = near[:SHOWN], own_tasks.expected_of(result)
    titles = [tasks[one.task].title if one.task in tasks else one.task for one in first]
    st.dataframe(
        pd.DataFrame({"Task": titles, **donor_columns.columns(first, expected.gains)}),
        hide_index=True,
        placeholder="–",
        column_config=donor_columns.config(
            similarity="Of the task embeddings.",
            stable="In how many of 100 resamplings of the rows this task is among the predicted donors.",
            gain="Points over a new expert on the same rows, learned from what donors did for other tasks.",
        ),
        alt="The most similar tasks with similarity, how stable their rank is, and what is expected of them",
    )  # fmt: skip
    if expected.reason is not None:
        st.caption(f":material/help: No gain is predicted: {plain(expected.reason)}.")
    door(name, own_tasks.kind_of(run))


def door(name: str, kind: str) -> None:
    """The way to a task on the graph."""
    known = context.tasks().get(name)
    if known is not None:
        st.page_link(GRAPH.path, label=f"{plain(known.title)} on the task graph", icon=GRAPH.icon,
                     query_params=to(task=name, kind=label(KINDS, kind)))  # fmt: skip
