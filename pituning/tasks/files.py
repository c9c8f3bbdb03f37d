"""Turns a table that a user gives into a task: columns, checks row by row, answer space, splits. Torch-free."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

import numpy as np

from pituning.errors import BadInput
from pituning.tasks.answers import ANSWER_KINDS, clean_text
from pituning.tasks.base import OPEN_ANSWER_CLASSES, SPLITS, Example, ImageSource, Modality, Task
from pituning.tasks.columns import Guess, guess_columns
from pituning.tasks.examining import MIN_ROWS, Examined, TableRow, examine
from pituning.tasks.hints import hints
from pituning.tasks.mapping import ColumnMapping, ColumnUse, account
from pituning.tasks.metrics import METRICS, Guessing
from pituning.tasks.problems import SkippedRows, TableError, count_rows, in_order, listed
from pituning.tasks.reading import ReadOptions, RowProblem, Table, open_table
from pituning.tasks.saved import load_saved_task, save_task
from pituning.tasks.splitting import assign_splits
from pituning.tasks.stored import StoredExamples, example_line, write_examples
from pituning.tasks.table_options import TableOptions
from pituning.workspace.layout import check_name

__all__ = [
    "ColumnMapping", "ColumnUse", "Guess", "ReadOptions", "RowProblem", "Table", "TableError", "TableOptions",
    "TablePreview", "account", "check_name", "guess_columns", "load_saved_task", "open_table", "preview_table",
    "save_task", "task_from_table",
]  # fmt: skip

MAX_INSTRUCTION = 4000
SHOWN_COUNTS = 20
SHOWN_UNANSWERED = 3
PREVIEWED = 20
LOOKED_THROUGH = 20_000
"""Rows among which examples of each label are looked for; files are often sorted by label."""


@dataclass(frozen=True, kw_only=True)
class TablePreview:
    """What a table would become, for people to check before they add it.

    Args:
        modality: which columns make it.
        kind: of the answers, a name of `ANSWER_KINDS`.
        metric: how answers would be scored.
        labels: the closed answer space, or None for open answers.
        counts: how often each label comes up, most frequent first; of open answers the first 20.
        sizes: examples per split; those of ``dealt`` were dealt by chance, the others are the file's own.
        most_shots: the most shots per class that the training split allows.
        problems: rows that cannot be used; the task cannot be made while there are any.
        missing: how many rows have no answer; the task cannot be made while nobody said what becomes of them.
        unanswered: the first of those rows.
        skipped: the rows that are left out because somebody said so.
        unfit: why the rows that can be used make no task; None where they make one.
        warnings: one line each, see `hints`.
        account: what becomes of every column.
        examples: some of the usable examples, as they are stored: the first of each label, then the second of each, and
            so on; of open answers the first.
    """

    modality: Modality
    kind: str
    metric: str
    labels: tuple[str, ...] | None
    counts: dict[str, int]
    sizes: dict[str, int]
    dealt: tuple[str, ...]
    most_shots: int
    problems: tuple[RowProblem, ...]
    missing: int
    unanswered: tuple[RowProblem, ...]
    skipped: SkippedRows
    unfit: str | None
    warnings: tuple[str, ...]
    account: tuple[ColumnUse, ...]
    examples: tuple[Example, ...] = field(repr=False)

    @property
    def guessing(self) -> Guessing | None:
        """What guessing scores, from how often each label comes up in all of it; None where answers are open."""
        if self.labels is None or self.metric != "accuracy" or not self.counts:
            return None
        shares = [count / sum(self.counts.values()) for count in self.counts.values()]
        return Guessing(100 * sum(share * share for share in shares), 100 * max(shares))


def task_from_table(
    table: Table,
    *,
    name: str,
    title: str | None = None,
    instruction: str,
    columns: ColumnMapping,
    options: TableOptions | None = None,
    about: Mapping[str, Any] | None = None,
) -> Task:
    """A task from a table. Texts are kept as they stand; labels as they are written most often.

    Without a column that names splits, rows are split 60/15/25 into train, validation and test with the seed, each
    label in the same proportion; rows with the same question stay together. Splits that the column leaves out are
    cut from train.

    Args:
        name: ``[a-z0-9][a-z0-9-]{0,59}``.
        title: what people read; the name when None.
        instruction: opens every prompt.
        options: see `TableOptions`.
        about: more for the task's card, such as licence and origin.

    Raises:
        BadInput: a missing column, too few rows, one answer only, an unusable name, answers that are missing.
        TableError: rows that cannot be used, with all their numbers.
    """
    check_name(name, what="name")
    if not instruction.strip():
        raise BadInput(
            "the instruction is empty; say what to do, as in 'is this review good or bad?'", field="instruction"
        )
    if len(instruction) > MAX_INSTRUCTION:
        raise BadInput(
            f"the instruction has {len(instruction)} characters; keep it under {MAX_INSTRUCTION}", field="instruction"
        )
    plan = _plan(table, columns, options or TableOptions())
    if plan.examined.problems and not plan.examined.options.skip_bad_rows:
        raise TableError(table.filename, plan.examined.problems, skippable=True)
    _check_missing(plan.examined)
    plan.check_splits()
    skipped = skipped_rows(plan.examined)
    kind = ANSWER_KINDS[plan.examined.kind]
    return Task(
        name=name,
        title=(title or "").strip() or name,
        instruction=" ".join(clean_text(instruction).split()),
        modality=plan.examined.modality,
        metric=plan.metric,
        labels=plan.labels,
        description=f"{len(plan.kept):,} rows of {table.filename}"
        + (f", without {skipped.rows:,} that were left out" if skipped.rows else ""),
        source="file",
        splits=plan.store(name),
        about={
            "columns": _roles(table, columns),
            "template": columns.template,
            "answers": kind.name,
            "file": table.filename,
            "dealt": plan.dealt(),
            **({"skipped": skipped.to_json()} if skipped.rows else {}),
            **(about or {}),
        },
    )


def _roles(table: Table, columns: ColumnMapping) -> dict[str, str]:
    """What each column is, those of the text first, in the order in which they are read."""
    roles = {use.column: use.role for use in account(table, columns)}
    return {column: roles[column] for column in (*columns.texts, *roles)}


def preview_table(
    table: Table, columns: ColumnMapping, *, options: TableOptions | None = None, examples: int = PREVIEWED
) -> TablePreview:
    """What `task_from_table` would make of a table; rows with problems are listed, not raised.

    Raises:
        BadInput: a missing column, too few usable rows, one answer only.
    """
    plan = _plan(table, columns, options or TableOptions())
    examined, kept = plan.examined, plan.kept
    train = Counter(examined.answers[kept][plan.splits == 0].tolist())
    if plan.labels:
        codes = [hash(label) & (2**62 - 1) for label in plan.labels]
        most = min(train[code] for code in codes)
    else:
        most = train.total() // OPEN_ANSWER_CLASSES
    wanted = _first_of_each(examined.answers[:LOOKED_THROUGH], examples) if plan.labels else list(range(examples))
    kept_places = set(wanted)
    last = max(wanted, default=-1)
    by_place = {place: row for place, row in enumerate(islice(examined.usable(), last + 1)) if place in kept_places}
    shown: list[TableRow] = [by_place[place] for place in wanted if place in by_place]
    counts = examined.counts or Counter(row.answer for row in shown)
    return TablePreview(
        modality=examined.modality,
        kind=examined.kind,
        metric=plan.metric,
        labels=plan.labels,
        counts=dict(counts.most_common(None if plan.labels else SHOWN_COUNTS)),
        sizes={split: int((plan.splits == place).sum()) for place, split in enumerate(SPLITS)},
        dealt=tuple(plan.dealt()),
        most_shots=most,
        problems=() if examined.options.skip_bad_rows else examined.problems,
        missing=examined.missing.total() if examined.options.refuses_missing else 0,
        unanswered=examined.unanswered if examined.options.refuses_missing else (),
        skipped=skipped_rows(examined),
        unfit=_unfit(plan),
        warnings=tuple(plan.notes()),
        account=account(table, columns),
        examples=tuple(
            Example(uid=f"row/{row.number}", text=row.text, answer=row.answer, image=row.image, accepted=row.accepted)
            for row in shown
        ),
    )


def _unfit(plan: _Plan) -> str | None:
    try:
        plan.check_splits()
    except BadInput as error:
        return str(error)
    return None


def _first_of_each(answers: np.ndarray, count: int) -> list[int]:
    """Places of ``count`` answers at most: the first of each kind of answer, then the second of each, and so on."""
    places: dict[int, list[int]] = {}
    for place, answer in enumerate(answers.tolist()):
        same = places.setdefault(answer, [])
        if len(same) < count:
            same.append(place)
    in_turn = zip_longest(*places.values())
    return [place for places_of_turn in in_turn for place in places_of_turn if place is not None][:count]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What becomes of the rows of a table that was examined.

    Args:
        kept: the places, among the rows that can be used, of those that become examples.
        splits: the place in `SPLITS` of each of them.
        grouped: whether rows that ask the same question are one example with several right answers.
    """

    examined: Examined
    labels: tuple[str, ...] | None
    metric: str
    kept: np.ndarray
    splits: np.ndarray
    grouped: bool

    def notes(self) -> list[str]:
        examined = self.examined
        notes = [*examined.table.notes, *examined.notes]
        if examined.problems and examined.options.skip_bad_rows:
            bad = count_rows(examined.problems)
            notes.append(
                f"{bad} {'row cannot be used and is' if bad == 1 else 'rows cannot be used and are'} left out: "
                f"{listed(examined.problems)}"
            )
        if examined.missing and examined.options.missing != "keep":
            notes.append(missing_words(examined))
        if self.grouped:
            notes.append(
                f"{len(examined.rows)} rows ask {len(self.kept)} questions, so each is one example with several right "
                "answers"
            )
        return notes + hints(
            examined.questions[self.kept], examined.answers if self.grouped else examined.answers[self.kept],
            self.splits, examined.counts, examined.kind,
        )  # fmt: skip

    def dealt(self) -> list[str]:
        """The splits that were dealt by chance: the file names none of their rows."""
        given = self.examined.splits[self.kept]
        return [split for place, split in enumerate(SPLITS) if not (given == place).any()]

    def check_splits(self) -> None:
        examined = self.examined
        filename = examined.table.filename
        for place in (0, 2):
            if not (self.splits == place).any():
                different = len(np.unique(examined.questions))
                questions = "one question" if different == 1 else f"{different} different questions"
                raise BadInput(
                    f"file {filename!r}: no row is left for the {SPLITS[place]} split of {len(examined.rows)} rows, "
                    f"which ask {questions}; add other rows",
                    field="file",
                )
        if self.labels:
            trained = set(examined.answers[self.kept][self.splits == 0].tolist())
            without = [label for label in self.labels if hash(label) & (2**62 - 1) not in trained]
            if without:
                raise BadInput(
                    f"file {filename!r}: answer {without[0]!r} has no training row; "
                    "add rows or correct the split column",
                    field="answer",
                )

    def store(self, name: str) -> dict[str, StoredExamples]:
        """The examples, in a file that is gone when they are."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the examples)
        images: list[ImageSource] = []
        places = write_examples(file, self._lines(images))
        return {split: StoredExamples(name, split, file, places[split], images.__getitem__) for split in SPLITS}

    def _lines(self, images: list[ImageSource]) -> Iterator[tuple[str, bytes]]:
        right = self._right_answers() if self.grouped else {}
        splits = iter(self.splits)
        kept = iter(self.kept)
        following = next(kept, None)
        for place, row in enumerate(self.examined.usable()):
            if place != following:
                continue
            following = next(kept, None)
            image = None
            if row.image is not None:
                image = len(images)
                images.append(row.image)
            split = SPLITS[next(splits)]
            accepted = tuple(right[row.question]) if self.grouped else row.accepted
            yield split, example_line(split, row.text, row.answer, image, accepted)

    def _right_answers(self) -> dict[int, list[str]]:
        right: dict[int, list[str]] = {}
        for row in self.examined.usable():
            right.setdefault(row.question, []).extend(row.accepted or (row.answer,))
        return right


def _plan(table: Table, columns: ColumnMapping, options: TableOptions) -> _Plan:
    examined = examine(table, columns, options)
    if len(examined.rows) < MIN_ROWS:
        if examined.problems:
            raise TableError(table.filename, examined.problems)
        _check_missing(examined)
        raise BadInput(f"file {table.filename!r} has {len(examined.rows)} rows; give at least {MIN_ROWS}", field="file")
    if len(np.unique(examined.answers)) < 2 and examined.kind != "box":
        only = next(examined.usable()).answer
        raise BadInput(
            f"column {columns.answers[0]!r} of {table.filename!r} has one answer only ({only!r} in all "
            f"{len(examined.rows)} rows); a task needs at least two",
            field="answer",
        )
    labels = tuple(sorted(examined.counts)) if examined.kind == "labels" else None
    metric = METRICS.check(options.metric or ANSWER_KINDS[examined.kind].metric)
    grouped = examined.kind in ("text", "box") and _several_right(examined)
    kept = np.arange(len(examined.rows))
    if grouped:
        kept = np.sort(np.unique(examined.questions, return_index=True)[1])
    splits = assign_splits(
        examined.questions[kept], examined.answers[kept] if labels else np.zeros(len(kept), dtype=np.int64),
        examined.splits[kept], seed=options.seed,
    )  # fmt: skip
    return _Plan(examined=examined, labels=labels, metric=metric, kept=kept, splits=splits, grouped=grouped)


def _several_right(examined: Examined) -> bool:
    """Whether questions come with several answers of which each is right: captions of a picture, boxes of its cats."""
    pairs = np.unique(np.stack([examined.questions, examined.answers]), axis=1)
    different = np.unique(pairs[0], return_counts=True)[1] > 1
    return bool(different.any() if examined.kind == "box" else different.mean() > 0.6)


def skipped_rows(examined: Examined) -> SkippedRows:
    """The rows of a table that are left out as its options say."""
    problems = examined.problems if examined.options.skip_bad_rows else ()
    unanswered = examined.unanswered if examined.options.drops_missing else ()
    count = examined.missing.total() if examined.options.drops_missing else 0
    return SkippedRows(rows=count_rows(problems) + count, named=in_order([*problems, *unanswered]))


def missing_words(examined: Examined) -> str:
    """How many rows have no answer, and what can become of them."""
    count, first = examined.missing.total(), examined.unanswered[:SHOWN_UNANSWERED]
    rows = ", ".join(f"{row.row} of {row.file}" if row.file else str(row.row) for row in first)
    words = ", ".join(repr(word) if word else "empty" for word, _ in examined.missing.most_common(3))
    dropped = examined.options.drops_missing
    more = ", …" if count > len(first) else ""
    answer = " and ".join(map(repr, examined.columns.answers[:2]))
    return f"{count} of {count + len(examined.rows)} rows have no answer in {answer} ({words}; rows {rows}{more})" + (
        ": they are left out" if dropped else ""
    )


def _check_missing(examined: Examined) -> None:
    if not examined.missing or not examined.options.refuses_missing:
        return
    words = any(examined.missing) and examined.kind == "labels"
    keep = ", or take those words as a label with --keep-missing" if words else ""
    raise BadInput(
        f"file {examined.table.filename!r}: {missing_words(examined)}; leave them out with --drop-missing{keep}",
        field="missing",
    )
