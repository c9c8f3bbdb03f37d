"""CSV and its relatives: cells between commas, semicolons, tabs or bars. Torch-free."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePath

from pituning.errors import BadInput
from pituning.tasks.reading.base import ReadOptions, Row, RowProblem, Source, Table, bad_file, check_columns, counted
from pituning.tasks.reading.names import is_usual_name
from pituning.tasks.reading.text import find_encoding, lines

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE_LINES = 2000
SAMPLE_RECORDS = 200

_WELL_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def read_delimited(source: Source, options: ReadOptions) -> Table:
    """A table of cells between delimiters.

    Raises:
        BadInput: the file is empty, wrongly encoded, or its columns or quotes are not sound.
    """
    encoding = find_encoding(source, options)
    sample = list(islice(lines(source, encoding), SAMPLE_LINES))
    if not any(line.strip() for line in sample):
        raise bad_file(source.name, "is empty; give a table with a header and at least a few rows")
    delimiter = _delimiter(sample, source.name, options)
    quoted = delimiter != "\t" or _tabs_quoted(sample)
    records = list(islice(_records(iter(sample), delimiter, quoted, source.name, cut=True), SAMPLE_RECORDS))
    if not records:
        raise bad_file(source.name, "has delimiters alone; give a table with a header and at least a few rows")
    first, *others = records
    header, notes = find_header(first[1], [cells for _, cells in others], options)
    if header:
        columns = named_columns(first[1], source.name)
    else:
        columns = numbered_columns([cells for _, cells in records], source.name)

    def read() -> Iterator[Row | RowProblem]:
        records = _records(lines(source, encoding), delimiter, quoted, source.name)
        return counted(_rows(islice(records, 1, None) if header else records, columns, header), source.name)

    kind = "TSV" if delimiter == "\t" else f"CSV ({DELIMITERS.get(delimiter, repr(delimiter))})"
    return Table(
        filename=source.name, columns=columns, form=kind, read=read, encoding=encoding, delimiter=delimiter,
        notes=tuple(notes),
    )  # fmt: skip


def _rows(records: Iterator[tuple[int, list[str]]], columns: Sequence[str], header: bool) -> Iterator[Row | RowProblem]:
    width = len(columns)
    for number, cells in records:
        while len(cells) > width and not cells[-1].strip():
            cells.pop()  # a delimiter at the end of the line
        if len(cells) != width:
            what = "the header has" if header else "the others have"
            yield RowProblem(number, f"has {len(cells)} fields, {what} {width}")
        else:
            yield Row(number, dict(zip(columns, cells, strict=True)))


def _records(
    text: Iterator[str], delimiter: str, quoted: bool, name: str, *, cut: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """The records with the line each begins on; blank lines are passed over.

    Args:
        cut: whether the text may end within a quoted cell.
    """
    reader = csv.reader(
        text, delimiter=delimiter, strict=quoted, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    begin = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            if cut and reader.line_num >= SAMPLE_LINES:
                return
            message = f"a quote that opens in row {begin} never closes (is it cut off?); close it or save it again"
        elif "field limit" in str(error):
            message = (
                f"row {begin} has a cell of over {csv.field_size_limit():,} characters; close its quote or shorten it"
            )
        else:
            between = str(error).replace("'\t'", "a tab")
            message = f"row {begin}: {between}; write a quote inside a quoted field twice"
        raise BadInput(f"file {name!r}: {message}", field="file") from error


def _delimiter(sample: Sequence[str], name: str, options: ReadOptions) -> str:
    """The delimiter that splits the first records into the same number of fields, the more the better.

    A tab that does so is never text, so it wins over all others; in a file that is named for its tabs, it always does.
    """
    if options.delimiter is not None:
        signs = {"\\t": "\t"} | {label: sign for sign, label in DELIMITERS.items()}
        sign = signs.get(options.delimiter, options.delimiter)
        if len(sign) != 1:
            raise BadInput(f"delimiter {options.delimiter!r} is not one character", field="delimiter")
        return sign
    filled = [line for line in sample if line.strip()][:SAMPLE_RECORDS]
    tabs = Counter(line.rstrip("\r\n").count("\t") for line in filled)
    share = tabs[filled[0].rstrip("\r\n").count("\t")] / len(filled)
    named_for_tabs = PurePath(name).suffix.lower() in (".tsv", ".tab")
    if "\t" in filled[0] and (named_for_tabs or share >= 0.95):
        return "\t"
    best, best_merit = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths: list[int] = []
        try:
            for cells in islice(csv.reader(iter(sample), delimiter=delimiter), 50):
                if cells:
                    widths.append(len(cells))
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            merit = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
            if merit > best_merit:
                best, best_merit = delimiter, merit
    return best


def _tabs_quoted(sample: Sequence[str]) -> bool:
    """Whether quotes in a tab-separated file enclose cells, as Excel writes them, or are text, as in GLUE's files."""
    rows = [line.rstrip("\r\n").split("\t") for line in sample if line.strip()]
    opening = [cell for row in rows for cell in row if cell.startswith('"')]
    if not opening:
        return False
    broken = any(_WELL_QUOTED.fullmatch(cell) is None for cell in opening)
    if len({len(row) for row in rows}) == 1:
        columns = zip(*rows[1:], strict=True)
        whole = any(column and all(cell.startswith('"') for cell in column) for column in columns)
        return not broken and (whole or any('""' in cell[1:-1] for cell in opening))
    try:
        widths = {len(cells) for cells in csv.reader(iter(sample), delimiter="\t", strict=True) if cells}
    except csv.Error:
        return False
    return len(widths) == 1


