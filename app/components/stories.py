"""The stories of the workspace as pages read and change them, and what their slides are drawn from, cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import networkx as nx
import pandas as pd
import streamlit as st

from app.components import access, context, guessing, runs_data
from app.components.guard import say
from pituning.errors import PiTuningError
from pituning.graph.build import task_graph
from pituning.reports.document import report
from pituning.reports.reader import Reader, Zoo
from pituning.reports.suggestion import NAME, opening_story
from pituning.runs.queue import RunQueue
from pituning.runs.roles import Role
from pituning.tasks.metrics import Guessing
from pituning.tasks.registry import TaskInfo
from pituning.workspace.similarity import ZooSimilarity
from pituning.workspace.stories import Story, load_story, save_story, story_names
from pituning.workspace.transfer import Transfer


class CachedReader(Reader):
    """Reads through the caches that all pages share."""

    def tasks(self) -> Mapping[str, TaskInfo]:
        return context.tasks()

    def similarity(self, kind: str, predictor: str) -> ZooSimilarity:
        return context.similarity(kind, predictor)

    def transfer_shots(self, kind: str) -> list[int]:
        return context.transfer_shots(kind)

    def transfer(self, kind: str, shots: int, names: tuple[str, ...]) -> Transfer | None:
        return context.transfer(kind, shots, names)

    def lowshot(self, kind: str) -> pd.DataFrame:
        return context.lowshot(kind)

    def study_scores(self, kind: str, shots: int) -> pd.DataFrame:
        return context.study_scores(kind, shots)

    def guesses(self, tasks: Sequence[str]) -> dict[str, Guessing]:
        return guessing.several(tasks)

    def graph(self, zoo: Zoo, k: int) -> nx.Graph:
        return _graph(self.backbone, zoo.kind, zoo.predictor, k, tuple(zoo.names), float((zoo.matrix**2).sum()), zoo)

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


def change(name: str, how: Callable[[Story], Story]) -> bool:
    """Changes a story as it is on disk now; says why, where that is not possible."""
    try:
        access.actor().require(Role.RUNNER, "change stories")
        save_story(context.workspace(), how(load(name)))
        return True
    except PiTuningError as error:
        say("That did not work", error)
        return False


def slide_number(story: Story) -> int:
    """The slide that the address names, from 0; the nearest one there is."""
    given = st.query_params.get("slide", "1")
    number = int(given) if given.isdecimal() and len(given) < 6 else 1
    return min(max(number, 1), max(len(story.slides), 1)) - 1


def can_be_shown() -> bool:
    """Whether the address names a story that can be read and has slides."""
    name = st.query_params.get("story", NAME)
    try:
        return name in names() and bool(load(name).slides)
    except PiTuningError:
        return False


def as_file(name: str) -> bytes:
    """A story as one HTML file."""
    return report(reader(), load(name), now=time.time()).text.encode()
