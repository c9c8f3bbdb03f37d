"""A task as a file that somebody else can add: a zip with its card, its table and its images. Torch-free."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.base import Example, ImageSource, Task
from pituning.tasks.cards import card_of, card_text
from pituning.tasks.images import BytesImage, FileImage, image_suffix
from pituning.workspace.atomic import write_bytes

DRAWN_SIZE = 96
"""Pixels of an exported image of a drawn task; a task from files keeps its own images."""


def export_task(task: Task, path: Path) -> int:
    """Writes a task as a zip, or a task on text alone as JSON lines without its card.

    Returns:
        the number of rows.

    Raises:
        BadInput: the name ends otherwise, or JSON lines are asked for and there are images.
    """
    if path.suffix not in (".zip", ".jsonl") or (path.suffix == ".jsonl" and task.modality != "language"):
        ending = ".zip or .jsonl" if task.modality == "language" else ".zip"
        raise BadInput(
            f"file {str(path)!r} must end in {ending}: the task is of modality {task.modality}", field="file"
        )
    lines: list[str] = []
    images: dict[str, bytes] = {}
    for split, examples in task.splits.items():
        for index in range(len(examples)):
            row = _row(examples[index], split)
            if examples[index].image is not None:
                data, suffix = _image_bytes(examples[index].image)
                row["image"] = f"images/{split}-{index}.{suffix}"
                images[row["image"]] = data
            lines.append(json.dumps(row, ensure_ascii=False))
    table = ("\n".join(lines) + "\n").encode()
    write_bytes(path, table if path.suffix == ".jsonl" else _zip(task, table, images))
    return len(lines)


def _row(example: Example, split: str) -> dict[str, Any]:
    row: dict[str, Any] = {"text": example.text, "answer": list(example.accepted) or example.answer, "split": split}
    if not example.text and example.image is not None:
        del row["text"]
    return row


def _zip(task: Task, table: bytes, images: dict[str, bytes]) -> bytes:
    columns = {"text": "text", "answer": "answer", "image": "image", "split": "split"}
    present = (
        {"answer", "split"} | ({"image"} if images else set()) | ({"text"} if b'"text"' in table[:10_000] else set())
    )
    card = card_of(task)
    made_from = {"columns": card.pop("columns"), "template": card.pop("template"), "file": task.about.get("file", "")}
    card |= {"columns": {column: role for column, role in columns.items() if column in present}, "made_from": made_from}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:  # images are compressed already
        archive.writestr("card.yaml", card_text(card), compress_type=zipfile.ZIP_DEFLATED)
        archive.writestr("table.jsonl", table, compress_type=zipfile.ZIP_DEFLATED)
        for name, data in images.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _image_bytes(image: ImageSource | None) -> tuple[bytes, str]:
    """The bytes of an image as it came, or of a drawn one as PNG, and the ending of its name."""
    if isinstance(image, BytesImage | FileImage):
        data = image.data if isinstance(image, BytesImage) else image.read()
        return data, image_suffix(data)
    assert image is not None
    stream = io.BytesIO()
    image.render(DRAWN_SIZE).convert("RGB").save(stream, format="PNG")
    return stream.getvalue(), "png"
