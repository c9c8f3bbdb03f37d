"""The rows of a file or folder that somebody wants labels for, whatever its form. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Protocol

from pituning.errors import BadInput
from pituning.tasks.archives import ArchiveImages
from pituning.tasks.images import MAX_IMAGE_BYTES
from pituning.tasks.tables import SUFFIXES, FolderImages, ParsedTable, read_table
from pituning.workspace.zips import open_zip

IMAGE_COLUMN = "image"
"""What the names of images are called where there is no table."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_TABLES = frozenset(suffix for suffix, kind in SUFFIXES.items() if kind != "zip")


CHUNK = 256
"""Rows that are read, encoded and answered together, and kept together by a run that can be interrupted."""


class Images(Protocol):
    """Images by the names that a table gives them."""

    def read(self, name: str) -> bytes:
        """Its bytes; raises BadInput with the end of a sentence about the row."""


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        number: as a spreadsheet or an editor counts it.
        cells: by column, as they are in the file.
        problem: why it cannot be read, as the end of a sentence about the row.
        bad_cells: the same of single columns.
    """

    number: int
    cells: Mapping[str, str]
    problem: str | None = None
    bad_cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a file, which can be gone through more than once.

    Args:
        name: of the file, for messages.
        columns: in their order.
        count: how many rows there are.
        images: those that come with the table.
    """

    name: str
    columns: tuple[str, ...]
    count: int
    images: Images | None
    iterate: Callable[[], Iterator[Row]] = field(repr=False)

    def chunks(self, start: int = 0) -> Iterator[list[Row]]:
        """`CHUNK` rows at a time, from the row at ``start`` on, which is a multiple of it."""
        rows = islice(self.iterate(), start, None)
        while chunk := list(islice(rows, CHUNK)):
            yield chunk


def open_rows(path: Path, name: str | None = None) -> Rows:
    """A table, a zip or a folder of a table with its images, or a zip or a folder of images alone.

    Args:
        name: what the file is called, where ``path`` does not say so.

    Raises:
        BadInput: it is none of these, or cannot be read.
    """
    name = name or path.name
    if path.is_dir():
        return _folder(path, name)
    if PurePosixPath(name).suffix.lower() == ".zip" and path.is_file():
        alone = _zipped_images(path, name)
        if alone is not None:
            return alone
    return _open_table(path, name)


def _open_table(path: Path, name: str) -> Rows:
    parsed = read_table(path, name)
    return Rows(
        name=parsed.filename, columns=parsed.columns, count=len(parsed.rows) + len(_lost(parsed)),
        images=parsed.images, iterate=lambda: iter(_in_order(parsed)),
    )  # fmt: skip


def _lost(parsed: ParsedTable) -> list[Row]:
    """The rows of which nothing could be read."""
    kept = set(parsed.numbers)
    lost = {each.row: each.message for each in parsed.problems if each.column is None and each.row not in kept}
    return [Row(number, dict.fromkeys(parsed.columns, ""), message) for number, message in lost.items()]


def _in_order(parsed: ParsedTable) -> list[Row]:
    bad: dict[int, dict[str, str]] = {}
    for each in parsed.problems:
        if each.column is not None:
            bad.setdefault(each.row, {})[each.column] = each.message
    read = [Row(n, cells, bad_cells=bad.get(n, {})) for n, cells in zip(parsed.numbers, parsed.rows, strict=True)]
    return sorted([*read, *_lost(parsed)], key=lambda row: row.number)


def _folder(path: Path, name: str) -> Rows:
    tables = sorted(each for each in path.iterdir() if each.suffix.lower() in _TABLES and each.is_file())
    if len(tables) > 1:
        raise BadInput(
            f"folder {name!r} holds {len(tables)} tables ({tables[0].name}, {tables[1].name} …); name one of them",
            field="file",
        )
    if tables:
        return _open_table(tables[0], tables[0].name)
    files = sorted(
        str(each.relative_to(path))
        for each in path.rglob("*")
        if each.suffix.lower() in IMAGE_SUFFIXES and each.is_file() and not each.name.startswith(".")
    )
    if not files:
        raise BadInput(
            f"folder {name!r} holds no table and no images; name a file, or a folder of images", field="file"
        )
    return _alone(name, files, FolderImages(path))


def _zipped_images(path: Path, name: str) -> Rows | None:
    """The images of a zip without a table; None where it has one."""
    with open_zip(path.read_bytes(), name) as archive:
        if any(PurePosixPath(each).suffix.lower() in _TABLES for each in archive.members):
            return None
        found = sorted(each for each in archive.members if PurePosixPath(each).suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise BadInput(f"file {name!r} holds no table and no images; put either into it", field="file")
        images = ArchiveImages({each: archive.read(each, MAX_IMAGE_BYTES) for each in found}, PurePosixPath())
    return _alone(name, found, images)


def _alone(name: str, files: list[str], images: Images) -> Rows:
    def iterate() -> Iterator[Row]:
        return (Row(number, {IMAGE_COLUMN: file}) for number, file in enumerate(files, start=1))

    return Rows(name=name, columns=(IMAGE_COLUMN,), count=len(files), images=images, iterate=iterate)
