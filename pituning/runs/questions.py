"""What experts are asked: examples of a task, or a text and an image of somebody's own. Torch-free."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pituning.errors import BadInput
from pituning.experts.card import read_card
from pituning.registry import unknown
from pituning.runs.configs import AnswerRun
from pituning.runs.samples import kept_sample
from pituning.tasks.base import Example, Task
from pituning.tasks.images import FileImage, fit, open_image
from pituning.tasks.registry import load_task
from pituning.workspace.atomic import sha256, write_bytes
from pituning.workspace.layout import Workspace

IMAGE_SIZE = 256
"""Pixels of a kept image: more than a backbone looks at, and crisp enough for people."""

_KEPT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What a run asks, with everything that it needs found.

    Args:
        experts: their directories by name.
        examples: the questions; the answer of somebody's own question is empty.
        names: ``test/3`` of each, None for somebody's own.
    """

    task: Task
    experts: Mapping[str, Path]
    examples: Sequence[Example]
    names: Sequence[str | None]


def find_questions(config: AnswerRun, workspace: Workspace) -> Questions:
    """The task, the experts and the examples that a run names.

    Raises:
        BadInput: one of them is not there, or the task wants a text or an image that is missing.
        ArtefactError: the first expert's card is damaged.
    """
    directories = workspace.zoo(config.backbone).all_expert_dirs(config.kind)
    for name in config.experts:
        if name not in directories:
            raise unknown("expert", name, list(directories))
    experts = {name: directories[name] for name in config.experts}
    if config.sample is not None:
        task = kept_sample(config.sample, workspace)
    else:
        task = load_task(config.task or read_card(experts[config.experts[0]]).task, workspace)
    if config.example:
        examples = [_example(task, name) for name in config.example]
        return Questions(task=task, experts=experts, examples=examples, names=config.example)
    return Questions(task=task, experts=experts, examples=[_own(config, task, workspace)], names=[None])


def keep_image(data: bytes, workspace: Workspace) -> str:
    """Keeps an image for a question, small and square, and returns its name.

    Raises:
        BadInput: it is no image that can be read.
    """
    try:
        image = fit(open_image(data), IMAGE_SIZE)
    except BadInput as error:
        raise BadInput(f"the image {error}", field="image") from error
    stream = io.BytesIO()
    image.save(stream, "PNG")
    name = sha256(stream.getvalue())[:32]
    write_bytes(_path(workspace, name), stream.getvalue())
    return name


def kept_image(name: str, workspace: Workspace) -> FileImage:
    """The image of that name.

    Raises:
        BadInput: there is none.
    """
    if _KEPT.fullmatch(name) is None or not _path(workspace, name).is_file():
        raise BadInput(f"image {name!r} is not there; give the path of an image file", field="image")
    return FileImage(_path(workspace, name))


def drop_image(name: str, workspace: Workspace, remove: Callable[[Path], None]) -> None:
    """Removes a kept image, if it is there, by what `pituning.workspace.atomic.removing` yields."""
    if _KEPT.fullmatch(name) is not None:
        remove(_path(workspace, name))


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.root / "questions" / f"{name}.png"


def _example(task: Task, name: str) -> Example:
    split, _, number = name.partition("/")
    examples = task.split(split)
    if int(number) >= len(examples):
        raise BadInput(
            f"example {name!r} is not there; task {task.name!r} has {len(examples)} {split} examples, counted from 0",
            field="example",
        )
    return examples[int(number)]


def _own(config: AnswerRun, task: Task, workspace: Workspace) -> Example:
    text = (config.text or "").strip()
    if task.modality != "vision" and not text:
        raise BadInput(f"task {task.name!r} is about a text; write one", field="text")
    if task.modality == "language" and config.image is not None:
        raise BadInput(f"task {task.name!r} is about texts alone; leave the image out", field="image")
    if task.modality != "language" and config.image is None:
        raise BadInput(f"task {task.name!r} is about an image; give one", field="image")
    image = None if config.image is None else kept_image(config.image, workspace)
    return Example(uid=f"{task.name}/own/0", text=text, answer="", image=image)
