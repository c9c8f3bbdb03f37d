"""Turns a table that a user brings into a task: columns, checks row by row, answer space, splits. Torch-free."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pituning.errors import BadInput
from pituning.tasks.base import OPEN_ANSWER_CLASSES, SPLITS, Example, Modality, Task
from pituning.tasks.hints import MIN_ROWS_PER_CLASS, hints
from pituning.tasks.images import BytesImage, open_image
from pituning.tasks.metrics import parse_box
from pituning.tasks.saved import load_saved_task, save_task
from pituning.tasks.splitting import SPLIT_NAMES, assign_splits
from pituning.tasks.tables import ParsedTable, RowProblem, read_table
from pituning.workspace.layout import check_name

__all__ = [
    "ColumnMapping", "ParsedTable", "RowProblem", "TableError", "TablePreview", "guess_columns", "load_saved_task",
    "preview_table", "read_table", "save_task", "task_from_table",
]  # fmt: skip

MAX_CLASSES = 50
"""Answers are labels when there are at most 50 of them and each comes up three times on average; else they are open."""

MIN_ROWS = 4
MAX_TEXT = 4000
MAX_ANSWER = 400
SHOWN_PROBLEMS = 3

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SPLIT_COLUMN = "split"
_USUAL_COLUMNS = {
    "answer": ("answer", "label", "target", "class", "category", "output", "completion", "y"),
    "text": ("text", "sentence", "question", "input", "prompt", "review", "content", "premise", "x"),
    "image": ("image", "image_path", "img", "file", "filename", "file_name", "picture", "photo"),
}


class TableError(BadInput):
    """Rows of a table cannot be used; ``problems`` has them all, the message the first few."""

    def __init__(self, filename: str, problems: Sequence[RowProblem]):
        shown = "; ".join(map(str, problems[:SHOWN_PROBLEMS]))
        more = f"; and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        rows = len({problem.row for problem in problems})
        count, them = ("1 row", "it") if rows == 1 else (f"{rows} rows", "them")
        super().__init__(
            f"file {filename!r}: {count} cannot be used: {shown}{more}; correct or delete {them}", field="file"
        )
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Which column of a table is what. A column called ``split`` is always taken as the split.

    Args:
        text: what the model reads, or None for a task on images alone.
        answer: what the model should say.
        image: names of image files, or None for a task on text alone.
    """

    text: str | None = None
    answer: str
    image: str | None = None


@dataclass(frozen=True, kw_only=True)
class TablePreview:
    """What a table would become, for people to check before they add it.

    Args:
        modality: which columns make it.
        metric: how answers would be scored.
        labels: the closed answer space, or None for open answers.
        counts: how often each answer comes up, most frequent first; for open answers the 20 most frequent.
        sizes: examples per split.
        most_shots: the most shots per class that the training split allows.
        problems: rows that cannot be used; the task cannot be made while there are any.
        warnings: one line each, see `hints`.
        examples: the first usable examples, as the model will read them.
    """

    modality: Modality
    metric: str
    labels: tuple[str, ...] | None
    counts: dict[str, int]
    sizes: dict[str, int]
    most_shots: int
    problems: tuple[RowProblem, ...]
    warnings: tuple[str, ...]
    examples: tuple[Example, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Row:
    number: int
    text: str
    answer: str
    written: str
    """The answer before it was cleaned."""
    image: BytesImage | None
    split: str | None
    key: tuple[str, bytes]
    """Rows with the same key ask the same question."""


def usual_column(columns: Sequence[str], role: str) -> str | None:
    """The column that usually plays a role (``text``, ``image``, ``answer``), by its name; None where none does."""
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in _USUAL_COLUMNS[role] if name in lower), None)


def guess_columns(parsed: ParsedTable, *, answer: str | None = None) -> ColumnMapping:
    """The likely columns, by their usual names, then by position (the last one is the answer).

    Args:
        answer: the column with the answer where it is known.
    """
    usable = [column for column in parsed.columns if column.lower() != _SPLIT_COLUMN]
    if not usable:
        raise BadInput(f"file {parsed.filename!r} has no column for the answer; add one", field="answer")
    if len(usable) == 1:
        raise BadInput(
            f"file {parsed.filename!r} has one column only ({usable[0]!r}); add one with the text or the images",
            field="file",
        )
    found: dict[str, str] = {} if answer is None else {"answer": answer}
    lower = {column.lower(): column for column in reversed(usable) if column != answer}
    for role, names in _USUAL_COLUMNS.items():
        if role in found:
            continue
        match = next((lower[name] for name in names if name in lower), None)
        if match is not None and (role != "image" or parsed.images is not None):
            found[role] = match
    others = [column for column in usable if column not in found.values()]
    if "answer" not in found:
        found["answer"] = others.pop() if others else found.pop("text" if "text" in found else "image")
    if "text" not in found and "image" not in found and others:
        found["text"] = others[0]
    return ColumnMapping(text=found.get("text"), answer=found["answer"], image=found.get("image"))


