"""Which columns a task reads, and the example that a row becomes. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pituning.errors import BadInput
from pituning.labelling.rows import ALONE, IMAGE_COLUMN, AnyRow
from pituning.tasks.answers import clean_text
from pituning.tasks.base import Example, Task
from pituning.tasks.columns import ColumnMapping
from pituning.tasks.examining import MAX_TEXT
from pituning.tasks.images import BytesImage, open_image
from pituning.tasks.reading import RowProblem, Table, as_text, names


class Unreadable(Exception):
    """A row cannot become an example; the message is the end of a sentence about it."""


def reading_of(task: Task, table: Table, *, texts: Sequence[str] = (), image: str | None = None) -> ColumnMapping:
    """The columns of a file that a task reads: those that are named, else those of the task, else by their usual names.

    The mapping has no answer.

    Raises:
        BadInput: one is missing; the message names it and what is there.
    """
    about = task.about.get("columns", {})
    own_texts = [column for column, role in about.items() if role in ("text", "pair")]
    own_image = next((column for column, role in about.items() if role == "image"), None)
    if table.form == ALONE:
        own_image = IMAGE_COLUMN
    template = None if texts else task.about.get("template")
    if task.modality == "vision" and texts:
        raise BadInput(f"task {task.name!r} reads no text; leave --text-columns out", field="text_columns")
    if task.modality == "language" and image is not None:
        raise BadInput(f"task {task.name!r} reads no image; leave --image-column out", field="image_column")
    if task.modality != "language":
        image = _there(task, table, image or own_image, names.IMAGE, "image", "--image-column")
        if table.images is None and not _holds_bytes(table, image):
            raise BadInput(
                f"task {task.name!r} reads images, and {table.filename!r} has none with it; give a zip or folder of "
                "both",
                field="file",
            )
    wanted: list[str | None] = [*(texts or own_texts)] if task.modality != "vision" else []
    if task.modality != "vision" and not wanted:
        wanted = [None]
    found = tuple(_there(task, table, column, names.TEXT, "text", "--text-columns", taken=image) for column in wanted)
    return ColumnMapping(text=found, answer=(), image=image, template=template)


def _there(
    task: Task, table: Table, wanted: str | None, usual: Sequence[str], what: str, option: str, taken: str | None = None
) -> str:
    """A column that is in the file; without a name one with a usual name, or the only one."""
    free = [column for column in table.columns if column != taken]
    if wanted is None:
        plain = {names.plain_name(column): column for column in reversed(free)}
        guess = next((plain[name] for name in usual if name in plain), free[0] if len(free) == 1 else None)
        if guess is not None:
            return guess
    elif wanted in free:
        return wanted
    missing = f"no column {wanted!r}" if wanted is not None else f"no column that is known to hold the {what}"
    raise BadInput(
        f"file {table.filename!r} has {missing}, which task {task.name!r} reads; it has "
        f"{', '.join(map(repr, table.columns))}: name the column with the {what}, {option}",
        field=option[2:].replace("-", "_"),
    )


def _holds_bytes(table: Table, column: str) -> bool:
    """Whether the images are in the cells themselves, as data sets of the hub have them."""
    first = next(table.rows(), None)
    return first is not None and isinstance(first.cells.get(column), dict)


def example_of(task: Task, reading: ColumnMapping, row: AnyRow, table: Table) -> Example:
    """A row as the task's own examples are.

    Raises:
        Unreadable: the row lacks its text or image, or they cannot be used.
    """
    if isinstance(row, RowProblem):
        raise Unreadable(row.message)
    # JSON can spell half of a surrogate pair, which no tokenizer takes.
    text = reading.render(row.cells, clean_text).encode("utf-8", "replace").decode() if reading.texts else ""
    for column in reading.texts:
        length = len(as_text(row.cells.get(column)))
        if length > MAX_TEXT:
            raise Unreadable(f"{column!r} has {length} characters, more than {MAX_TEXT}")
    if reading.image is None and not any(as_text(row.cells.get(column)).strip() for column in reading.texts):
        raise Unreadable(f"{reading.texts[0]!r} is empty")
    image = None if reading.image is None else _image(row.cells.get(reading.image), reading.image, table)
    return Example(uid=f"{task.name}/row/{row.number}", text=text, answer="", image=image)


def _image(cell: Any, column: str, table: Table) -> BytesImage:
    inside = cell.get("bytes") if isinstance(cell, dict) else None
    name = str(cell.get("path") or "the image") if isinstance(cell, dict) else as_text(cell).strip()
    if not name:
        raise Unreadable(f"{column!r} is empty")
    try:
        if inside is None and table.images is None:
            raise BadInput(f"image {name!r} did not come with the table; give a zip with both")
        data = bytes(inside) if inside is not None else table.images.read(name)  # type: ignore[union-attr]
    except BadInput as error:
        raise Unreadable(str(error)) from error
    try:
        open_image(data)
    except BadInput as error:
        raise Unreadable(f"{name!r} {error}") from error
    return BytesImage(data)
