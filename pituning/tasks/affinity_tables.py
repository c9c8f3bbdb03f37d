"""Tables of task affinity from every form of file that tasks are read from. Torch-free."""

from __future__ import annotations

from pathlib import Path

from pituning.errors import BadInput
from pituning.tasks.reading import ReadOptions, Row, as_text, open_table
from pituning.workspace import bounded
from pituning.workspace.affinities import MOST_TASKS, Affinity, Rows, affinity_of
from pituning.workspace.bounded import Limits

LIMITS = Limits(instead="make it smaller, or import it on the command line: pituning graph import")


def read_affinity(
    source: Path | str | bytes,
    *,
    filename: str | None = None,
    rows: Rows = "target",
    options: ReadOptions | None = None,
) -> Affinity:
    """A table of task affinity, see `pituning.workspace.affinities`.

    Args:
        source: a file, or the content of one.
        filename: needed with bytes.
        rows: what the rows are, where the corner does not say so.
        options: how the file is read; a text file has no other header than its first row.

    Raises:
        BadInput: what is wrong and where; ``field`` is ``"file"``.
    """
    given = options or ReadOptions()
    plain = ReadOptions(header=False, encoding=given.encoding, delimiter=given.delimiter, table=given.table)
    table = open_table(source, plain, filename=filename)
    lines: list[tuple[int, list[str]]] = []
    if not all(column == f"column {place}" for place, column in enumerate(table.columns, start=1)):
        lines.append((1, list(table.columns)))  # a form that names its columns itself
    for row in table.read():
        if not isinstance(row, Row):
            raise BadInput(f"file {table.filename!r}: {row}", field="file")
        lines.append((row.number, [as_text(row.cells.get(column)) for column in table.columns]))
        if len(lines) - 1 > MOST_TASKS**2:
            raise BadInput(f"the table has more than {MOST_TASKS**2:,} rows", field="file")
    return affinity_of(lines, rows=rows)


def read_upload(data: bytes, filename: str, rows: Rows) -> Affinity:
    """`read_affinity` of an uploaded file in a process of its own; errors as of it and `bounded.call`."""
    read: Affinity = bounded.call(
        f"{__name__}:{_read.__name__}", data, filename, rows, what=f"file {filename!r}", limits=LIMITS
    )
    return read


def _read(data: bytes, filename: str, rows: Rows) -> Affinity:
    return read_affinity(data, filename=filename, rows=rows)
