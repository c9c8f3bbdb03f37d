"""Reads a table once, row by row, and finds what task it makes and what stands in the way. Torch-free.

Of each row only a few numbers are kept, so that a table of any length takes little memory.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from pituning.errors import BadInput
from pituning.tasks.answering import AnswerProblem, AnswerReader, answer_reader, label_parts
from pituning.tasks.answers import answer_key, clean_text, shown_label
from pituning.tasks.base import SPLITS, ImageSource, Modality
from pituning.tasks.boxes import four_numbers
from pituning.tasks.images import BytesImage, FileImage, open_image
from pituning.tasks.mapping import ColumnMapping
from pituning.tasks.problems import MAX_PROBLEMS, TableError, in_order
from pituning.tasks.reading import Row, RowProblem, Table, as_text
from pituning.tasks.reading.splits import SPLIT_NAMES
from pituning.tasks.table_options import TableOptions
from pituning.tasks.tallying import MAX_LABELS, Tally, find_kind, minus_one

MIN_ROWS = 4
MAX_TEXT = 100_000
SIZES_OF_BOXES = 1000
FIRST_IMAGES = 200


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row that can be used, as it was read."""

    number: int
    text: str
    answer: str
    accepted: tuple[str, ...]
    image: ImageSource | None
    question: int
    split: str | None
    file: str | None = None

    @property
    def place(self) -> tuple[str, int]:
        """See `RowProblem.place`."""
        return self.file or "", self.number


@dataclass(kw_only=True)
class Examined:
    """What one pass over a table found.

    Args:
        table: that was read.
        columns: which column is what.
        options: how it becomes a task.
        kind: of the answers.
        reader: of the answers.
        rows: (N,) numbers of the rows that can be used.
        questions: (N,) equal where rows ask the same question.
        answers: (N,) equal where rows have the same answer.
        splits: (N,) the split that the file names, a place in `SPLITS`; -1 where it names none.
        counts: how often each label comes up.
        missing: how often no answer is written how.
        unanswered: the first `MAX_PROBLEMS` rows without an answer.
        problems: rows that cannot be used.
        notes: one line each.
    """

    table: Table
    columns: ColumnMapping
    options: TableOptions
    kind: str
    reader: AnswerReader
    rows: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    splits: np.ndarray
    counts: Counter[str]
    missing: Counter[str]
    unanswered: tuple[RowProblem, ...]
    problems: tuple[RowProblem, ...]
    notes: tuple[str, ...]

    @property
    def modality(self) -> Modality:
        if self.columns.image is None:
            return "language"
        return "vision-language" if self.columns.texts else "vision"

    def usable(self) -> Iterator[TableRow]:
        """The rows that can be used, read again; their images are not looked into once more."""
        bad = {problem.place for problem in self.problems}
        rows = read_rows(self.table, self.columns, self.reader, check=False)
        return (row for row in rows if isinstance(row, TableRow) and row.place not in bad)


def check_columns(table: Table, columns: ColumnMapping) -> None:
    """Raises `BadInput` where a column is not there, is chosen twice, or none is chosen to be read."""
    roles = [("text", column) for column in columns.texts] + [("answer", column) for column in columns.answers]
    roles += [("image", columns.image)] if columns.image is not None else []
    for role, column in roles:
        if column not in table.columns:
            have = ", ".join(map(repr, table.columns))
            raise BadInput(f"file {table.filename!r} has no column {column!r}; choose one of {have}", field=role)
    if not columns.texts and columns.image is None:
        raise BadInput("neither a text nor an image column is chosen; choose at least one", field="text")
    used = [column for _, column in roles]
    if len(set(used)) < len(used):
        twice = next(column for column in used if used.count(column) > 1)
        raise BadInput(f"column {twice!r} is chosen twice; choose another one", field="answer")


