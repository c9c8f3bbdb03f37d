"""The rows of a file or folder that somebody wants labels for. Torch-free.

`pituning.tasks.reading` reads every form; what is added here are images without any table, and rows a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pituning.tasks.reading import Row, RowProblem, Table, open_table
from pituning.tasks.reading.base import counted
from pituning.tasks.reading.layouts import table_paths
from pituning.tasks.reading.opening import suffixes
from pituning.tasks.reading.trees import FolderTree, Tree, ZipTree, is_image
from pituning.tasks.uploads import MOST_ROWS, MOST_TEXT_BYTES, outline
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


def open_rows(source: Path | bytes, name: str | None = None) -> Table:
    """A table, a zip or a folder of a table with its images, or a zip or a folder of images alone.

    Args:
        source: a file, a folder, or the content of a file.
        name: what the file is called, where the path does not say so; needed with bytes.

    Raises:
        BadInput: it is none of these, or cannot be read.
    """
    path = source if isinstance(source, Path) else Path(name or "table")
    name = name or path.name
    tree: Tree | None = None
    if isinstance(source, Path) and path.is_dir():
        tree = FolderTree(path)
    elif name.lower().endswith(".zip") and (isinstance(source, bytes) or path.is_file()):
        data = source if isinstance(source, bytes) else path.read_bytes()
        tree = ZipTree(data, name, (*suffixes(), ".xml"))
    alone = [] if tree is None else [each for each in tree.paths if is_image(each)]
    if tree is None or not alone or table_paths(tree) or any(each.endswith(".xml") for each in tree.paths):
        return open_table(source, filename=name)

    def read() -> Iterator[AnyRow]:
        return (Row(number, {IMAGE_COLUMN: each}) for number, each in enumerate(alone, start=1))

    return Table(filename=name, columns=(IMAGE_COLUMN,), form=ALONE, read=read, images=tree.images("table"))


def outline_of(source: Path | bytes, name: str) -> tuple[Table, int]:
    """See `look`; this is done in the process."""
    table = open_rows(source, name)
    rows = counted(all_rows(table), table.filename, rows=MOST_ROWS, text=MOST_TEXT_BYTES)
    first = tuple(islice(rows, FIRST_ROWS))
    return outline(table, first), len(first) + sum(1 for _ in rows)


def look(source: Path | bytes, name: str) -> tuple[Table, int]:
    """An upload read once from end to end, in a process of its own and within the bounds of uploads.

    Returns:
        the table with its first rows and without its images; how many rows there are.

    Raises:
        BadInput: as `open_rows`, and where it takes more than the bounds.
    """
    looked: tuple[Table, int] = bounded.call(
        f"{__name__}:{outline_of.__name__}", source, name, what=f"file {name!r}", limits=LIMITS
    )
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
