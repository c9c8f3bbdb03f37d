"""Which column of a table is what, and what becomes of the others. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pituning.tasks.reading import Table, as_text

CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)  # fmt: skip
CORNER_AND_SIZE = (("x", "y", "w", "h"), ("x", "y", "width", "height"))
_NO_NAME = re.compile(r"column \d+")
PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Which column of a table is what.

    Args:
        text: what the model reads, one column or several; none for a task on images alone.
        answer: what the model should say: one column, or several of 0 and 1, or the four of a box.
        image: names of image files, or None for a task on text alone.
        template: how several columns of text become one, such as ``{premise} Therefore: {hypothesis}``.
        names: the column with the names of labels that the answer has as codes.
        split: the column with the split of each row.
    """

    text: tuple[str, ...] | str | None = ()
    answer: tuple[str, ...] | str
    image: str | None = None
    template: str | None = None
    names: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        for role in ("text", "answer"):
            value = getattr(self, role)
            object.__setattr__(self, role, (value,) if isinstance(value, str) else tuple(value or ()))

    @property
    def texts(self) -> tuple[str, ...]:
        return self.text if isinstance(self.text, tuple) else ()

    @property
    def answers(self) -> tuple[str, ...]:
        return self.answer if isinstance(self.answer, tuple) else ()

    @property
    def used(self) -> tuple[str, ...]:
        """All columns that are read, in no order that matters."""
        single = (self.image, self.names, self.split)
        return (*self.texts, *self.answers, *(column for column in single if column is not None))

    def render(self, cells: Mapping[str, Any], clean: Any) -> str:
        """The text of a row."""
        parts = {column: clean(as_text(cells.get(column))) for column in self.texts}
        if self.template is not None:
            return PLACE.sub(lambda place: parts[place[1].strip()], self.template).strip()
        if len(parts) == 1:
            return next(iter(parts.values()))
        named = zip(self.spoken, parts.values(), strict=True)
        return " ".join(f"{name}: {part}" for name, part in named if part)

    @property
    def frame(self) -> str | None:
        """The template, or what stands in its place where there are several texts; None of one text as it is."""
        if self.template is not None or len(self.texts) < 2:
            return self.template
        return " ".join(f"{name}: {{{column}}}" for name, column in zip(self.spoken, self.texts, strict=True))

    @property
    def spoken(self) -> tuple[str, ...]:
        """What stands before each text where there are several and no template: the names of the columns, in words."""
        return tuple(
            f"text {place}" if _NO_NAME.fullmatch(column) else column.replace("_", " ")
            for place, column in enumerate(self.texts, start=1)
        )


@dataclass(frozen=True)
class ColumnUse:
    """What becomes of one column.

    Args:
        column: its name.
        role: text, pair, image, box, answer, split, names of labels, instruction, or ignored.
        why: why it is ignored, or read so; may be empty.
    """

    column: str
    role: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.column!r}: {self.role}" + (f" ({self.why})" if self.why else "")


def account(
    table: Table, mapping: ColumnMapping, roles: Mapping[str, tuple[str, str]] | None = None
) -> tuple[ColumnUse, ...]:
    """What becomes of every column of a table, in its order.

    Args:
        roles: reasons that are known for columns that are not in the mapping.
    """
    uses: list[ColumnUse] = []
    for column in table.columns:
        if column in mapping.answers:
            box = len(mapping.answers) == 4
            uses.append(ColumnUse(column, "box" if box else "answer"))
        elif column in mapping.texts:
            uses.append(ColumnUse(column, "pair" if len(mapping.texts) > 1 else "text"))
        elif column == mapping.image:
            uses.append(ColumnUse(column, "image"))
        elif column == mapping.split:
            uses.append(ColumnUse(column, "split"))
        elif column == mapping.names:
            uses.append(ColumnUse(column, "names of labels"))
        else:
            role, why = (roles or {}).get(column, ("ignored", "it holds no sentences; --text-columns reads it"))
            uses.append(ColumnUse(column, role, why))
    return tuple(uses)
