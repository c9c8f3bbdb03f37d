"""The user's own tasks on the graph: those without an expert in the zoo, of which a run has embedded the shots."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from app.components import context, pair_sentence, stories
from app.components.guard import plain
from app.components.links import to
from app.components.pages import EXPERTS, RUNS
from app.components.words import PREDICTORS, label
from pituning.graph.harm import signed
from pituning.reports.own_tasks import SEARCHED, OwnTask, expected_of, kind_of, own_task, own_tasks

__all__ = ["SEARCHED", "OwnTask", "expected_of", "kind_of", "on_graph", "pair", "ranked", "where_from"]


def on_graph(kind: str, placed: Collection[str]) -> list[OwnTask]:
    """Own tasks that a run on the chosen backbone has compared with the zoo by experts of a kind, in order of age.

    Args:
        placed: tasks that are in the graph by themselves.
    """
    return own_tasks(stories.reader(), kind, placed)


def ranked(name: str, kind: str) -> OwnTask | None:
    """One of them, whether it is in the graph or not."""
    return own_task(stories.reader(), name, kind)


def pair(task: OwnTask, other: str) -> None:
    """An own task and one of the graph."""
    near = next((one for one in task.near if one.task == other), None)
    title = context.tasks()[other].title
    st.header(f"{plain(task.info.title)} – {plain(title)}", anchor=False)
    ranks = {} if near is None else {(other, task.info.name): near.rank}
    expected = task.expected.gains.get(other)
    told = {} if expected is None else {(other, task.info.name): expected}
    pair_sentence.show(kind_of(task.run), (other,), (task.info.name, other), ranks, len(task.near), expected=told)
    if near is None:
        st.caption("The run on your task did not compare it with this one.")
        return
    with st.grid(2 if expected is None else 3, min_column_width=150, gap="small"):
        interval = None if near.low is None or near.high is None else f"interval {near.low:.2f} to {near.high:.2f}"
        _number("Similarity", f"{near.similarity:.3f}", interval,
                f"Of the shots, by {label(PREDICTORS, task.predictor)}.")  # fmt: skip
        _number("Stable rank", "–" if near.confidence is None else f"{100 * near.confidence:.0f} %",
                f"number {near.rank} of {len(task.near)}",
                "In how many of 100 resamplings of the shots it is among the predicted donors. It says nothing of "
                "whether its expert helps.")  # fmt: skip
        if expected is not None:
            note = f"{signed(expected.low)} to {signed(expected.high)}; {100 * expected.harm:.0f} % risk of harm"
            _number("Expected gain", signed(expected.gain), note,
                    "Points of your task with its expert, over a new expert on the same rows.")  # fmt: skip


def _number(words: str, value: str, note: str | None, help_text: str) -> None:
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.metric(words, value.replace("-", "−"), help=help_text)
        if note:
            st.caption(note.replace("-", "−"))


def where_from(task: OwnTask) -> None:
    """How the task came to its place, with the doors to its run and its expert."""
    st.caption(
        f"Placed from its shots alone, by {label(PREDICTORS, task.predictor)}; dotted lines lead to the donors that "
        "were predicted. It takes no part in the places of the others."
    )
    with st.container(horizontal=True, gap="medium"):
        st.page_link(RUNS.path, label="Its run", icon=RUNS.icon, query_params=to(run=task.run.id))
        if task.expert is not None:
            st.page_link(EXPERTS.path, label=f"Its expert {plain(task.expert)}", icon=EXPERTS.icon,
                         query_params=to(expert=f"{kind_of(task.run)}/{task.expert}"))  # fmt: skip
