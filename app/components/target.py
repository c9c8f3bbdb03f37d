"""The first step of a new run: which task is to be learned, one that is here or a table of the user's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from app.components import context, fitting, task_panel, upload
from app.components.guard import guarded, plain
from app.components.links import linked_select
from app.components.stamps import stamp
from app.components.words import METRICS
from pituning.backbones.prompts import notes_of_task
from pituning.errors import ArtefactError
from pituning.runs.outline import Subject
from pituning.tasks.base import OPEN_ANSWER_CLASSES, SPLITS, Modality, Task
from pituning.tasks.mini import LazySplit

SOURCES = {"task": "A task of this workspace", "file": "A table of my own"}
SHOWN_ANSWERS = 20
"""Of a task with open answers, which may all be different."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be learned; ``uploaded`` when it has yet to be made from a file, ``dealt`` the splits that chance has
    dealt."""

    name: str
    title: str
    modality: Modality
    classes: int
    closed: bool
    most_shots: int
    sizes: Mapping[str, int]
    metric: str
    dealt: Sequence[str] = ()
    uploaded: upload.Uploaded | None = None

    @property
    def subject(self) -> Subject:
        """What of it matters for the length of a run."""
        return Subject(
            classes=self.classes,
            closed=self.closed,
            images=self.modality != "language",
            metric=self.metric,
            sizes=self.sizes,
            dealt=tuple(self.dealt),
        )


def choose() -> Target | None:
    """Draws the step; None until there is a usable target."""
    source = st.segmented_control(
        "What is to be learned?", list(SOURCES), format_func=SOURCES.__getitem__, default="task", required=True,
        key="source", bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    return _from_file() if source == "file" else _from_workspace()


def _from_workspace() -> Target | None:
    able = context.modalities()
    known = {name: info for name, info in context.tasks().items() if info.sizes["train"] and info.modality in able}
    if not known:
        st.caption("No task here can be tuned on this backbone yet: add one from a file.")
        return None
    name = linked_select(
        "Task", list(known), param="target", format_func=lambda one: f"{known[one].title} · {known[one].modality}",
        default=_first(known),
        help_text="The task to be learned from a few examples. Its own full-data expert never takes part.",
    )  # fmt: skip
    if name is None:
        return None
    info = known[name]
    details = st.expander(
        f"{METRICS[info.metric].label} · {len(info.labels) if info.labels else 'open'} answers · see examples",
        icon=":material/visibility:", key="target_examples", on_change="rerun",
    )  # fmt: skip
    if details.open:
        with details:
            task_panel.about(info)
            with guarded("The balance of its answers"):
                _balance(context.task(name))
            with guarded("What was left out of it"):
                _skipped(context.task(name))
    with guarded("Which backbone fits"):
        fitting.of_task(context.task(name))
    with guarded("What the backbone reads of its prompts"):
        for note in _prompt_notes(name):
            st.caption(f":orange[:material/warning:] {plain(note)}")
    return Target(
        name=name,
        title=info.title,
        modality=info.modality,
        classes=len(info.labels) if info.labels else OPEN_ANSWER_CLASSES,
        closed=info.labels is not None,
        most_shots=most_shots(name),
        sizes=info.sizes,
        metric=info.metric,
        dealt=context.task(name).about.get("dealt", ()),
    )


def _prompt_notes(name: str) -> list[str]:
    """What the chosen backbone would lose of a task's prompts."""
    chosen = context.backbone()
    if not context.backbone_ready():
        return []
    folder = context.workspace().backbone_dir(chosen)
    stamps = (
        stamp(context.workspace().root / "tasks" / name),
        *(stamp(folder / file) for file in ("tokenizer.json", "config.json")),
    )
    return _noted(name, str(folder), stamps, chosen, context.task(name))


@st.cache_data(max_entries=64, show_spinner="Reading the prompts …")
def _noted(name: str, folder: str, stamps: tuple[float, ...], chosen: str, _task: Task) -> list[str]:
    return notes_of_task(_task, Path(folder), name=chosen)


def _first(known: Collection[str]) -> str:
    """The task that is shown first: one whose relatives helped as measured, else one of the zoo."""
    with suppress(ArtefactError):  # the page of the study tells
        helped, _ = context.showcase_targets()
        if helped is not None and helped.target in known:
            return helped.target
    zoo = context.zoo()
    of_zoo = [task for kind in zoo.kinds() for task in zoo.expert_dirs(kind)]
    return next(name for name in (*of_zoo, *known) if name in known)


def most_shots(name: str) -> int:
    """The most shots per class that a task's training split allows."""
    info = context.tasks()[name]
    size = info.sizes["train"]
    if info.labels is None:
        return size // OPEN_ANSWER_CLASSES
    task = context.task(name)
    if _balanced(task):
        return size // len(info.labels)
    counts = Counter(example.answer for example in task.split("train"))
    return min(counts[label] for label in info.labels)


def _balanced(task: Task) -> bool:
    """Whether all answers come up equally often by construction, which spares drawing every example to count them."""
    return task.labels is not None and isinstance(task.split("train"), LazySplit)


def _balance(task: Task) -> None:
    """How often each answer comes up, in all splits together, as for a table that is uploaded."""
    if _balanced(task):
        st.caption("All labels are equally frequent, by construction.")
        return
    if isinstance(task.split("train"), LazySplit):
        return  # open answers, made up one by one
    counts = Counter(example.answer for split in SPLITS for example in task.split(split))
    closed = task.labels is not None
    st.markdown("**Label frequencies**" if closed else "**The most frequent answers**")
    upload.class_balance(dict(counts.most_common(None if closed else SHOWN_ANSWERS)), closed=closed)


def _skipped(task: Task) -> None:
    """The rows of its file that were left out when it was added."""
    skipped = task.about.get("skipped")
    if not skipped:
        return
    named = [str(line) for line in skipped["named"]]
    st.markdown(f"**Rows that were left out: {skipped['rows']:,}**")
    st.dataframe(pd.DataFrame({"Row and reason": named}), hide_index=True, height=min(38 + 35 * len(named), 240),
                 alt="Rows of the file that were left out, with the reasons")  # fmt: skip
    if skipped["rows"] > len(named):
        st.caption(f"{len(named):,} of them, by name.")


def _from_file() -> Target | None:
    uploaded = upload.panel()
    if uploaded is None:
        return None
    labels = uploaded.preview.labels
    return Target(
        name=uploaded.name,
        title=uploaded.title,
        modality=uploaded.preview.modality,
        classes=len(labels) if labels else OPEN_ANSWER_CLASSES,
        closed=labels is not None,
        most_shots=uploaded.preview.most_shots,
        sizes=uploaded.preview.sizes,
        dealt=uploaded.preview.dealt,
        metric=uploaded.preview.metric,
        uploaded=uploaded,
    )
