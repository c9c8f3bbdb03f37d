"""Counts what the answers of a table are, and so finds of what kind. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pituning.tasks.answers import answer_key, is_missing, number, several_items
from pituning.tasks.boxes import four_numbers, location_tokens, read_box
from pituning.tasks.hints import MIN_ROWS_PER_CLASS
from pituning.tasks.mapping import ColumnMapping
from pituning.tasks.reading import as_text
from pituning.tasks.reading.names import SEVERAL, plain_name

MAX_LABELS = 10_000
_POSITIVE = 2**62 - 1


@dataclass
class Tally:
    """What all answers of a table are, counted in one pass.

    Args:
        columns: where the answers are.
        spellings: by the key of each answer, how often it is written how.
        lists: rows whose answer is a list.
        repeats: rows whose list holds an answer twice.
        tokens: the largest location token.
        flat: rows whose four numbers cannot be two corners.
        rows: with an answer.
        missing: how often no answer is written how.
        longest: the largest of the four numbers of boxes.
        full: whether there were more different answers than are counted: too many for labels.
    """

    columns: ColumnMapping
    spellings: dict[str, dict[str, int]] = field(default_factory=dict)
    lists: int = 0
    repeats: int = 0
    votes: int = 0
    boxes: int = 0
    tokens: int = -1
    flat: int = 0
    rows: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    full: bool = False

    def add(self, cells: Mapping[str, Any]) -> int:
        """Counts the answer of one row.

        Returns:
            a number that is equal for equal answers; -1 where there is no answer.
        """
        names = self.columns.answers
        if len(names) > 1:
            return self._add_several_columns(cells)
        value = cells.get(names[0])
        items = several_items(value)
        if items is not None:
            return self._add_list(items)
        text = as_text(value)
        key = answer_key(text)
        if is_missing(key):
            self.missing[text.strip()] += 1
            return -1
        self.rows += 1
        cells_of = location_tokens(text) if "<" in text else None
        if text.startswith("box ") and read_box(text) is not None:
            self.boxes += 1
        elif cells_of is not None:
            self.boxes += 1
            self.tokens = max(self.tokens, *cells_of)
        elif (numbers := four_numbers(text)) is not None:
            self._add_box(numbers)
        return self._count(key, text)

    def _add_several_columns(self, cells: Mapping[str, Any]) -> int:
        values = [as_text(cells.get(column)).strip() for column in self.columns.answers]
        if any(is_missing(value.lower()) for value in values):
            self.missing[next(value for value in values if is_missing(value.lower()))] += 1
            return -1
        self.rows += 1
        if len(values) == 4:
            numbers = four_numbers(" ".join(values))
            if numbers is not None:
                self._add_box(numbers)
                return self._count(" ".join(values), " ".join(values))
        return self._count(" ".join(map(answer_key, values)), " ".join(values))

    def _add_list(self, items: Sequence[str]) -> int:
        numbers = four_numbers("[" + " ".join(items) + "]") if len(items) == 4 else None
        if numbers is not None and plain_name(self.columns.answers[0]) not in SEVERAL:
            self.rows += 1
            self._add_box(numbers)
            return self._count(" ".join(items), " ".join(items))
        self.rows += 1
        self.lists += 1
        keys = [answer_key(item) for item in items]
        self.repeats += len(set(keys)) < len(keys)
        for item, key in zip(items, keys, strict=True):
            self._spell(key, item)
        return hash("\x1f".join(sorted(set(keys)))) & _POSITIVE

    def _add_box(self, numbers: Sequence[float]) -> None:
        self.boxes += 1
        self.longest = max(self.longest, *numbers)
        self.flat += numbers[2] <= numbers[0] or numbers[3] <= numbers[1]

    def _count(self, key: str, text: str) -> int:
        self._spell(key, text)
        return hash(key) & _POSITIVE

    def _spell(self, key: str, text: str) -> None:
        spelled = self.spellings.get(key)
        if spelled is None:
            if len(self.spellings) > MAX_LABELS:
                self.full = True
                return
            spelled = self.spellings[key] = {}
        spelled[text] = spelled.get(text, 0) + 1

    @property
    def counts(self) -> Counter[str]:
        """How often each answer comes up, by its key."""
        return Counter({key: sum(spelled.values()) for key, spelled in self.spellings.items()})


def minus_one(tally: Tally) -> bool:
    """Whether -1 stands among classes that are whole numbers from 0 on, and so says that there is none."""
    others = [key for key in tally.spellings if key != "-1"]
    return "-1" in tally.spellings and len(others) >= 2 and len(others) <= 1000 and all(key.isdigit() for key in others)


def find_kind(tally: Tally, questions: np.ndarray, answers: np.ndarray, column: str) -> str:
    """The kind that the answers of a table most likely are.

    Args:
        questions: (N,) equal numbers where rows ask the same question.
        answers: (N,) the number of each row's answer in the tally.
        column: the first column with the answer.
    """
    if len(tally.columns.answers) == 4 or (tally.rows and tally.boxes > 0.95 * tally.rows):
        return "box"
    if len(tally.columns.answers) > 1:
        return "several"
    if tally.lists > 0.5 * tally.rows:
        if plain_name(column) in SEVERAL:
            return "several"
        return "votes" if tally.repeats else "text"
    counts = tally.counts
    if _measured(counts):
        return "number"
    if _several_right(questions, answers):
        return "text"
    longest = max((len(key) for key in counts), default=0)
    few = not tally.full and len(counts) <= tally.rows / MIN_ROWS_PER_CLASS
    return "labels" if few and longest <= 120 else "text"


def _measured(counts: Counter[str]) -> bool:
    numbers = [number(key) for key in counts]
    if len(numbers) < 5 or any(value is None for value in numbers):
        return False
    return len(numbers) > 20 or not all(float(value or 0).is_integer() for value in numbers)


def _several_right(questions: np.ndarray, answers: np.ndarray) -> bool:
    """Whether most questions come with several different answers, as pictures do with captions."""
    pairs = np.unique(np.stack([questions, answers]), axis=1)
    different = np.unique(pairs[0], return_counts=True)[1]
    return bool(len(different) and (different > 1).mean() > 0.6)
