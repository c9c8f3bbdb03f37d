"""Excel workbooks: a sheet, or sheets that are named for splits. Torch-free."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.reading.base import (
    SPLIT_COLUMN,
    ReadOptions,
    Row,
    RowProblem,
    Source,
    Table,
    as_text,
    bad_file,
    counted,
)
from pituning.tasks.reading.delimited import SAMPLE_RECORDS, find_header, named_columns, numbered_columns
from pituning.tasks.reading.splits import split_of

# It warns of parts that it does not read, such as drop-down lists.
warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")

FORM = "Excel"
EMPTY = "#N/A"
"""What a formula gives that found nothing; a cell without a value."""


def read_excel(source: Source, options: ReadOptions) -> Table:
    """The table of a workbook: its only sheet with rows, the one that is named, or one for each split.

    Of formulas the values are read that were saved with them. Pictures in cells are not read.

    Raises:
        BadInput: it is damaged, locked or empty, or has several sheets of which nobody knows which is meant.
    """
    filled = _sheets(source)
    if not filled:
        raise bad_file(source.name, "is empty; give a table with a header and at least a few rows")
    names = list(filled)
    if options.table is not None:
        if options.table not in filled:
            raise BadInput(
                f"file {source.name!r} has no sheet {options.table!r} with rows; it has "
                f"{', '.join(map(repr, names[:5]))}",
                field="table",
            )
        names = [options.table]
    splits = {name: split_of(name) for name in names} if len(names) > 1 else dict.fromkeys(names)
    if len(names) > 1 and None in splits.values():
        more = ", …" if len(names) > 3 else ""
        raise bad_file(
            source.name,
            f"has {len(names)} sheets ({', '.join(map(repr, names[:3]))}{more}); choose one with --table, or name them "
            "train, validation, test",
        )
    several = len(names) > 1
    columns: dict[str, None] = {}
    headers: dict[str, tuple[bool, tuple[str, ...]]] = {}
    notes: list[str] = []
    for name in names:
        first, *others = filled[name]
        header, said = find_header(first, others, options)
        called = f"{source.name}, sheet {name!r}" if several else source.name
        own = named_columns(first, called) if header else numbered_columns(filled[name], called)
        headers[name] = header, own
        columns |= dict.fromkeys(own)
        notes += said
    split = several and SPLIT_COLUMN not in columns

    def read() -> Iterator[Row | RowProblem]:
        return counted(rows(), source.name)

    def rows() -> Iterator[Row | RowProblem]:
        with _workbook(source) as book:
            for name in names:
                header, own = headers[name]
                empty = dict.fromkeys(columns) | ({SPLIT_COLUMN: splits[name]} if split else {})
                yield from _rows(_records(book[name]), own, header, f"sheet {name!r}" if several else None, empty)

    return Table(
        filename=source.name,
        columns=(*columns, SPLIT_COLUMN) if split else tuple(columns),
        form=f"{FORM}, {len(names)} sheets" if several else FORM,
        read=read,
        notes=tuple(dict.fromkeys(notes)),
    )


def _sheets(source: Source) -> dict[str, list[list[str]]]:
    """The first records of each sheet that has any."""
    with _workbook(source) as book:
        sample = {
            sheet.title: [[as_text(cell) for cell in cells] for _, cells in islice(_records(sheet), SAMPLE_RECORDS)]
            for sheet in book.worksheets
        }
    return {name: records for name, records in sample.items() if records}


def _rows(
    records: Iterator[tuple[int, list[Any]]],
    columns: Sequence[str],
    header: bool,
    file: str | None,
    empty: Mapping[str, Any],
) -> Iterator[Row | RowProblem]:
    width = len(columns)
    for number, cells in islice(records, 1, None) if header else records:
        if len(cells) > width:
            others = "the header has" if header else "the others have"
            yield RowProblem(number, f"has {len(cells)} cells, {others} {width}", file=file)
        else:  # cells at the end of a row that are empty are not there
            yield Row(number, {**empty, **dict(zip(columns, cells, strict=False))}, file)


def _records(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """The rows of a sheet with their numbers, without the empty cells at their ends; empty rows are passed over."""
    sheet.reset_dimensions()  # what some programs write of them is wrong
    for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = [_plain(value) for value in values]
        while cells and cells[-1] in (None, ""):
            cells.pop()
        if cells:
            yield number, cells


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and not (value.hour or value.minute or value.second):
        return value.date().isoformat()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return None if value == EMPTY else value


@contextmanager
def _workbook(source: Source) -> Iterator[Any]:
    """The workbook, of which only the row at hand is in memory.

    Whatever goes wrong within it does so because of what the file holds.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with source.open() as stream:
            book = load_workbook(stream, read_only=True, data_only=True)
            try:
                yield book
            finally:
                book.close()
    except (BadInput, MemoryError):
        raise
    except (InvalidFileException, zipfile.BadZipFile) as error:
        raise bad_file(
            source.name,
            "is no Excel workbook of the form .xlsx, is locked with a password, or is cut off; save it again as .xlsx",
        ) from error
    except Exception as error:  # of a damaged part, openpyxl says whatever its own code came across
        raise bad_file(source.name, "is damaged; open it in a spreadsheet and save it again") from error
