"""What the cells of a column look like, from the first rows of a table. Torch-free."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pituning.tasks.answers import MISSING, answer_key, several_items
from pituning.tasks.boxes import four_numbers, location_tokens
from pituning.tasks.reading import Table, as_text
from pituning.tasks.reading.splits import SPLIT_NAMES
from pituning.tasks.reading.trees import is_image

SAMPLE_ROWS = 20_000
WORDS_OF_TEXT = 3
"""Cells of three words and more, on average, are sentences rather than labels."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What the cells of one column look like.

    Args:
        filled: cells that hold something.
        values: how often each value comes up, in the form in which spellings of one answer are equal.
        words: on average, in the cells that are filled; of Chinese and its like two signs count as one.
        numbers: share of cells that are numbers.
        whole: whether all numbers are whole.
        running: whether they are whole numbers of which no two are the same.
        images: share of cells that name an image, or hold one.
        lists: share of cells that hold several answers.
        boxes: share of cells that hold four numbers or four location tokens.
        objects: share of cells that hold lists or objects of any kind.
    """

    column: str
    filled: int
    values: Counter[str] = field(repr=False)
    words: float
    numbers: float
    whole: bool
    running: bool
    images: float
    lists: float
    boxes: float
    objects: float

    @property
    def distinct(self) -> int:
        return len(self.values)

    @property
    def present(self) -> Counter[str]:
        """The values that are answers."""
        return Counter({value: count for value, count in self.values.items() if value not in MISSING})

    @property
    def is_text(self) -> bool:
        return self.words >= WORDS_OF_TEXT and self.objects < 0.5

    @property
    def is_code(self) -> bool:
        """Whether its cells are single words with digits that seldom come up again, as ids are."""
        codes = sum(any(c.isdigit() for c in value) and " " not in value for value in self.values)
        return self.filled > 3 and codes > 0.9 * self.distinct > 0.2 * 0.9 * self.filled and self.words < 1.5

    @property
    def is_closed(self) -> bool:
        """Whether its values come up three times on average, as labels do."""
        present = self.present
        return 2 <= len(present) <= present.total() / 3 and self.words < 2 * WORDS_OF_TEXT and self.objects < 0.5

    @property
    def is_measured(self) -> bool:
        """Whether its cells are numbers of which some are not whole, or many different ones."""
        return self.numbers > 0.98 and not self.running and (not self.whole or len(self.present) > 20)

    @property
    def is_binary(self) -> bool:
        return set(self.present) == {"0", "1"}

    @property
    def is_split(self) -> bool:
        return bool(self.values) and all(value in SPLIT_NAMES for value in self.values)


def profiles(table: Table) -> dict[str, Profile]:
    """The profile of every column, from the first 20,000 rows."""
    cells: dict[str, list[Any]] = {column: [] for column in table.columns}
    for row in islice(table.rows(), SAMPLE_ROWS):
        for column, values in cells.items():
            values.append(row.cells.get(column))
    return {column: _profile(table, column, values) for column, values in cells.items()}


def _profile(table: Table, column: str, cells: Sequence[Any]) -> Profile:
    texts = [as_text(cell).strip() for cell in cells]
    filled = [(cell, text) for cell, text in zip(cells, texts, strict=True) if text or isinstance(cell, dict)]
    values = Counter(answer_key(text) for _, text in filled)
    present = [value for value in values.elements() if value not in MISSING]
    numbers = [number for value in present if (number := _number(value)) is not None]
    whole = all(number.is_integer() for number in numbers)
    count = max(len(filled), 1)
    head = filled[:500]
    some = max(len(head), 1)
    return Profile(
        column=column,
        filled=len(filled),
        values=values,
        words=sum(_words(text) for _, text in head) / some,
        numbers=len(numbers) / max(len(present), 1),
        whole=whole,
        running=whole and len(numbers) == len(present) > 3 and len(set(numbers)) == len(numbers),
        images=sum(_names_image(table, cell, text) for cell, text in head) / some,
        lists=sum(several_items(cell) is not None for cell, _ in filled) / count,
        boxes=sum(four_numbers(cell) is not None or location_tokens(text) is not None for cell, text in head) / some,
        objects=sum(isinstance(cell, list | dict) for cell, _ in filled) / count,
    )


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _words(text: str) -> float:
    wide = sum(c >= "\u2e80" and c.isalpha() for c in text)
    return max(len(text.split()), wide / 2)


def _names_image(table: Table, cell: Any, text: str) -> bool:
    if isinstance(cell, dict):
        return isinstance(cell.get("bytes"), bytes) or is_image(str(cell.get("path")))
    if is_image(text):
        return True
    return table.images is not None and 0 < len(text) < 200 and "." not in text and table.images.has(text)
