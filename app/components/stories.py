"""The stories of the workspace as pages read and change them, and what their slides are drawn from, cached."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import streamlit as st

from app.components import access, context, guessing, runs_data, story_history
from app.components.guard import say
from app.components.stamps import stamp
from pituning.errors import BadInput, PiTuningError
from pituning.figures.sketch import sketch
from pituning.graph.build import task_graph
from pituning.graph.predictors import PREDICTORS
from pituning.graph.zoo_parts import Part
from pituning.reports.deck import slide_html
from pituning.reports.document import report
from pituning.reports.reader import Reader, Zoo
from pituning.reports.suggestion import NAME, opening_story
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.roles import Role
from pituning.tasks.metrics import Guessing
from pituning.tasks.registry import TaskInfo
from pituning.workspace.affinities import affinity_names, affinity_path
from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity
from pituning.workspace.stories import MOST_IN_TITLE, Slide, Story, load_story, save_story, story_names, story_path
from pituning.workspace.transfer import Transfer


class CachedReader(Reader):
    """Reads through the caches that all pages share."""

    def tasks(self) -> Mapping[str, TaskInfo]:
        return context.tasks()

    def similarity(self, kind: str, predictor: str) -> ZooSimilarity:
        return context.similarity(kind, predictor)

    def kept_similarity(self, kind: str, predictor: str) -> ZooSimilarity | NearestSimilarity:
        return context.kept_similarity(kind, predictor)

    def transfer_shots(self, kind: str) -> list[int]:
        return context.transfer_shots(kind)

    def transfer(self, kind: str, shots: int, names: tuple[str, ...]) -> Transfer | None:
        return context.transfer(kind, shots, names)

    def gain_intervals(self, kind: str, shots: int, target: str) -> dict[str, float]:
        return context.gain_intervals(kind, shots, target)

    def parts(self, kind: str, predictor: str, part: Part) -> Mapping[str, np.ndarray]:
        return context.parts(kind, predictor, part)

    def lowshot(self, kind: str) -> pd.DataFrame:
        return context.lowshot(kind)

    def study_scores(self, kind: str, shots: int) -> pd.DataFrame:
        return context.study_scores(kind, shots)

    def guesses(self, tasks: Sequence[str]) -> dict[str, Guessing]:
        return guessing.several(tasks)

    def graph(self, zoo: Zoo, k: int) -> nx.Graph:
        return _graph(self.backbone, zoo.kind, zoo.predictor, k, tuple(zoo.names), float((zoo.matrix**2).sum()), zoo)

    def result(self, run: Run) -> dict[str, Any]:
        return runs_data.result(run) or super().result(run)

    @property
    def queue(self) -> RunQueue:
        return runs_data.queue()


@st.cache_resource(max_entries=32, show_spinner="Laying out the graph …")
def _graph(
    backbone: str, kind: str, predictor: str, k: int, names: tuple[str, ...], size: float, _zoo: Zoo
) -> nx.Graph:
    return task_graph(_zoo.matrix, _zoo.infos, k=k)


def reader() -> Reader:
    """What slides are drawn from."""
    return CachedReader(context.workspace(), context.backbone())


@dataclass(frozen=True)
class Rendered:
    """A slide as it is shown: its headline, its view's own sentence, its HTML, and its thumbnail as SVG, light and
    dark."""

    title: str
    sentence: str
    html: str
    thumbs: tuple[str, str]


def rendered(story: Story) -> list[Rendered]:
    """All slides of a story. What was drawn is kept until something that it is drawn from changes."""
    here, stamp = reader(), _stamp()
    return [
        _rendered(
            str(here.workspace.root), here.backbone, stamp, slide.id, slide.view, slide.title, slide.caption,
            slide.notes, json.dumps(dict(slide.settings), sort_keys=True), number, slide, here,
        )
        for number, slide in enumerate(story.slides, start=1)
    ]  # fmt: skip


@st.cache_resource(max_entries=120, show_spinner="Drawing the slides …")
def _rendered(
    root: str, backbone: str, stamp: str, slide_id: str, view: str, title: str, caption: str, notes: str,
    settings: str, number: int, _slide: Slide, _reader: Reader,
) -> Rendered:  # fmt: skip
    made = slide_html(_reader, _slide, number, notes=True)
    panels = made.drawn.panels if made.drawn is not None else ()
    light, dark = (sketch(panels[0].figure(shade)) if panels else "" for shade in (False, True))
    sentence = made.drawn.sentence if made.drawn is not None else ""
    return Rendered(title=made.title, sentence=sentence, html=made.html, thumbs=(light, dark))


def _stamp() -> str:
    """When what slides are drawn from last changed."""
    here = context.zoo()
    files = [
        path
        for kind in context.available()
        for path in (
            here.transfer_path(kind),
            here.shown_lowshot(kind)[0],
            *here.projection_files(kind),
            *(here.similarity_path(kind, predictor) for predictor in PREDICTORS),
        )
    ] + [affinity_path(context.workspace(), name) for name in affinity_names(context.workspace())]
    try:
        counts = runs_data.queue().counts(backbone=context.backbone())
        runs: object = (counts, [run.id for run in runs_data.of_backbone(states=("succeeded",), limit=1)])
    except PiTuningError:
        runs = None  # what needs no run can be shown all the same
    return repr(([stamp(path) for path in files], stamp(context.workspace().root / "tasks"), runs))


def headline(slide: Slide) -> str:
    """What a slide is called: its own title, or what its view states.

    Raises:
        PiTuningError: it cannot be drawn.
    """
    return rendered(Story(name="one", title="One", slides=(slide,)))[0].title


def names() -> list[str]:
    """All stories, the overview first: it is there even before anybody has saved it."""
    return [NAME, *(name for name in story_names(context.workspace()) if name != NAME)]


def load(name: str) -> Story:
    """A story.

    Raises:
        BadInput: there is none of that name.
        ArtefactError: it is damaged.
    """
    return opening_story(reader()) if name == NAME else load_story(context.workspace(), name)


def title(name: str) -> str:
    """What people call a story; the name of its file, where it is damaged."""
    try:
        return load(name).title
    except PiTuningError:
        return f"{name} (damaged)"


def free_title(wanted: str, but: str | None = None) -> str:
    """The title itself where no story has it, else the first of ``wanted 2``, ``wanted 3`` … that none has.

    Args:
        but: the name of a story that may have it.
    """
    taken = {title(name).casefold() for name in names() if name != but}
    ends = ("", *(f" {number}" for number in range(2, len(taken) + 3)))
    titles = (wanted[: MOST_IN_TITLE - len(end)].rstrip() + end for end in ends)
    return next(one for one in titles if one.casefold() not in taken)


def check_title(wanted: str, but: str | None = None) -> None:
    """Nothing where no story but ``but`` has that title.

    Raises:
        BadInput: one has it; the message has a title that is free.
    """
    free = free_title(wanted, but)
    if free != wanted:
        raise BadInput(f"there is a story {wanted!r} already; choose another title, such as {free!r}", field="title")


def change(name: str, how: Callable[[Story], Story]) -> bool:
    """Changes a story as it is on disk now, so that it can be undone; says why, where that is not possible."""
    try:
        access.actor().require(Role.RUNNER, "change stories")
        before = load(name)
        after = how(before)
        kept = before if story_path(context.workspace(), name).exists() else None
        save_story(context.workspace(), after)
        story_history.remember(name, kept, after)
        return True
    except PiTuningError as error:
        say("That did not work", error)
        return False


def slide_number(story: Story) -> int:
    """The slide that the address names, from 0; the nearest one there is."""
    given = st.query_params.get("slide", "1")
    number = int(given) if given.isdecimal() and len(given) < 6 else 1
    return min(max(number, 1), max(len(story.slides), 1)) - 1


def can_be_shown(name: str) -> bool:
    """Whether a story can be read and has slides."""
    try:
        return name in names() and bool(load(name).slides)
    except PiTuningError:
        return False


def as_file(name: str, *, notes: bool) -> bytes:
    """A story as one HTML file."""
    return report(reader(), load(name), notes=notes, now=time.time()).text.encode()
