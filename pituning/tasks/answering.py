"""Reads the answers of a table as what they are. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.answers import (
    ANSWER_KINDS,
    NONE_OF_THEM,
    answer_key,
    clean_text,
    is_missing,
    merge_reasons,
    number,
    several_items,
    shown_label,
)
from pituning.tasks.boxes import FINE_GRID, FORMATS, GRID, Box, corners, four_numbers, location_tokens, read_box
from pituning.tasks.mapping import CORNER_AND_SIZE, ColumnMapping
from pituning.tasks.reading import as_text
from pituning.tasks.reading.names import plain_name
from pituning.tasks.tallying import Tally

MAX_ANSWER = 400
SHOWN_SPELLINGS = 8


class AnswerProblem(ValueError):
    """Why the answer of one row cannot be used, as the end of a sentence about the row."""


def label_parts(text: str) -> list[str]:
    """The labels in a cell with commas or semicolons between."""
    parts = (part.strip() for part in text.replace(";", ",").split(","))
    return [part for part in parts if part and part != NONE_OF_THEM]


@dataclass(kw_only=True)
class AnswerReader:
    """Reads the answer of a row as what it is: see `AnswerKind`.

    Args:
        kind: of the answers.
        columns: where they are.
        labels: by key, how each is written.
        drop: the keys of answers that are left out, such as -1.
        box_format: how four numbers are meant.
        grid: of location tokens.
        share: whether the four numbers are shares of the image's sides.
    """

    kind: str
    columns: ColumnMapping
    labels: dict[str, str]
    drop: frozenset[str]
    keep: bool = False
    box_format: str = "xyxy"
    grid: int = GRID
    share: bool = False

    def read(self, cells: Mapping[str, Any], size: tuple[int, int] | None) -> tuple[str, tuple[str, ...]] | None:
        """The answer of a row and all that are right, if there are several; None where there is none.

        Args:
            size: of the row's image in pixels.

        Raises:
            AnswerProblem: it cannot be used.
        """
        values = [cells.get(column) for column in self.columns.answers]
        if self.kind == "box":
            return self._box(values, size)
        if len(values) > 1:
            return self._columns_of_labels(values)
        items = several_items(values[0])
        if items is not None:
            return self._list(items)
        text = as_text(values[0])
        key = answer_key(text)
        if (is_missing(key) and not self.keep) or key in self.drop or not key:
            return None
        if self.kind == "labels":
            return self.labels[key], ()
        if self.kind == "number" and number(text) is None:
            raise AnswerProblem(f"{self._column!r} is {text[:40]!r}, not a number")
        if self.kind == "several":
            return self._list(label_parts(text))
        return self._checked(clean_text(text)), ()

    @property
    def _column(self) -> str:
        return self.columns.answers[0]

    def _checked(self, text: str) -> str:
        if len(text) > MAX_ANSWER:
            raise AnswerProblem(f"{self._column!r} has {len(text)} characters, more than {MAX_ANSWER}")
        return text

    def _columns_of_labels(self, values: Sequence[Any]) -> tuple[str, tuple[str, ...]] | None:
        marks = [answer_key(as_text(value)) for value in values]
        if any(is_missing(mark) for mark in marks):
            return None
        yes = ("1", "true", "yes")
        names = [column for column, mark in zip(self.columns.answers, marks, strict=True) if mark in yes]
        return ", ".join(names) or NONE_OF_THEM, ()

    def _list(self, items: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
        if self.kind == "several":
            keys = dict.fromkeys(answer_key(item) for item in items)
            labels = sorted(self.labels.get(key, key) for key in keys if key)
            return self._checked(", ".join(labels) or NONE_OF_THEM), ()
        filled = [self._checked(clean_text(item)) for item in items if item.strip()]
        if not filled:
            return None
        keys_of = [answer_key(item) for item in filled]
        most = Counter(keys_of).most_common(1)[0][0]
        return filled[keys_of.index(most)], tuple(filled)

    def _box(self, values: Sequence[Any], size: tuple[int, int] | None) -> tuple[str, tuple[str, ...]] | None:
        value: Any = values[0] if len(values) == 1 else " ".join(as_text(value).strip() for value in values)
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            boxes = [box[0] for one in value if (box := self._box([one], size)) is not None]
            return (boxes[0], tuple(boxes)) if boxes else None
        text = as_text(value)
        if text.startswith("box ") and read_box(text) is not None:  # as exported
            return text, ()
        if is_missing(text.strip().lower()):
            return None
        tokens = location_tokens(text)
        if tokens is not None:
            if tokens[2] < tokens[0] or tokens[3] < tokens[1]:
                raise AnswerProblem(f"the box {text[:60]!r} has its second corner before its first")
            return Box.from_grid(tokens, self.grid).text() if self.grid != GRID else text.strip(), ()
        numbers = four_numbers(value)
        if numbers is None:
            raise AnswerProblem(f"the box {text[:60]!r} is not four numbers")
        if size is None:
            raise AnswerProblem("a box in pixels needs an image")
        width, height = size
        scale = (width, height, width, height) if self.share else (1, 1, 1, 1)
        x1, y1, x2, y2 = (v * s for v, s in zip(corners(numbers, self.box_format), scale, strict=True))
        if x2 <= x1 or y2 <= y1 or x1 < -1 or y1 < -1 or x2 > width + 1 or y2 > height + 1:
            raise AnswerProblem(
                f"the box {x1:g} {y1:g} {x2:g} {y2:g} does not lie within the image of {width} x {height} pixels"
            )
        return Box(max(x1, 0), max(y1, 0), min(x2, width), min(y2, height), width, height).text(), ()


def answer_reader(
    tally: Tally,
    kind: str,
    *,
    names: Mapping[str, str],
    drop_minus_one: bool,
    keep_missing: bool = False,
    box_format: str | None = None,
    sizes: Sequence[tuple[tuple[float, ...], tuple[int, int]]] = (),
) -> tuple[AnswerReader, list[str]]:
    """The reader of a table's answers, and what to say about how it reads them.

    Args:
        names: of coded labels, by their keys.
        drop_minus_one: whether -1 says that there is no answer.
        box_format: one of `FORMATS`; None to find out.
        sizes: four numbers of some rows with the sizes of their images, from which the format is found.

    Raises:
        BadInput: the kind is unknown, or a label has no name.
    """
    ANSWER_KINDS.check(kind)
    notes: list[str] = []
    labels: dict[str, str] = {}
    if kind in ("labels", "several"):
        labels = {key: shown_label(spelled) for key, spelled in tally.spellings.items()}
        if kind == "several":  # written in one cell, with commas between
            labels |= {answer_key(part): part for label in labels.values() for part in label_parts(label)}
        if keep_missing:
            labels |= {answer_key(word): word for word in tally.missing if word}
        if names:
            without = [key for key in labels if key not in names and not (drop_minus_one and key == "-1")]
            if without:
                raise BadInput(
                    f"label {without[0]!r} has no name; name all {len(labels)}, as in 0=bad,1=good", field="label_names"
                )
            labels = {key: names[key] for key in labels if key in names}
        notes += _merged(tally, labels)
    reader = AnswerReader(
        kind=kind,
        columns=tally.columns,
        labels=labels,
        drop=frozenset({"-1"} if drop_minus_one else ()),
        keep=keep_missing and kind == "labels",
    )
    if kind == "box":
        notes += _set_box_format(reader, tally, box_format, sizes)
    return reader, notes


def _merged(tally: Tally, labels: Mapping[str, str]) -> list[str]:
    """Which spellings were taken as one answer, and in what they differ."""
    notes: list[str] = []
    for key, spelled in tally.spellings.items():
        if len(spelled) > 1 and (reasons := merge_reasons(list(spelled))):
            shown = sorted(spelled)[:SHOWN_SPELLINGS]
            more = f" and {len(spelled) - SHOWN_SPELLINGS} more" if len(spelled) > SHOWN_SPELLINGS else ""
            notes.append(
                f"{' and '.join(map(_escaped, shown))}{more} are taken as one answer, {labels.get(key, key)!r}: they "
                f"differ only in {' and '.join(reasons)}"
            )
    return notes


def _escaped(text: str) -> str:
    return (
        ascii(text) if not text.isprintable() or any(ord(c) > 0x2000 and not c.isalnum() for c in text) else repr(text)
    )


def _set_box_format(
    reader: AnswerReader,
    tally: Tally,
    given: str | None,
    sizes: Sequence[tuple[tuple[float, ...], tuple[int, int]]],
) -> list[str]:
    if given is not None and given not in FORMATS:
        raise BadInput(f"box format {given!r} is unknown; give one of {', '.join(FORMATS)}", field="box_format")
    if tally.tokens >= GRID:
        reader.grid = FINE_GRID
        return [f"boxes are location tokens up to {tally.tokens}, read as cells of a grid of {FINE_GRID} x {FINE_GRID}"]
    if tally.tokens >= 0 or tally.longest == 0:
        return []
    reader.share = tally.longest <= 1
    if given is not None:
        reader.box_format = given
        return []
    plain = tuple(plain_name(column) for column in tally.columns.answers)
    if len(plain) == 4:
        reader.box_format = "xywh" if plain in CORNER_AND_SIZE else "xyxy"
        return []
    scale = [(1, 1) if reader.share else size for _, size in sizes]
    fits = {
        name: all(
            x2 > x1 and y2 > y1 and x1 >= -1 and y1 >= -1 and x2 <= width + 1 and y2 <= height + 1
            for (numbers, _), (width, height) in zip(sizes, scale, strict=True)
            for x1, y1, x2, y2 in [corners(numbers, name)]
        )
        for name in ("xywh", "xyxy")
    }
    reader.box_format = "xyxy" if fits["xyxy"] and not fits["xywh"] else "xywh"
    if tally.flat == 0 and fits["xyxy"] == fits["xywh"]:
        return ["boxes are read as a corner and the size, x y width height, as COCO has them; two corners fit as well: "
                "--box-format xyxy reads them so"]  # fmt: skip
    return [f"boxes are read as {reader.box_format}, which alone fits"]
