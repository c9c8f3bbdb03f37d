"""The user's own tasks on the graph: those without an expert in the zoo, of which a run has embedded the shots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.components import context, pair_sentence, runs_data
from app.components.guard import plain
from app.components.links import to
from app.components.pages import EXPERTS, RUNS
from app.components.words import PREDICTORS, label
from pituning.backbones.embedded import SUITE
from pituning.errors import PiTuningError
from pituning.graph.donor_gains import DonorGain, DonorGains
from pituning.graph.harm import signed
from pituning.graph.newcomers import Newcomer, ranking_of
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.records import Run

SEARCHED = 500
"""Runs of a kind among which those on such tasks are looked for, the newest first."""


@dataclass(frozen=True, kw_only=True)
class OwnTask(Newcomer):
    """Such a task.

    Args:
        run: the one that embedded its shots.
        predictor: the similarity by which it ranked the zoo.
        expert: that it made, if it made one.
        expected: what donors were expected to add.
    """

    run: Run
    predictor: str
    expert: str | None
    expected: DonorGains


def on_graph(kind: str, placed: Collection[str]) -> list[OwnTask]:
    """Own tasks that a run on the chosen backbone has compared with the zoo by experts of a kind, the newest run of
    each; in the order of these runs.

    Args:
        placed: tasks that are in the graph by themselves.
    """
    own = {name for name, info in context.tasks().items() if info.source != SUITE and info.sizes["train"]}
    newest = _newest(kind, own - set(placed))
    return sorted(newest.values(), key=lambda one: (one.run.created, one.run.id))


def ranked(name: str, kind: str) -> OwnTask | None:
    """One of them, whether it is in the graph or not."""
    return _newest(kind, {name} & set(context.tasks())).get(name)


def kind_of(run: Run) -> str:
    """By experts of which kind a run works."""
    return str({**run.spec.defaults(), **run.spec.config}["kind"])


def expected_of(result: Mapping[str, Any]) -> DonorGains:
    """What a run expected of each donor; of none where its result does not say."""
    try:
        gains = {str(name): DonorGain(**each) for name, each in (result.get("expected") or {}).items()}
        return DonorGains(gains=gains, reason=result.get("reason"), **(result.get("learned_from") or {}))
    except (TypeError, AttributeError):
        return DonorGains(gains={})  # not what a run writes


def _newest(kind: str, names: Collection[str]) -> dict[str, OwnTask]:
    known = context.tasks()
    newest: dict[str, OwnTask] = {}
    for run in _rankings() if names else ():
        name = run.spec.subject
        if name not in names or name in newest or kind_of(run) != kind:
            continue
        try:
            result = runs_data.result(run) or {}
        except PiTuningError:
            continue  # the run itself tells
        near = ranking_of(result)
        if near:
            newest[name] = OwnTask(
                info=known[name], near=near, donors=tuple(map(str, result.get("donors") or ())), run=run,
                predictor=str(result.get("predictor")), expert=result.get("expert"), expected=expected_of(result),
            )  # fmt: skip
    return newest


def _rankings() -> list[Run]:
    """The runs that have ranked the zoo for a task, newest first."""
    kinds = [record.name for record in RUN_KINDS.values() if record.ranks_zoo]
    runs = [
        run for kind in kinds for run in runs_data.of_backbone(states=("succeeded",), kind=kind, limit=SEARCHED)
    ]  # fmt: skip
    return sorted((run for run in runs if run.understood), key=lambda run: run.created, reverse=True)


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
