"""What can be set of each view of a story, with a control for each setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.components import affinity_view, context, runs_data, stories
from app.components.words import KINDS, MAPS, ORDERS, PREDICTORS, SCALES, label, shots_label
from pituning.figures.palette import method_label
from pituning.reports.study import comparisons
from pituning.reports.views import MOST_NEIGHBOURS
from pituning.workspace.affinities import affinity_names
from pituning.workspace.lowshot import measured_shots, usual_shots
from pituning.workspace.shots import ALL_SHOTS
from pituning.workspace.stories import Slide
from pituning.workspace.story_views import VIEWS

SHOWS = {
    "scores": "Scores and verdict", "shots": "By shots", "weights": "Donor weights", "ribbon": "Weights over time",
    "curves": "Curves", "search": "Search of the rate",
}  # fmt: skip
COMPARED = {"scores": "Scores", "loss": "Loss", "held-out-loss": "Held-out loss", "validation-score": "Validation"}
PARTS = {"layer": "By layer", "module": "By module"}
STEPS = {"yes": "Step by step", "no": "At once"}
TITLES = {
    "kind": "Expert kind", "predictor": "Similarity", "task": "Task", "order": "Order", "scale": "Values",
    "colour": "Colour", "run": "Run", "show": "Show", "k": "Nearest", "shots": "Shots", "method": "Method",
    "over": "Compared with", "other": "Other task", "part": "Where they are alike", "steps": "Steps",
    "table": "Table", "first": "Task", "second": "Other task",
}  # fmt: skip
FREE = {"task": "None stands out", "other": "None", "run": "The newest", "first": "None stands out", "second": "None"}
HIDDEN = {"runs", "expert", "n_neighbors", "min_dist", "metric", "seed"}
"""What a pin sets and nothing else."""


def controls(story: str, slide: Slide) -> None:
    """A row of controls; each writes its setting when it is changed."""
    settings = [name for name in VIEWS[slide.view].settings if name not in HIDDEN]
    if not settings:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for name in settings:
            options, words = _options(name, slide)
            if not options:
                continue
            key = f"set-{story}-{slide.id}-{name}"
            value = slide.settings.get(name)
            if value is not None and value not in options:
                options = [*options, value]  # what is no longer there still shows, and can be changed
            free = name in FREE and not (name == "task" and slide.view == "neighbours")
            default = None if free else 0
            with st.container(width=270 if name in FREE else 160):
                st.selectbox(
                    TITLES[name], options, index=options.index(value) if value is not None else default,
                    format_func=words, key=key, placeholder=FREE.get(name), on_change=_set,
                    args=(story, slide.id, name, key),
                )  # fmt: skip


def _options(name: str, slide: Slide) -> tuple[list[Any], Callable[[Any], str]]:
    """The choices of a setting, the one that is taken without a choice first, and what people read for them."""
    available = context.available()
    kind = str(slide.settings.get("kind") or next(iter(available), "lora"))
    if name == "kind":
        return list(available), lambda one: label(KINDS, one)
    if name == "predictor":
        return list(available.get(kind, ())), lambda one: label(PREDICTORS, one)
    if name in ("task", "other"):
        known = context.tasks()
        return list(known), lambda one: known[one].title if one in known else one
    if name == "table":
        return list(affinity_names(context.workspace())), str
    if name in ("first", "second"):
        table = slide.settings.get("table")
        known_there = table in affinity_names(context.workspace())
        return list(affinity_view.load(str(table)).names) if known_there else [], str
    if name == "run":
        runs = {run.id: run for run in stories.reader().finished_runs()}
        return list(runs), lambda one: runs_data.title(runs[one]) if one in runs else one
    if name == "shots":
        studied = slide.view == "study"
        rows = context.lowshot(kind)
        found_shots = measured_shots(rows) if studied else context.transfer_shots(kind)
        counts = [count for count in found_shots if count != ALL_SHOTS][::-1]
        if studied and counts:
            usual = usual_shots(rows)
            counts.sort(key=lambda count: count != usual)  # what the slide shows by itself comes first
        return counts, shots_label
    if name == "over":
        rows = context.lowshot(kind)
        counts = measured_shots(rows)
        shots = int(slide.settings.get("shots", usual_shots(rows) if counts else 0))
        return comparisons(context.study_scores(kind, shots))[1] if shots in counts else [], method_label
    if name == "k":
        default = 5 if slide.view == "neighbours" else 3
        return [default, *(k for k in range(1, MOST_NEIGHBOURS + 1) if k != default)], str
    words: dict[str, Sequence[Any]] = {
        "order": list(ORDERS), "scale": list(SCALES), "colour": ["modality", "community"], "method": list(MAPS),
        "show": list(COMPARED if slide.view == "comparison" else SHOWS), "part": list(PARTS), "steps": list(STEPS),
    }  # fmt: skip
    read = {
        **{key: word.label for key, word in (ORDERS | SCALES | MAPS).items()},
        **COMPARED, **SHOWS, **PARTS, **STEPS, "modality": "Modality", "community": "Community",
    }  # fmt: skip
    return list(words[name]), lambda one: read.get(one, one)


def _set(story: str, slide_id: str, name: str, key: str) -> None:
    value = st.session_state[key]

    def with_it(edited: Any) -> Any:
        slide = edited.slides[edited.place(slide_id)]
        settings = {key: one for key, one in slide.settings.items() if key != name}
        return edited.changed(replace(slide, settings=settings if value is None else {**settings, name: value}))

    stories.change(story, with_it)
