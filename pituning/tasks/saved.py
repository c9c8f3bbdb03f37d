"""Tasks of a workspace on disk: ``tasks/<name>/`` with task.json, examples.jsonl and images/. Torch-free."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError, BadInput
from pituning.tasks.base import SPLITS, ImageSource, Task
from pituning.tasks.images import BytesImage, FileImage, image_suffix
from pituning.tasks.metrics import METRICS
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.stored import StoredExamples, example_line, find_examples
from pituning.workspace.atomic import atomic_directory
from pituning.workspace.documents import parse_json
from pituning.workspace.layout import Workspace, free_name

FORMAT_VERSION = 1
_IMAGE_NAME = re.compile(r"[0-9a-f]{32}\.[a-z]{3,4}")
_TEXTS = ("name", "title", "instruction", "modality", "metric", "description", "examples_sha256")


def save_task(task: Task, workspace: Workspace, *, replace: bool = False) -> Path:
    """Writes a task into the workspace, whole or not at all.

    Args:
        replace: whether one of that name may be there, whose place this one takes.

    Raises:
        BadInput: a task of that name is there already.
    """
    directory = workspace.task_dir(task.name)
    if task.name in TASK_NAMES or (directory.exists() and not replace):
        raise name_taken(task.name, workspace)
    with atomic_directory(directory, taken=None if replace else name_taken(task.name, workspace)) as folder:
        write_task(task, folder)
    return directory


def taken_names(workspace: Workspace) -> set[str]:
    """The names that no new task may have."""
    return {*TASK_NAMES, *workspace.task_names()}


def name_taken(name: str, workspace: Workspace) -> BadInput:
    """The error of a name that a task has, with one that is free."""
    free = free_name(name, {name, *taken_names(workspace)})
    return BadInput(f"there is a task {name!r} already; choose another name, such as {free!r}", field="name")


def write_task(task: Task, folder: Path) -> None:
    """Writes the files of a task into an empty directory that nobody reads yet.

    Raises:
        BadInput: an image of it is drawn, not a file.
    """
    (folder / "images").mkdir()
    digest = hashlib.sha256()
    with (folder / "examples.jsonl").open("wb") as file:
        for split in SPLITS:
            for example in task.split(split):
                image = _save_image(example.image, folder / "images", example.uid)
                line = example_line(split, example.text, example.answer, image, example.accepted)
                digest.update(line)
                file.write(line)
    card = {
        "format_version": FORMAT_VERSION,
        "name": task.name,
        "title": task.title,
        "instruction": task.instruction,
        "modality": task.modality,
        "metric": task.metric,
        "labels": list(task.labels) if task.labels is not None else None,
        "description": task.description,
        "families": list(task.families),
        "sizes": {split: len(task.split(split)) for split in SPLITS},
        "examples_sha256": digest.hexdigest(),
        "about": dict(task.about),
    }
    (folder / "task.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _save_image(image: ImageSource | None, folder: Path, uid: str) -> str | None:
    """Keeps the bytes as they came, under their own checksum, so that an image used twice is stored once."""
    if image is None:
        return None
    if isinstance(image, BytesImage):
        data = image.data
    elif isinstance(image, FileImage):
        data = image.read()
    else:
        raise BadInput(f"the image of example {uid!r} is drawn, not a file; only tasks made from files are saved")
    suffix = image_suffix(data)
    name = f"{hashlib.sha256(data).hexdigest()[:32]}.{suffix}"
    path = folder / name
    if not path.exists():
        path.write_bytes(data)
    return name


def read_card(directory: Path) -> dict[str, Any]:
    """The checked content of a task's task.json.

    Raises:
        ArtefactError: it is missing, damaged or of another format version.
    """
    path = directory / "task.json"
    try:
        card = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtefactError(f"task {directory.name!r} has no {path}; add the task again") from error
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}); add the task again") from error
    if not isinstance(card, dict) or card.get("format_version") != FORMAT_VERSION:
        version = card.get("format_version") if isinstance(card, dict) else None
        raise ArtefactError(
            f"{path} has format version {version!r}, this program reads {FORMAT_VERSION}; add the task again"
        )
    labels, sizes = card.get("labels"), card.get("sizes")
    sound = (
        all(isinstance(card.get(key), str) for key in _TEXTS)
        and card["modality"] in ("vision", "language", "vision-language")
        and (labels is None or (isinstance(labels, list) and all(isinstance(label, str) for label in labels)))
        and isinstance(sizes, dict)
        and all(isinstance(sizes.get(split), int) for split in SPLITS)
        and _texts(card.get("families", []))
        and isinstance(about := card.get("about", {}), dict)
        and _texts(about.get("dealt", []))
    )
    if not sound:
        raise ArtefactError(f"{path} is not a task card (a field is missing or of the wrong type); add the task again")
    if card["metric"] not in METRICS:
        raise ArtefactError(
            f"{path} names the metric {card['metric']!r}, which is unknown; known: {', '.join(METRICS)}; "
            "install the package that brings it or add the task again"
        )
    if card["name"] != directory.name:
        raise ArtefactError(f"{path} is of task {card['name']!r}; give its folder that name again")
    return card


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def load_saved_task(directory: Path) -> Task:
    """A task that `save_task` wrote; its images are read when they are drawn.

    Raises:
        ArtefactError: a file is missing, damaged, or not what the card says.
    """
    card = read_card(directory)
    path = directory / "examples.jsonl"
    try:
        splits = _read_examples(path, card["name"], directory / "images", card["examples_sha256"])
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error.strerror}); add the task again") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path} is not what `save_task` writes ({error}); add the task again") from error
    return Task(
        name=card["name"],
        title=card["title"],
        instruction=card["instruction"],
        modality=card["modality"],
        metric=card["metric"],
        labels=tuple(card["labels"]) if card["labels"] is not None else None,
        description=card["description"],
        families=tuple(card.get("families", ())),
        source="file",
        splits=splits,
        about=card.get("about", {}),
    )


def _read_examples(path: Path, name: str, folder: Path, checksum: str) -> dict[str, StoredExamples]:
    images = {entry.name for entry in folder.glob("*")}
    digest = hashlib.sha256()
    lost: list[str] = []

    def check(line: bytes, record: Mapping[str, Any]) -> None:
        digest.update(line)
        image = record["image"]
        if not isinstance(record["text"], str) or not isinstance(record["answer"], str):
            raise TypeError("a text is no text")
        if image is not None and (not _IMAGE_NAME.fullmatch(image) or image not in images):
            lost.append(image)

    mismatch = ArtefactError(f"{path} does not match the checksum in task.json; add the task again")
    try:
        file, places = find_examples(path, check)
    except (KeyError, TypeError, ValueError) as error:
        raise mismatch from error
    if digest.hexdigest() != checksum:
        raise mismatch
    if lost:
        raise ArtefactError(f"task {name!r}: image {lost[0]!r} is missing; add the task again")
    return {
        split: StoredExamples(name, split, file, places[split], lambda image: FileImage(folder / image))
        for split in SPLITS
    }
