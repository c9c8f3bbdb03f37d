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

ALONE = "images"
"""`Table.form` of images without a table."""

IMAGE_COLUMN = "image"
"""What the names of images are called where there is no table."""

CHUNK = 256
"""Rows that are read, encoded and answered together, and kept together by a run that can be interrupted."""

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
