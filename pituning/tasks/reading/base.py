"""What a reader gives: a table whose rows are read one after another. Torch-free."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from pituning.errors import BadInput

MAX_COLUMNS = 200
MAX_ROWS = 5_000_000
MAX_WHOLE_BYTES = 256 * 2**20
"""What must be read whole, as one JSON document, may have so many bytes; what is read row by row may have more."""

MAX_TABLE_BYTES = 4 * 2**30
SPLIT_COLUMN = "split"
"""The column in which a reader says to which split a row belongs, where files or folders are named for splits."""


class Row(NamedTuple):
    """One row.

    Args:
        number: as a spreadsheet or an editor counts it: the first line of the file is 1.
        cells: by column; text, or what the file's own types say: numbers, lists, None for what is not there.
        file: in which part of a zip, a folder or a workbook it is, where several make one table; else None.
    """

    number: int
    cells: Mapping[str, Any]
    file: str | None = None


@dataclass(frozen=True)
class RowProblem:
    """Why one row cannot be used.

    Args:
        row: its number, see `Row`.
        message: what is wrong, as the end of a sentence about the row.
        column: the column at fault, or None when it is the whole row.
        file: see `Row`.
    """

    row: int
    message: str
    column: str | None = None
    file: str | None = None

    @property
    def place(self) -> tuple[str, int]:
        """The row itself, of which there may be several problems."""
        return self.file or "", self.row

    def __str__(self) -> str:
        where = f"row {self.row}" + (f" of {self.file}" if self.file else "")
        if self.column is not None and repr(self.column) not in self.message:
            where += f", column {self.column!r}"
        return f"{where}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a file is to be read, where it does not say so itself.

    Args:
        header: whether the first row names the columns; None to find out.
        encoding: of a text file, such as ``windows-1252``; None for UTF-8 or what the byte order mark says.
        delimiter: between the cells of a text file; None to find out.
        table: which file of a zip or folder, or sheet of a workbook, is the table; None when there is only one.
    """

    header: bool | None = None
    encoding: str | None = None
    delimiter: str | None = None
    table: str | None = None


class Images(Protocol):
    """Where the images of a table are."""

    def read(self, name: str) -> bytes:
        """The bytes of an image; `BadInput` says why there are none, as the end of a sentence about the row."""

    def has(self, name: str) -> bool:
        """Whether there is an image of that name."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table whose rows are read when they are asked for.

    Args:
        filename: what the user calls the file.
        columns: the names of the columns.
        form: in which form it is kept, for people: ``CSV (semicolon)``.
        read: reads the file from its beginning and gives its rows, and the rows that cannot be used.
        encoding: of a text file.
        delimiter: of a CSV file.
        images: where the images are that its cells name, or None.
        notes: one line each about how it was read, where another way would have been plausible.
        label_names: by column the names of coded labels, where the file itself has them (a hub data set's ClassLabel).
        card: what a card that came with the file says.
    """

    filename: str
    columns: tuple[str, ...]
    form: str
    read: Callable[[], Iterator[Row | RowProblem]] = field(repr=False)
    encoding: str | None = None
    delimiter: str | None = None
    images: Images | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    label_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def rows(self) -> Iterator[Row]:
        """The rows that can be read; those that cannot are passed over.

        Raises:
            BadInput: the file ends in the middle, or is wrongly encoded, at that place.
        """
        return (row for row in self.read() if isinstance(row, Row))


class Source(Protocol):
    """A file, wherever it lies: on disk, in memory, in a zip."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def open(self) -> IO[bytes]:
        """A stream of its bytes, from the beginning."""


@dataclass(frozen=True)
class BytesSource:
    """A file in memory."""

    name: str
    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.data)


@dataclass(frozen=True)
class PathSource:
    """A file on disk."""

    name: str
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def open(self) -> IO[bytes]:
        try:
            return self.path.open("rb")
        except (OSError, ValueError) as error:
            raise bad_file(self.name, f"cannot be read ({error}); check its permissions") from error


@dataclass(frozen=True, kw_only=True)
class FormatRecord:
    """A form in which tables are kept in one file.

    Args:
        name: what programs call it.
        label: what people read.
        suffixes: how the names of such files end.
        path: of its function ``(source, options) -> Table``.
    """

    name: str
    label: str
    suffixes: tuple[str, ...]
    path: str


def bad_file(name: str, what: str) -> BadInput:
    """The error of a file that somebody gave: ``what`` is wrong with it, and the fix."""
    return BadInput(f"file {name!r} {what}", field="file")


def read_whole(source: Source, limit: int = MAX_WHOLE_BYTES) -> bytes:
    """The bytes of a file that cannot be read in pieces.

    Raises:
        BadInput: it is too large.
    """
    if source.size > limit:
        raise bad_file(
            source.name,
            f"has {source.size / 2**20:.0f} MiB and is read as a whole; make it smaller than {limit // 2**20} MiB, "
            "or save it as JSON lines or Parquet, which are read row by row",
        )
    with source.open() as stream:
        return stream.read()


def check_columns(columns: list[str], name: str, what: str = "columns") -> tuple[str, ...]:
    """The columns, if there are not too many.

    Raises:
        BadInput: there are.
    """
    if len(columns) > MAX_COLUMNS:
        raise bad_file(name, f"has {len(columns)} {what}; give at most {MAX_COLUMNS}")
    return tuple(columns)


def counted(
    read: Iterator[Row | RowProblem], name: str, *, rows: int = MAX_ROWS, text: int | None = None
) -> Iterator[Row | RowProblem]:
    """The same rows, up to the most that a table may have.

    Args:
        rows: how many there may be.
        text: how many characters and bytes their cells may have together; None for any number.
    """
    length = 0
    for count, row in enumerate(read):
        if count >= rows:
            raise bad_file(name, f"has more than {rows:,} rows; give at most so many")
        if text is not None and isinstance(row, Row):
            length += sum(map(_length, row.cells.values()))
            if length > text:
                raise bad_file(name, f"holds more than {text // 2**20} MiB of text; give fewer rows or shorter ones")
        yield row


def _length(value: Any) -> int:
    """The characters or bytes of a cell; of what holds others, roughly."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_length, value.values()))
    return sum(map(_length, value)) if isinstance(value, list) else 8


def as_text(value: Any) -> str:
    """A cell as text: nothing for what is not there, JSON for lists and objects."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value != value:
        return ""
    if isinstance(value, bytes | bytearray):
        return ""
    return json.dumps(value, ensure_ascii=False, default=str)
