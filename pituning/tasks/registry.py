"""Finds tasks by name: the mini suite and those that people added to the workspace. Torch-free."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pituning.errors import ArtefactError, BadInput
from pituning.tasks.base import SPLITS, Modality, Task
from pituning.tasks.carded import card_task, zoo_cards
from pituning.tasks.mini import TASK_NAMES, mini_task, split_sizes, task_version
from pituning.tasks.saved import load_saved_task, read_card
from pituning.workspace.layout import Workspace


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """What a list of tasks shows; ``sizes`` counts the examples of each split, ``dealt`` names those of chance."""

    name: str
    title: str
    modality: Modality
    metric: str
    labels: tuple[str, ...] | None
    families: tuple[str, ...]
    source: str
    sizes: Mapping[str, int]
    instruction: str = ""
    dealt: tuple[str, ...] = ()


def load_task(name: str, workspace: Workspace | None = None) -> Task:
    """The task of that name.

    Raises:
        BadInput: there is none; the message lists the names that come close.
        ArtefactError: the workspace has one, but its files are damaged.
    """
    if name in TASK_NAMES:
        return mini_task(name)
    directory = _directory(workspace, name)
    if directory is not None:
        return load_saved_task(directory)
    cards = zoo_cards(workspace)
    if name in cards:
        return card_task(cards[name])
    raise _unknown(name, [*TASK_NAMES, *_added(workspace), *cards])


@dataclass(frozen=True)
class TaskSource:
    """Where a study takes its tasks from; it can be handed to another process.

    Args:
        workspace: whose tasks there are beside the mini suite; None for the suite alone.
    """

    workspace: Workspace | None = None

    def load(self, name: str) -> Task:
        """See `load_task`."""
        return load_task(name, self.workspace)

    def has(self, name: str) -> bool:
        """Whether the examples of that task are here."""
        return name in TASK_NAMES or _directory(self.workspace, name) is not None

    def knows(self, name: str) -> bool:
        """Whether there is such a task, be it without its examples."""
        return self.has(name) or name in zoo_cards(self.workspace)

    def version(self, name: str) -> str:
        """What changes when the examples of a task do: the suite's version, or the start of a digest.

        Raises:
            BadInput, ArtefactError: as `load_task`.
        """
        if name in TASK_NAMES:
            return task_version(name)
        directory = _directory(self.workspace, name)
        if directory is None:
            raise _unknown(name, [*TASK_NAMES, *_added(self.workspace)])
        return str(read_card(directory)["examples_sha256"])[:12]


def list_tasks(workspace: Workspace | None = None, backbone: str | None = None) -> list[TaskInfo]:
    """All tasks, the mini suite first; a damaged task of the workspace is left out (see `damaged_tasks`).

    Args:
        backbone: also those that ship with its zoo without their examples.
    """
    infos = [_mini_info(name) for name in TASK_NAMES]
    for directory in _added(workspace).values():
        try:
            card = read_card(directory)
        except ArtefactError:
            continue
        infos.append(
            TaskInfo(
                name=card["name"],
                title=card["title"],
                modality=card["modality"],
                metric=card["metric"],
                labels=tuple(card["labels"]) if card["labels"] is not None else None,
                families=tuple(card.get("families", ())),
                source="file",
                sizes=card["sizes"],
                instruction=card["instruction"],
                dealt=tuple(card.get("about", {}).get("dealt", ())),
            )
        )
    known = {info.name for info in infos}
    for name, path in ({} if backbone is None else zoo_cards(workspace, backbone)).items():
        if name not in known:
            task = card_task(path)
            infos.append(
                TaskInfo(
                    name=name, title=task.title, modality=task.modality, metric=task.metric, labels=task.labels,
                    families=(), source=task.source, sizes={split: len(task.split(split)) for split in SPLITS},
                    instruction=task.instruction,
                )
            )  # fmt: skip
    return infos


def damaged_tasks(workspace: Workspace) -> dict[str, str]:
    """The tasks of a workspace that cannot be listed, each with the reason."""
    damaged: dict[str, str] = {}
    for name, directory in _added(workspace).items():
        try:
            read_card(directory)
        except ArtefactError as error:
            damaged[name] = str(error)
    return damaged


def _unknown(name: str, names: Sequence[str]) -> BadInput:
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(names)}"
    return BadInput(f"task {name!r} is unknown; {hint}", field="task")


def _mini_info(name: str) -> TaskInfo:
    task = mini_task(name)
    return TaskInfo(
        name=task.name,
        title=task.title,
        modality=task.modality,
        metric=task.metric,
        labels=task.labels,
        families=task.families,
        source=task.source,
        sizes=split_sizes(name),
        instruction=task.instruction,
    )


def _directory(workspace: Workspace | None, name: str) -> Path | None:
    """The folder of one added task, without a look at the others; None where there is none."""
    try:
        directory = None if workspace is None else workspace.task_dir(name)
    except BadInput:  # no task can have that name
        return None
    return directory if directory is not None and directory.is_dir() else None


def _added(workspace: Workspace | None) -> dict[str, Path]:
    """The folders of added tasks by name."""
    return {name: workspace.task_dir(name) for name in workspace.task_names()} if workspace is not None else {}