def examine(table: Table, columns: ColumnMapping, options: TableOptions | None = None) -> Examined:
    """Reads a table twice: once for what its answers are, once for each row.

    Raises:
        BadInput: a column is missing, or there are too few rows.
        TableError: `MAX_PROBLEMS` rows cannot be used; the others are not read.
    """
    options = options or TableOptions()
    check_columns(table, columns)
    _check_images(table, columns)
    tally, questions, answers = _count(table, columns)
    kind = options.answers or find_kind(tally, questions, answers, columns.answers[0])
    if kind in ("labels", "several") and tally.full:
        raise BadInput(
            f"column {columns.answers[0]!r} has more than {MAX_LABELS:,} different answers, too many for labels; "
            "choose open answers or another column",
            field="answer",
        )
    drop = kind == "labels" and options.missing != "keep" and "-1" not in options.label_names and minus_one(tally)
    names = _label_names(table, columns, options)
    reader, notes = answer_reader(
        tally, kind, names=names, drop_minus_one=drop, keep_missing=options.missing == "keep",
        box_format=options.box_format, sizes=_sizes(table, columns) if kind == "box" else (),
    )  # fmt: skip
    numbers, keys, codes, splits = array("q"), array("q"), array("q"), array("b")
    counts: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    unanswered: list[RowProblem] = []
    problems: list[RowProblem] = []
    for row in read_rows(table, columns, reader, check=True):
        if isinstance(row, RowProblem):
            problems.append(row)
            if len(problems) >= MAX_PROBLEMS:
                raise TableError(table.filename, problems)
        elif isinstance(row, _NoAnswer):
            missing[row.written] += 1
            if len(unanswered) < MAX_PROBLEMS:
                unanswered.append(RowProblem(row.number, "has no answer", columns.answers[0], row.file))
        else:
            numbers.append(row.number)
            keys.append(row.question)
            codes.append(hash(row.answer) & (2**62 - 1))
            splits.append(-1 if row.split is None else SPLITS.index(row.split))
            if kind == "labels":
                counts[row.answer] += 1
    if len(numbers) + len(problems) + missing.total() < MIN_ROWS:
        raise BadInput(f"file {table.filename!r} has {len(numbers)} rows; give at least {MIN_ROWS}", field="file")
    if kind == "several":
        known = sorted(reader.labels.values()) if len(columns.answers) == 1 else list(columns.answers)
        single = sorted({part for label in known for part in label_parts(label)})
        notes.append(f"{len(single)} labels, of which several can be true at once: {', '.join(single[:10])}")
    if kind == "number":
        notes.append("answers are numbers and scored by their correlation; --answers labels takes them as labels")
    if columns.names is not None:
        notes.append(f"the labels are named by the column {columns.names!r}; --label-names names them otherwise")
    if kind == "labels" and not names and counts and all(label.isdigit() for label in counts):
        example = ",".join(f"{label}=…" for label in sorted(counts)[:3])
        notes.append(f"the labels are numbers, which is what the model says; --label-names {example} gives them names")
    return Examined(
        table=table, columns=columns, options=options, kind=kind, reader=reader,
        rows=np.frombuffer(numbers, dtype=np.int64), questions=np.frombuffer(keys, dtype=np.int64),
        answers=np.frombuffer(codes, dtype=np.int64), splits=np.frombuffer(splits, dtype=np.int8), counts=counts,
        missing=missing, unanswered=tuple(unanswered), problems=in_order(problems),
        notes=tuple(notes),
    )  # fmt: skip


def _check_images(table: Table, columns: ColumnMapping) -> None:
    """Refuses a table none of whose images is with it."""
    if columns.image is None:
        return
    first = [row.cells.get(columns.image) for row, _ in zip(table.rows(), range(FIRST_IMAGES), strict=False)]
    if any(isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes) for cell in first):
        return
    names = [name for cell in first if (name := as_text(cell).strip()) and not isinstance(cell, dict)]
    if table.images is not None and (not names or any(map(table.images.has, names))):
        return
    form = f"give a zip or a folder with this table and the image files{_box_form(table, columns, names)}"
    if any("://" in name for name in names):
        message = f"column {columns.image!r} holds web addresses ({names[0][:80]!r}), which are not fetched; {form}"
    elif table.images is None:
        message = f"column {columns.image!r} names images, but {table.filename!r} has none with it; {form}"
    else:
        first_name = names[0][:80]
        message = (
            f"column {columns.image!r} names images ({first_name!r}), and {table.filename!r} has none of them; {form}"
        )
    raise BadInput(message, field="image")


def _box_form(table: Table, columns: ColumnMapping, names: Sequence[str]) -> str:
    """How a table of boxes lies beside its images, and what is read of it; empty where answers are no boxes."""
    if len(columns.answers) != 4:
        return ""
    looked_for = f"what to look for in it ({', '.join(map(repr, columns.texts))}) " if columns.texts else ""
    return (
        f": {PurePath(table.filename).name} beside {names[0][:80] if names else 'a.jpg'}, where each row is an image "
        f"({columns.image!r}), {looked_for}and a box in its pixels ({', '.join(map(repr, columns.answers))})"
    )


def _count(table: Table, columns: ColumnMapping) -> tuple[Tally, np.ndarray, np.ndarray]:
    """What the answers are, and for each row with one the number of its question and of its answer."""
    tally = Tally(columns)
    questions, answers = array("q"), array("q")
    for row in table.rows():
        code = tally.add(row.cells)
        if code >= 0:
            image = as_text(row.cells.get(columns.image)) if columns.image is not None else ""
            questions.append(hash((columns.render(row.cells, clean_text) if columns.texts else "", image)))
            answers.append(code)
    return tally, np.frombuffer(questions, dtype=np.int64), np.frombuffer(answers, dtype=np.int64)


def _label_names(table: Table, columns: ColumnMapping, options: TableOptions) -> dict[str, str]:
    """The names of coded labels: those that are given, those beside the codes, or those of the file's own types."""
    if options.label_names:
        return {answer_key(code): name for code, name in options.label_names.items()}
    if columns.names is not None and len(columns.answers) == 1:
        beside: dict[str, dict[str, int]] = {}
        for row in table.rows():
            name = clean_text(as_text(row.cells.get(columns.names)))
            spelled = beside.setdefault(answer_key(as_text(row.cells.get(columns.answers[0]))), {})
            if name:
                spelled[name] = spelled.get(name, 0) + 1
            if len(beside) > 100_000:
                raise BadInput(
                    f"column {columns.names!r} names more than 100,000 labels; choose another", field="label_names"
                )
        return {code: shown_label(spelled) for code, spelled in beside.items() if spelled}
    names = table.label_names.get(columns.answers[0], ())
    return {str(code): name for code, name in enumerate(names)}


