"""Changes what was guessed wrong about a task of the workspace, without its file. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

from pituning.errors import BadInput
from pituning.tasks.answers import ANSWER_KINDS, answer_key, number
from pituning.tasks.base import Example, Task
from pituning.tasks.metrics import METRICS
from pituning.tasks.registry import load_task
from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace


@dataclass(frozen=True, kw_only=True)
class TaskChanges:
    """What is to be changed; None leaves it as it is.

    Args:
        label_names: new names of labels, by the old ones.
        answers: the kind of answers, a name of `ANSWER_KINDS`.
    """

    title: str | None = None
    instruction: str | None = None
    label_names: Mapping[str, str] | None = None
    answers: str | None = None
    metric: str | None = None
    licence: str | None = None
    origin: str | None = None


def edit_task(workspace: Workspace, name: str, changes: TaskChanges) -> Task:
    """Changes a task in place, whole or not at all.

    Columns and splits cannot be changed so: the file is no longer there, and is added again for that.

    Raises:
        BadInput: there is no such task, it belongs to the suite, or a change cannot be made.
    """
    if name not in workspace.task_names():
        load_task(name, workspace)  # tells of names that are unknown
        raise BadInput(f"task {name!r} ships with the Studio; only tasks that were added can be changed", field="task")
    task = load_task(name, workspace)
    about = dict(task.about)
    for field in ("licence", "origin"):
        value = getattr(changes, field)
        if value is not None:
            about[field] = value
    if changes.instruction is not None and not changes.instruction.strip():
        raise BadInput("the instruction is empty; say what to do, as in 'is this good or bad?'", field="instruction")
    task = replace(
        task,
        title=changes.title or task.title,
        instruction=" ".join((changes.instruction or task.instruction).split()),
        about=about,
    )
    if changes.label_names:
        task = _renamed(task, changes.label_names)
    if changes.answers is not None:
        task = _of_kind(task, changes.answers)
    if changes.metric is not None:
        task = replace(task, metric=METRICS.check(changes.metric))
    save_task(task, workspace, replace=True)
    return load_task(name, workspace)


class _Renamed(Sequence[Example]):
    """Examples whose answers have other names."""

    def __init__(self, examples: Sequence[Example], names: Mapping[str, str]):
        self._examples, self._names = examples, names

    def __len__(self) -> int:
        return len(self._examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        example = self._examples[index]
        return replace(example, answer=self._names.get(example.answer, example.answer))


def _renamed(task: Task, given: Mapping[str, str]) -> Task:
    if task.labels is None:
        raise BadInput(f"task {task.name!r} has open answers, so there are no labels to name", field="label_names")
    by_key = {answer_key(label): label for label in task.labels}
    unknown = [old for old in given if answer_key(old) not in by_key]
    if unknown:
        raise BadInput(
            f"task {task.name!r} has no label {unknown[0]!r}; it has {', '.join(map(repr, task.labels[:10]))}",
            field="label_names",
        )
    names = {label: label for label in task.labels} | {by_key[answer_key(old)]: new for old, new in given.items()}
    if len({answer_key(name) for name in names.values()}) < len(names):
        raise BadInput("two labels would have one name; give each its own", field="label_names")
    splits = {split: _Renamed(examples, names) for split, examples in task.splits.items()}
    return replace(task, labels=tuple(sorted(names.values())), splits=splits)


def _answers(task: Task) -> Iterator[str]:
    return (example.answer for examples in task.splits.values() for example in examples)


def _of_kind(task: Task, kind: str) -> Task:
    record = ANSWER_KINDS[kind]
    labels: tuple[str, ...] | None = None
    if kind == "labels":
        labels = tuple(sorted(set(_answers(task))))
        trained = {example.answer for example in task.split("train")}
        without = [label for label in labels if label not in trained]
        if without:
            raise BadInput(f"answer {without[0]!r} has no training row, so it cannot be a label", field="answers")
    elif kind == "number":
        odd = next((answer for answer in _answers(task) if number(answer) is None), None)
        if odd is not None:
            raise BadInput(f"answer {odd!r} is not a number", field="answers")
    elif kind == "box":
        raise BadInput("boxes are found when the file is read; add it again with --answers box", field="answers")
    return replace(task, labels=labels, metric=record.metric, about={**task.about, "answers": kind})
