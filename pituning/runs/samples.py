"""A few rows of data that is no task yet, kept so that a backbone can be asked about them. Torch-free.

They lie as a task lies, under a name that their contents give, so that the same rows are asked about once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pituning.errors import BadInput
from pituning.tasks.answers import clean_text
from pituning.tasks.base import Example, ImageSource, Modality, Task
from pituning.tasks.images import BytesImage, FileImage
from pituning.tasks.saved import load_saved_task, write_task
from pituning.workspace.atomic import atomic_directory, sha256
from pituning.workspace.layout import Workspace

SPLIT = "test"
"""Of a sample, where its rows are."""

_NAME = re.compile(r"sample-[0-9a-f]{32}")


def sample_of(
    rows: Sequence[Example], *, instruction: str, modality: Modality, metric: str, labels: Sequence[str] | None,
    title: str,
) -> Task:  # fmt: skip
    """Rows as a task, which has them in its test split.

    Args:
        rows: with images that are files, not drawn ones.
    """
    asked = " ".join(clean_text(instruction).split())
    contents = [
        asked, modality, metric, list(labels) if labels is not None else None,
        [[row.text, row.answer, list(row.accepted), _digest(row.image)] for row in rows],
    ]  # fmt: skip
    return Task(
        name=f"sample-{sha256(json.dumps(contents).encode())[:32]}",
        title=title,
        instruction=asked,
        modality=modality,
        metric=metric,
        labels=None if labels is None else tuple(labels),
        source="file",
        splits={
            "train": (), "validation": (),
            SPLIT: tuple(replace(row, uid=f"sample/{SPLIT}/{number}") for number, row in enumerate(rows)),
        },
    )  # fmt: skip


def keep_sample(sample: Task, workspace: Workspace) -> None:
    """Writes a sample into the workspace, once."""
    directory = _directory(workspace, sample.name)
    if not directory.is_dir():
        with atomic_directory(directory) as folder:
            write_task(sample, folder)


def kept_sample(name: str, workspace: Workspace) -> Task:
    """The sample of that name.

    Raises:
        BadInput: there is none.
        ArtefactError: it is damaged.
    """
    if _NAME.fullmatch(name) is None or not _directory(workspace, name).is_dir():
        raise BadInput(f"sample {name!r} is not there; give examples of a task", field="sample")
    return load_saved_task(_directory(workspace, name))


def drop_sample(name: str, workspace: Workspace, remove: Callable[[Path], None]) -> None:
    """Removes a kept sample, if it is there, by what `pituning.workspace.atomic.removing` yields."""
    if _NAME.fullmatch(name) is not None:
        remove(_directory(workspace, name))


def _directory(workspace: Workspace, name: str) -> Path:
    return workspace.root / "questions" / name


def _digest(image: ImageSource | None) -> str | None:
    if image is None:
        return None
    if not isinstance(image, BytesImage | FileImage):
        raise BadInput("the image of a row is drawn, not a file; a sample holds files")
    return sha256(image.data if isinstance(image, BytesImage) else image.read())