def task_from_table(
    parsed: ParsedTable,
    *,
    name: str,
    title: str | None = None,
    instruction: str,
    columns: ColumnMapping,
    seed: int = 0,
    open_answers: bool | None = None,
) -> Task:
    """A task from a table. Text and answers are lower-cased, as the embedded backbone knows nothing else.

    Without a ``split`` column, rows are split 60/15/25 into train, validation and test with ``seed``, each answer in
    the same proportion; rows with the same question stay together. Splits that the column leaves out are
    cut from train.

    Args:
        name: ``[a-z0-9][a-z0-9-]{0,59}``.
        title: what people read; the name when None.
        instruction: opens every prompt.
        open_answers: True for free text, False for labels, None to find out from the number of distinct answers.

    Raises:
        BadInput: a missing column, too few rows, one answer only, an unusable name.
        TableError: rows that cannot be used, with all their numbers.
    """
    check_name(name, what="name")
    if not instruction.strip():
        raise BadInput(
            "the instruction is empty; say what to do, as in 'is this review good or bad?'", field="instruction"
        )
    if len(instruction) > MAX_TEXT:
        raise BadInput(
            f"the instruction has {len(instruction)} characters; keep it under {MAX_TEXT}", field="instruction"
        )
    rows, problems = _rows(parsed, columns)
    if problems:
        raise TableError(parsed.filename, problems)
    metric, labels = _answer_space(parsed, rows, columns, open_answers)
    splits = assign_splits(
        [row.key for row in rows],
        [row.answer if labels else "" for row in rows],
        [row.split for row in rows],
        seed=seed,
    )
    _check_splits(parsed, rows, splits, labels)
    return Task(
        name=name,
        title=(title or "").strip() or name,
        instruction=clean_text(instruction),
        modality=_modality(columns),
        metric=metric,
        labels=labels,
        description=f"{len(rows)} rows of {parsed.filename}",
        source="file",
        columns={role: column for role, column in vars(columns).items() if column is not None},
        splits=_examples(name, rows, splits),
    )


def preview_table(
    parsed: ParsedTable, columns: ColumnMapping, *, seed: int = 0, open_answers: bool | None = None, examples: int = 20
) -> TablePreview:
    """What `task_from_table` would make of a table; rows with problems are listed, not raised.

    Raises:
        BadInput: a missing column, too few usable rows, one answer only.
    """
    rows, problems = _rows(parsed, columns)
    if problems and len(rows) < MIN_ROWS:
        raise TableError(parsed.filename, problems)
    metric, labels = _answer_space(parsed, rows, columns, open_answers)
    splits = assign_splits(
        [row.key for row in rows],
        [row.answer if labels else "" for row in rows],
        [row.split for row in rows],
        seed=seed,
    )
    counts = Counter(row.answer for row in rows)
    train = Counter(row.answer for row, split in zip(rows, splits, strict=True) if split == "train")
    most = min((train[label] for label in labels), default=0) if labels else train.total() // OPEN_ANSWER_CLASSES
    sizes = Counter(splits)
    return TablePreview(
        modality=_modality(columns),
        metric=metric,
        labels=labels,
        counts=dict(counts.most_common(None if labels else 20)),
        sizes={split: sizes[split] for split in SPLITS},
        most_shots=most,
        problems=tuple(problems),
        warnings=tuple(
            hints(
                [row.key for row in rows],
                [row.answer for row in rows],
                splits,
                written=[row.written for row in rows],
                header=columns.answer,
                closed=labels is not None,
            )
        ),
        examples=tuple(
            Example(uid=f"row/{row.number}", text=row.text, answer=row.answer, image=row.image)
            for row in rows[:examples]
        ),
    )


def _modality(columns: ColumnMapping) -> Modality:
    if columns.image is None:
        return "language"
    return "vision" if columns.text is None else "vision-language"


def clean_text(text: str) -> str:
    """One line of lower-case text without control characters, which a terminal would obey."""
    return " ".join(unicodedata.normalize("NFC", _CONTROL.sub(" ", text)).lower().split())


def _rows(parsed: ParsedTable, columns: ColumnMapping) -> tuple[list[_Row], list[RowProblem]]:
    """The usable rows and the problems of the others, in the file's order."""
    chosen = {"text": columns.text, "answer": columns.answer, "image": columns.image}
    for role, column in chosen.items():
        if column is not None and column not in parsed.columns:
            have = ", ".join(map(repr, parsed.columns))
            raise BadInput(f"file {parsed.filename!r} has no column {column!r}; choose one of {have}", field=role)
    if columns.text is None and columns.image is None:
        raise BadInput("neither a text nor an image column is chosen; choose at least one", field="text")
    used = [column for column in chosen.values() if column is not None]
    if len(set(used)) < len(used):
        twice = next(column for column in used if used.count(column) > 1)
        raise BadInput(f"column {twice!r} is chosen twice; choose another one", field="answer")
    if columns.image is not None and parsed.images is None:
        raise BadInput(
            f"column {columns.image!r} names images, but {parsed.filename!r} has none with it; give a zip with both",
            field="image",
        )
    split_column = next((c for c in parsed.columns if c.lower() == _SPLIT_COLUMN and c not in used), None)
    relevant = [p for p in parsed.problems if p.column is None or p.column in used or p.column == split_column]
    broken = {p.row for p in relevant}
    rows: list[_Row] = []
    problems = list(relevant)
    for number, cells in zip(parsed.numbers, parsed.rows, strict=True):
        if number in broken:
            continue
        try:
            rows.append(_row(parsed, columns, split_column, number, cells))
        except _RowError as error:
            problems.append(RowProblem(number, str(error), error.column))
    if len(rows) + len(problems) < MIN_ROWS:
        raise BadInput(f"file {parsed.filename!r} has {len(rows)} rows; give at least {MIN_ROWS}", field="file")
    return rows, sorted(problems, key=lambda problem: problem.row)


