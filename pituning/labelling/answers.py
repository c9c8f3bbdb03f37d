"""What was answered, as a table that grows a chunk at a time and goes on after an interruption. Torch-free."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError, BadInput
from pituning.labelling.rows import AnyRow
from pituning.tasks.reading import Row, RowProblem, as_text
from pituning.workspace.atomic import read_json, storage_error, write_json

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs what begins so."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?%?")
_DIGITS = 6
KEPT_PROBLEMS = 20


@dataclass(frozen=True)
class Answer:
    """The answer to one row.

    Args:
        answer: None where the row could not be read.
        probability: of the answer, 0 to 1.
        probabilities: of every label, where the answer space is closed.
        problem: why there is none, as the end of a sentence about the row.
    """

    answer: str | None = None
    probability: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: one that begins like one, and is no number, gets an apostrophe in
    front, which spreadsheets do not show."""
    return f"'{text}" if text.startswith(FORMULA) and _NUMBER.fullmatch(text.strip()) is None else text


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of the answers beside those of the input.

    Args:
        inputs: the input's own columns.
        labels: of the task; None where answers are open.
        probabilities: whether every label has a column.
        top: how many of the likeliest labels have columns instead.
    """

    inputs: tuple[str, ...]
    labels: tuple[str, ...] | None
    probabilities: bool = True
    top: int | None = None

    def columns(self) -> list[str]:
        """All columns; one of ours whose name the input has already is called ``predicted_…``."""
        ours = ["answer", "probability"]
        if self.labels is not None and self.top is not None:
            ours += [f"{what}_{place}" for place in range(2, self._shown() + 1) for what in ("answer", "probability")]
        elif self.labels is not None and self.probabilities:
            ours += [f"p({label})" for label in self.labels]
        ours.append("problem")
        names = list(self.inputs)
        for name in ours:
            while name in names:
                name = f"predicted_{name}"
            names.append(name)
        return names

    def own(self) -> dict[str, Any]:
        """What our columns are called: that of the answer, of its probability, and of all probabilities."""
        names = self.columns()[len(self.inputs) : -1]
        shares = names[1::2] if self.top is not None else names[1:]
        return {"answer": names[0], "probability": names[1], "probabilities": shares}

    def row(self, row: AnyRow, answer: Answer) -> list[str]:
        """The cells of one row."""
        given = row.cells if isinstance(row, Row) else {}
        cells = [as_text(given.get(column)) for column in self.inputs]
        cells += [answer.answer or "", _share(answer.probability)]
        if self.labels is not None and self.top is not None:
            ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])[1 : self._shown()]
            found = [cell for label, share in ranked for cell in (label, _share(share))]
            cells += found or [""] * (2 * (self._shown() - 1))
        elif self.labels is not None and self.probabilities:
            cells += [_share(answer.probabilities.get(label)) for label in self.labels]
        return [*cells, answer.problem or ""]

    def _shown(self) -> int:
        return min(self.top or 1, len(self.labels or ()))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.{_DIGITS}g}"


@dataclass
class Tally:
    """What is told of all rows without going through them again.

    Args:
        answers: how often each was given; of open answers the most frequent ones are told.
        unsure: rows whose probability is below a half.
        problems: the first rows that could not be read, with the reasons.
    """

    rows: int = 0
    cut: int = 0
    unread: int = 0
    unsure: int = 0
    probability: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, row: AnyRow, answer: Answer) -> None:
        self.rows += 1
        if answer.answer is None:
            self.unread += 1
            if len(self.problems) < KEPT_PROBLEMS:
                number = row.number if isinstance(row, Row) else row.row
                self.problems.append(str(RowProblem(number, str(answer.problem), file=row.file)))
            return
        self.probability += answer.probability or 0.0
        self.unsure += (answer.probability or 0.0) < 0.5
        if answer.probabilities:  # of open answers there is no end
            self.answers[answer.answer] += 1

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"answers": dict(self.answers.most_common())}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Tally:
        return cls(**{**document, "answers": Counter(document["answers"])})


class AnswersFile:
    """A CSV that is written a chunk at a time, in a directory of its own, with a note of how far it is.

    The note is written after the rows have reached the disk; rows beyond it, of a chunk that was interrupted, are cut
    off when it is opened again.

    Args:
        directory: where an interrupted run left its part.
        key: what the answers depend on; a part of another one is left aside.

    Attributes:
        tally: what has been written.
    """

    def __init__(self, directory: Path, layout: Layout, key: Mapping[str, Any]):
        self.path, self._note = directory / "answers.csv", directory / "answers.json"
        self.layout, self._key = layout, dict(key)
        self.tally, self._size = self._resume()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("r+b" if self._size else "wb")
            self._stream.truncate(self._size)
            self._stream.seek(self._size)
        except OSError as error:
            raise storage_error(error, self.path) from error
        if not self._size:
            self._write([layout.columns()])

    def _resume(self) -> tuple[Tally, int]:
        try:
            kept = read_json(self._note)
            if kept["key"] == self._key and self.path.stat().st_size >= kept["size"]:
                return Tally.from_json(kept["tally"]), int(kept["size"])
        except (ArtefactError, OSError, KeyError, TypeError, ValueError):
            pass  # there is none, or none that can be read: from the beginning
        return Tally(), 0

    def add(self, rows: Sequence[AnyRow], answers: Sequence[Answer]) -> None:
        """Writes the answers to some rows; they are kept from then on.

        Raises:
            ArtefactError: the disk is full or not writable.
        """
        self._write([self.layout.row(row, answer) for row, answer in zip(rows, answers, strict=True)])
        for row, answer in zip(rows, answers, strict=True):
            self.tally.add(row, answer)
        write_json(self._note, {"key": self._key, "size": self._size, "tally": self.tally.to_json()})

    def close(self) -> None:
        self._stream.close()

    def _write(self, rows: Sequence[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([[safe_cell(cell) for cell in row] for row in rows])
        try:
            # Half a surrogate pair, which JSON can spell, cannot be written.
            self._size += self._stream.write(text.getvalue().encode("utf-8", "replace"))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise storage_error(error, self.path) from error


def check_layout(layout: Layout, task: str) -> None:
    """Raises BadInput where the likeliest labels are asked for and there are none."""
    if layout.labels is None and layout.top is not None:
        raise BadInput(f"task {task!r} has open answers, of which there is one a row; leave --top out", field="top")