def _sizes(table: Table, columns: ColumnMapping) -> list[tuple[tuple[float, ...], tuple[int, int]]]:
    """The four numbers of the first rows, with the sizes of their images."""
    sizes: list[tuple[tuple[float, ...], tuple[int, int]]] = []
    if columns.image is None or len(columns.answers) != 1:
        return sizes
    for row, _ in zip(table.rows(), range(SIZES_OF_BOXES), strict=False):
        numbers = four_numbers(row.cells.get(columns.answers[0]))
        if numbers is None:
            continue
        try:
            size = open_image(_image(table, row.cells[columns.image])[1]).size
        except BadInput:
            continue
        sizes.append((numbers, size))
    return sizes


@dataclass(frozen=True)
class _NoAnswer:
    number: int
    written: str
    file: str | None

    @property
    def place(self) -> tuple[str, int]:
        return self.file or "", self.number


def read_rows(
    table: Table, columns: ColumnMapping, reader: AnswerReader, *, check: bool
) -> Iterator[TableRow | RowProblem | _NoAnswer]:
    """The rows of a table as they become examples.

    Args:
        check: whether to look into every image.
    """
    used = frozenset(columns.used)
    pending: TableRow | RowProblem | _NoAnswer | None = None
    for row in table.read():
        # A problem of one cell follows the row that holds it.
        if isinstance(row, RowProblem):
            if row.column is None or row.column in used:
                if pending is not None and not isinstance(pending, RowProblem) and pending.place == row.place:
                    pending = None
                yield row
            continue
        if pending is not None:
            yield pending
        try:
            pending = _read_row(table, columns, reader, row, check)
        except (_RowError, AnswerProblem) as error:
            column = error.column if isinstance(error, _RowError) else columns.answers[0]
            pending = RowProblem(row.number, str(error), column, row.file)
    if pending is not None:
        yield pending


class _RowError(Exception):
    def __init__(self, message: str, column: str):
        super().__init__(message)
        self.column = column


def _read_row(
    table: Table, columns: ColumnMapping, reader: AnswerReader, row: Row, check: bool
) -> TableRow | _NoAnswer:
    cells = row.cells
    text = columns.render(cells, clean_text) if columns.texts else ""
    image, digest, size = None, 0, None
    if columns.image is not None:
        image, digest, size = _checked_image(
            table, columns.image, cells.get(columns.image), check or reader.kind == "box"
        )
    answer = reader.read(cells, size)
    if answer is None:
        return _NoAnswer(row.number, as_text(cells.get(columns.answers[0])).strip(), row.file)
    for column in columns.texts:
        if len(as_text(cells.get(column))) > MAX_TEXT:
            length = len(as_text(cells.get(column)))
            raise _RowError(f"{column!r} has {length} characters, more than {MAX_TEXT}", column)
    if columns.image is None and not any(as_text(cells.get(column)).strip() for column in columns.texts):
        raise _RowError(f"{columns.texts[0]!r} is empty", columns.texts[0])
    split = None
    if columns.split is not None:
        written = as_text(cells.get(columns.split)).strip().lower()
        split = SPLIT_NAMES.get(written)
        if split is None:
            raise _RowError(f"split {written!r} is none of train, validation, test", columns.split)
    return TableRow(
        number=row.number, text=text, answer=answer[0], accepted=answer[1], image=image,
        question=hash((text, digest)), split=split, file=row.file,
    )  # fmt: skip


def _checked_image(
    table: Table, column: str, cell: Any, check: bool
) -> tuple[ImageSource, int, tuple[int, int] | None]:
    """An image, a number that is equal for equal images, and its size where it was looked into."""
    name = as_text(cell).strip() if not isinstance(cell, dict) else str(cell.get("path") or "the image")
    if not name:
        raise _RowError(f"{column!r} is empty", column)
    try:
        image, data = _image(table, cell)
    except BadInput as error:
        raise _RowError(str(error), column) from error
    size = None
    if check:
        try:
            size = open_image(data).size
        except BadInput as error:
            raise _RowError(f"{name!r} {error}", column) from error
    return image, hash(hashlib.blake2b(data, digest_size=16).digest()), size


def _image(table: Table, cell: Any) -> tuple[ImageSource, bytes]:
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):
        data: bytes = cell["bytes"]
        return BytesImage(data), data
    name = str(cell.get("path")) if isinstance(cell, dict) else as_text(cell).strip()
    if table.images is None:
        raise BadInput(f"image {name!r} did not come with the table; give a zip with both")
    data = table.images.read(name)
    place = getattr(table.images, "file", lambda _: None)(name)
    return (FileImage(Path(place)) if place is not None else BytesImage(data)), data
