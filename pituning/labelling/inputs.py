"""Which columns a task reads, and the example that a row becomes. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pituning.errors import BadInput
from pituning.labelling.rows import AnyRow
from pituning.tasks.base import Example, Task
from pituning.tasks.files import MAX_TEXT, clean_text, usual_column
from pituning.tasks.images import BytesImage, open_image
from pituning.tasks.reading import RowProblem, Table, as_text


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The columns that are read.

    Args:
        text: what follows the instruction; None for a task on images alone.
        image: names of images; None for a task on text alone.
    """

    text: str | None
    image: str | None


class Unreadable(Exception):
    """A row cannot become an example; the message is the end of a sentence about it."""


def reading_of(task: Task, table: Table, *, text: str | None = None, image: str | None = None) -> Reading:
    """The columns of a file that a task reads: those that are named, else those of the task, else by their usual names.

    Raises:
        BadInput: one is missing; the message names it and what is there.
    """
    named = {"text": text, "image": image}
    wanted = {"text": task.modality != "vision", "image": task.modality != "language"}
    found: dict[str, str | None] = {"text": None, "image": None}
    for role in ("image", "text"):
        if not wanted[role]:
            if named[role] is not None:
                raise BadInput(f"task {task.name!r} reads no {role}; leave --{role}-column out", field=f"{role}_column")
            continue
        taken = [column for column in found.values() if column is not None]
        found[role] = _column(task, table, role, named[role], taken)
    if found["image"] is not None and table.images is None:
        raise BadInput(
            f"task {task.name!r} reads images, and {table.filename!r} has none with it; give a zip or folder of both",
            field="file",
        )
    return Reading(text=found["text"], image=found["image"])


def _column(task: Task, table: Table, role: str, named: str | None, taken: list[str]) -> str:
    free = [column for column in table.columns if column not in taken]
    wanted = named or task.columns.get(role)
    if wanted is not None and wanted in free:
        return wanted
    guess = None if named is not None or wanted is not None else usual_column(free, role)
    if guess is None and named is None and wanted is None and len(free) == 1:
        guess = free[0]
    if guess is not None:
        return guess
    what = f"no column {wanted!r}" if wanted is not None else f"no column that is known to hold the {role}"
    there = ", ".join(map(repr, table.columns))
    raise BadInput(
        f"file {table.filename!r} has {what}, which task {task.name!r} reads; it has {there}: "
        f"name the column with the {role}, --{role}-column",
        field=f"{role}_column",
    )


def example_of(task: Task, reading: Reading, row: AnyRow, table: Table) -> Example:
    """A row as the task's own examples are.

    Raises:
        Unreadable: the row lacks its text or image, or they cannot be used.
    """
    if isinstance(row, RowProblem):
        raise Unreadable(row.message)
    text, image = "", None
    if reading.text is not None:
        # JSON can spell half of a surrogate pair, which no tokenizer takes.
        text = clean_text(as_text(row.cells.get(reading.text)).encode("utf-8", "replace").decode())
        if not text and reading.image is None:
            raise Unreadable(f"{reading.text!r} is empty")
        if len(text) > MAX_TEXT:
            raise Unreadable(f"{reading.text!r} has {len(text)} characters, more than {MAX_TEXT}")
    if reading.image is not None:
        image = _image(row.cells, reading.image, table)
    return Example(uid=f"{task.name}/row/{row.number}", text=text, answer="", image=image)


def _image(cells: Mapping[str, Any], column: str, table: Table) -> BytesImage:
    name = as_text(cells.get(column)).strip()
    if not name:
        raise Unreadable(f"{column!r} is empty")
    assert table.images is not None
    try:
        data = table.images.read(name)
    except BadInput as error:
        raise Unreadable(str(error)) from error
    try:
        open_image(data)
    except BadInput as error:
        raise Unreadable(f"{name!r} {error}") from error
    return BytesImage(data)
