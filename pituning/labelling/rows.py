"""The rows of a file or folder that somebody wants labels for. Torch-free.

`pituning.tasks.reading` reads every form; what is added here are images without any table, and rows a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pituning.tasks.reading import Row, RowProblem, Table, open_table
from pituning.tasks.reading.layouts import table_paths
from pituning.tasks.reading.opening import suffixes
from pituning.tasks.reading.trees import FolderTree, Tree, ZipTree, is_image
from pituning.tasks.uploads import outline
from pituning.workspace import bounded
from pituning.workspace.bounded import Limits

ALONE = "images"
"""`Table.form` of images without a table."""

IMAGE_COLUMN = "image"
"""What the names of images are called where there is no table."""

CHUNK = 256
"""Rows that are read, encoded and answered together, and kept together by a run that can be interrupted."""

FIRST_ROWS = 20
"""Rows of an outline."""

LIMITS = Limits(instead="make it smaller, or label it on the command line: pituning predict")

AnyRow = Row | RowProblem


def open_rows(path: Path, name: str | None = None) -> Table:
    """A table, a zip or a folder of a table with its images, or a zip or a folder of images alone.

    Args:
        name: what the file is called, where ``path`` does not say so.

    Raises:
        BadInput: it is none of these, or cannot be read.
    """
    name = name or path.name
    tree: Tree | None = None
    if path.is_dir():
        tree = FolderTree(path)
    elif name.lower().endswith(".zip") and path.is_file():
        tree = ZipTree(path.read_bytes(), name, (*suffixes(), ".xml"))
    alone = [] if tree is None else [each for each in tree.paths if is_image(each)]
    if tree is None or not alone or table_paths(tree) or any(each.endswith(".xml") for each in tree.paths):
        return open_table(path, filename=name)

    def read() -> Iterator[AnyRow]:
        return (Row(number, {IMAGE_COLUMN: each}) for number, each in enumerate(alone, start=1))

    return Table(filename=name, columns=(IMAGE_COLUMN,), form=ALONE, read=read, images=tree.images("table"))


def outline_of(path: Path, name: str) -> Table:
    """What pages show of an upload: the table with its first rows and without its images, for a process of its own.

    Raises:
        BadInput: as `open_rows`.
    """
    table = open_rows(path, name)
    return outline(table, tuple(islice(all_rows(table), FIRST_ROWS)))


def look(path: Path, name: str) -> Table:
    """`outline_of` in a process of its own, within the bounds of uploads; errors as of `pituning.workspace.bounded`."""
    looked: Table = bounded.call(f"{__name__}:{outline_of.__name__}", path, name, what=f"file {name!r}", limits=LIMITS)
    return looked


def all_rows(table: Table) -> Iterator[AnyRow]:
    """Every row in its order, those of which nothing could be read among them."""
    return (row for row in table.read() if isinstance(row, Row) or row.column is None)


def chunks(table: Table, start: int = 0) -> Iterator[list[AnyRow]]:
    """`CHUNK` rows at a time, from the row at ``start`` on, which is a multiple of it."""
    rows = islice(all_rows(table), start, None)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def count_rows(table: Table) -> int:
    """How many rows there are; the file is read for that."""
    return sum(1 for _ in all_rows(table))