def find_header(first: Sequence[str], others: Sequence[Sequence[str]], options: ReadOptions) -> tuple[bool, list[str]]:
    """Whether the first record names the columns, and what to say where that is not sure."""
    if options.header is not None:
        return options.header, []
    if not others or not any(cell.strip() for cell in first):
        return True, []
    cells = [cell.strip() for cell in first]
    columns = [[row[place].strip() for row in others if len(row) > place] for place in range(len(cells))]
    again = next(
        (cell for cell, column in zip(cells, columns, strict=True) if cell and _few(column) and cell in column), None
    )
    number = next(
        (
            cell
            for cell, column in zip(cells, columns, strict=True)
            if _is_number(cell) and not cell.isdigit() and column and all(map(_is_number, column))
        ),
        None,
    )
    if number is None and any(is_usual_name(cell) for cell in cells):
        if again is None:
            return True, []
        return True, [
            f"the first row is read as the header, but {again!r} is also an answer: is a header missing? "
            "--no-header reads it as a row"
        ]
    long = next((cell for cell in cells if len(cell.split()) > 6), None)
    if again is None and number is None and long is None:
        return True, []
    why = f"{again!r} is in the rows below too" if again is not None else f"{(number or long or '')[:40]!r} is no name"
    return False, [f"the first row is read as a row, not as a header, as {why}; --header reads it as the header"]


def _few(column: Sequence[str]) -> bool:
    return len(set(column)) <= max(len(column) // 2, 1)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def numbered_columns(records: Sequence[Sequence[str]], name: str) -> tuple[str, ...]:
    """The columns of a table without a header: as many as most records have.

    Raises:
        BadInput: there are too many.
    """
    widths = Counter(map(len, records))
    return check_columns([f"column {n}" for n in range(1, widths.most_common(1)[0][0] + 1)], name)


def named_columns(cells: Sequence[str], name: str) -> tuple[str, ...]:
    """The columns that a header names; one without a name is called by its number.

    Raises:
        BadInput: there are too many, or two have one name.
    """
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    columns = [column or f"column {index}" for index, column in enumerate(columns, start=1)]
    check_columns(columns, name)
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise bad_file(name, f"has two columns called {twice[0]!r}; give each its own name")
    return tuple(columns)
