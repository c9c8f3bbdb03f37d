"""Boxes: in pixels of their image, however a file or a backbone writes them. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

GRID = 48
"""The suite's boxes are given on a grid of 48 x 48, as the tokens ``<loc_0>`` to ``<loc_47>``."""

FINE_GRID = 1000
"""Several models write boxes on a grid of 1000 x 1000, as Florence-2's ``<loc_0>`` to ``<loc_999>``."""

FORMATS = ("xyxy", "xywh", "cxcywh")
"""How four numbers may be meant: two corners; a corner and the size; the middle and the size."""

_TOKENS = re.compile(r"\s*" + r"\s*".join([r"<(?:loc|bin)_?(\d{1,4})>"] * 4) + r"\s*")
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_PIXELS = re.compile(rf"box {_NUMBER} {_NUMBER} {_NUMBER} {_NUMBER} of {_NUMBER} x {_NUMBER}")
_FOUR = re.compile(r"[\s\[\](){},;]*" + r"[\s,;]+".join([_NUMBER] * 4) + r"[\s\[\](){},;]*")


@dataclass(frozen=True)
class Box:
    """Two corners in pixels of an image of ``width`` x ``height`` pixels."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    height: float

    def on_grid(self, size: int) -> tuple[int, int, int, int]:
        """The corners as cells of a grid of ``size`` x ``size``, 0 to size − 1."""
        shares = (self.x1 / self.width, self.y1 / self.height, self.x2 / self.width, self.y2 / self.height)
        x1, y1, x2, y2 = (min(max(int(share * size), 0), size - 1) for share in shares)
        return x1, y1, x2, y2

    @classmethod
    def from_grid(cls, cells: Sequence[float], size: int) -> Box:
        """The box whose corners are cells of a grid."""
        x1, y1, x2, y2 = cells
        return cls(x1, y1, x2, y2, size, size)

    def text(self) -> str:
        """How tasks hold it: ``box 81 88 522 408 of 650 x 417``; on the suite's grid as its location tokens."""
        corners = (self.x1, self.y1, self.x2, self.y2)
        if self.width == self.height == GRID and all(float(v).is_integer() and 0 <= v < GRID for v in corners):
            return tokens_text([int(v) for v in corners])
        x1, y1, x2, y2, width, height = (
            f"{value:.2f}".rstrip("0").rstrip(".")
            for value in (self.x1, self.y1, self.x2, self.y2, self.width, self.height)
        )
        return f"box {x1} {y1} {x2} {y2} of {width} x {height}"


def read_box(text: str) -> Box | None:
    """The box that an answer holds: in pixels, or as location tokens on the suite's grid; else None."""
    match = _PIXELS.fullmatch(text.strip())
    if match is not None:
        box = Box(*(float(value) for value in match.groups()))
        return box if box.width > 0 and box.height > 0 and box.x2 >= box.x1 and box.y2 >= box.y1 else None
    cells = location_tokens(text)
    if cells is None or max(cells) >= GRID or cells[2] < cells[0] or cells[3] < cells[1]:
        return None
    return Box.from_grid(cells, GRID)


def location_tokens(text: str) -> tuple[int, int, int, int] | None:
    """The numbers of four location tokens, ``<loc_3>`` or ``<bin_3>``; None where the text is something else."""
    match = _TOKENS.fullmatch(text)
    if match is None:
        return None
    x1, y1, x2, y2 = (int(cell) for cell in match.groups())
    return x1, y1, x2, y2


def four_numbers(value: object) -> tuple[float, float, float, float] | None:
    """Four numbers in a cell, as a list or as text; None where it holds something else."""
    if isinstance(value, list | tuple):
        if len(value) != 4 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
            return None
        a, b, c, d = (float(v) for v in value)
        return a, b, c, d
    match = _FOUR.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    a, b, c, d = (float(v) for v in match.groups())
    return a, b, c, d


def corners(numbers: Sequence[float], format: str) -> tuple[float, float, float, float]:
    """Two corners from four numbers; see `FORMATS`."""
    a, b, c, d = numbers
    if format == "xywh":
        return a, b, a + c, b + d
    if format == "cxcywh":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return a, b, c, d


def tokens_text(cells: Sequence[int], pattern: str = "<loc_{}>") -> str:
    """Cells as location tokens."""
    return "".join(pattern.format(cell) for cell in cells)