class _RowError(Exception):
    def __init__(self, message: str, column: str):
        super().__init__(message)
        self.column = column


def _row(
    parsed: ParsedTable, columns: ColumnMapping, split_column: str | None, number: int, cells: Mapping[str, str]
) -> _Row:
    answer = clean_text(cells[columns.answer])
    if not answer:
        raise _RowError(f"{columns.answer!r} is empty", columns.answer)
    if len(answer) > MAX_ANSWER:
        raise _RowError(f"{columns.answer!r} has {len(answer)} characters, more than {MAX_ANSWER}", columns.answer)
    text = ""
    if columns.text is not None:
        text = clean_text(cells[columns.text])
        if not text and columns.image is None:
            raise _RowError(f"{columns.text!r} is empty", columns.text)
        if len(text) > MAX_TEXT:
            raise _RowError(f"{columns.text!r} has {len(text)} characters, more than {MAX_TEXT}", columns.text)
    image = None
    if columns.image is not None and parsed.images is not None:
        image_name = cells[columns.image].strip()
        if not image_name:
            raise _RowError(f"{columns.image!r} is empty", columns.image)
        try:
            data = parsed.images.read(image_name)
        except BadInput as error:
            raise _RowError(str(error), columns.image) from error
        try:
            open_image(data)
        except BadInput as error:
            raise _RowError(f"{image_name!r} {error}", columns.image) from error
        image = BytesImage(data)
    split = None
    if split_column is not None:
        split = SPLIT_NAMES.get(cells[split_column].strip().lower())
        if split is None:
            raise _RowError(f"split {cells[split_column]!r} is none of train, validation, test", split_column)
    key = (text, hashlib.sha256(image.data).digest() if image else b"")
    written = " ".join(cells[columns.answer].split())
    return _Row(number=number, text=text, answer=answer, written=written, image=image, split=split, key=key)


def _answer_space(
    parsed: ParsedTable, rows: Sequence[_Row], columns: ColumnMapping, open_answers: bool | None
) -> tuple[str, tuple[str, ...] | None]:
    counts = Counter(row.answer for row in rows)
    if len(counts) < 2:
        only = next(iter(counts), "")
        raise BadInput(
            f"column {columns.answer!r} of {parsed.filename!r} has one answer only ({only!r} in all {len(rows)} rows); "
            "a task needs at least two",
            field="answer",
        )
    if open_answers is None:
        few = len(counts) <= MAX_CLASSES and len(rows) >= MIN_ROWS_PER_CLASS * len(counts)
        open_answers = not few or all(parse_box(answer) is not None for answer in counts)
    if not open_answers:
        if len(counts) > MAX_CLASSES:
            raise BadInput(
                f"column {columns.answer!r} has {len(counts)} different answers, more than {MAX_CLASSES} labels; "
                "choose open answers or another column",
                field="answer",
            )
        return "accuracy", tuple(sorted(counts))
    return ("box_iou" if all(parse_box(answer) is not None for answer in counts) else "token_f1"), None


def _check_splits(
    parsed: ParsedTable, rows: Sequence[_Row], splits: Sequence[str], labels: tuple[str, ...] | None
) -> None:
    for split in ("train", "test"):
        if split not in splits:
            different = len({row.key for row in rows})
            questions = "one question" if different == 1 else f"{different} different questions"
            raise BadInput(
                f"file {parsed.filename!r}: no row is left for the {split} split of {len(rows)} rows, which ask "
                f"{questions}; add other rows",
                field="file",
            )
    if labels:
        trained = {row.answer for row, split in zip(rows, splits, strict=True) if split == "train"}
        missing = [label for label in labels if label not in trained]
        if missing:
            raise BadInput(
                f"file {parsed.filename!r}: answer {missing[0]!r} has no training row; "
                "add rows or correct the split column",
                field="answer",
            )


def _examples(name: str, rows: Sequence[_Row], splits: Sequence[str]) -> dict[str, list[Example]]:
    examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for row, split in zip(rows, splits, strict=True):
        uid = f"{name}/{split}/{len(examples[split])}"
        examples[split].append(Example(uid=uid, text=row.text, answer=row.answer, image=row.image))
    return examples
