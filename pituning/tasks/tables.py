"""Reads what people bring: a CSV, TSV or JSONL table, or a zip with one table and its images. Torch-free.

A file that cannot be read at all raises at once; a row that cannot be used is kept as a `RowProblem` with its number,
so that all of them can be shown together.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pituning.errors import BadInput
from pituning.tasks.archives import ArchiveImages, read_archive
from pituning.tasks.images import MAX_IMAGE_BYTES

MAX_TABLE_BYTES = 64 * 2**20
MAX_ARCHIVE_BYTES = 256 * 2**20
MAX_ROWS = 100_000
MAX_COLUMNS = 200
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".zip": "zip"}

_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet table",
}
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class RowProblem:
    """Why one row cannot be used.

    Args:
        row: its number as a spreadsheet or an editor counts it: the first line of the file is 1.
        message: what is wrong, as the end of a sentence about the row.
        column: the column at fault, or None when it is the whole row.
    """

    row: int
    message: str
    column: str | None = None

    def __str__(self) -> str:
        return f"row {self.row}: {self.message}"


class FolderImages:
    """Images beside a table on disk; nothing outside the table's folder can be reached."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()

    def read(self, name: str) -> bytes:
        """The bytes of an image.

        Raises:
            BadInput: the file is missing or lies outside the folder, as the end of a sentence about the row.
        """
        path = (self.folder / name.replace("\\", "/")).resolve()
        if not path.is_relative_to(self.folder):
            raise BadInput(f"image {name!r} lies outside the table's folder; put it beside the table")
        try:
            if not path.is_file():  # a pipe or a device would never end
                raise FileNotFoundError
            with path.open("rb") as stream:
                return stream.read(MAX_IMAGE_BYTES + 1)  # one more than may be, so that it is refused for its size
        except (OSError, ValueError) as error:
            raise BadInput(f"image {name!r} is not beside the table; add it or correct its name") from error


@dataclass(frozen=True, kw_only=True)
class ParsedTable:
    """A table as read: every cell is text.

    Args:
        filename: what the user calls the file.
        columns: the names of the columns.
        rows: one mapping from column to cell for each usable row.
        numbers: the number of each of ``rows`` in the file.
        problems: the rows, or cells, that cannot be used.
        encoding: the text encoding that was found.
        delimiter: of a CSV file, else None.
        images: where the images of the table are found, or None.
    """

    filename: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...] = field(repr=False)
    numbers: tuple[int, ...] = field(repr=False)
    problems: tuple[RowProblem, ...]
    encoding: str
    delimiter: str | None
    images: ArchiveImages | FolderImages | None = field(default=None, repr=False)


def read_table(source: Path | str | bytes, filename: str | None = None) -> ParsedTable:
    """Reads a table from a path or from the bytes of an uploaded file.

    Args:
        source: a path, or the content of the file.
        filename: the name that tells the type (``.csv``, ``.tsv``, ``.txt``, ``.jsonl``, ``.ndjson``, ``.zip``) and
            that messages use; needed with bytes.

    Raises:
        BadInput: the file is missing, empty, too large, of another type, wrongly encoded or cut off.
    """
    folder: Path | None = None
    if isinstance(source, bytes):
        data = source
        name = Path(filename or "table").name
    else:
        path = Path(source)
        folder, name = path.parent, Path(filename or path).name
        data = _read_file(path)
    suffix = Path(name).suffix.lower()
    kind = SUFFIXES.get(suffix)
    if kind is None:
        raise BadInput(
            f"file {name!r}: type {suffix or '(none)'} is not read; give .csv, .tsv, .jsonl or .zip", field="file"
        )
    if not data.strip(b"\x00 \t\r\n"):
        raise BadInput(f"file {name!r} is empty; give a table with a header and at least a few rows", field="file")
    if kind == "zip":
        _limit(name, data, MAX_ARCHIVE_BYTES)
        table_name, table, images = read_archive(data, name, tuple(s for s, k in SUFFIXES.items() if k != "zip"))
        if not table.strip(b"\x00 \t\r\n"):
            raise BadInput(f"file {name!r}: its table {table_name!r} is empty; add rows to it", field="file")
        label = f"{name}:{table_name}"
        return _parse(label, SUFFIXES[Path(table_name).suffix.lower()], table, images)
    return _parse(name, kind, data, FolderImages(folder) if folder is not None else None)


def _read_file(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise BadInput(f"{str(path)!r} is a pipe or a device; give a .csv, .tsv, .jsonl or .zip file", field="file")
        if path.is_file() and path.stat().st_size > MAX_ARCHIVE_BYTES:
            raise BadInput(
                f"file {str(path)!r} has {path.stat().st_size / 2**20:.0f} MiB; "
                f"make it smaller than {MAX_ARCHIVE_BYTES // 2**20} MiB",
                field="file",
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"file {str(path)!r} does not exist; check the path", field="file") from error
    except IsADirectoryError as error:
        raise BadInput(f"{str(path)!r} is a folder; give a .csv, .tsv, .jsonl or .zip file", field="file") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"file {str(path)!r} cannot be read ({error}); check its permissions", field="file") from error


def _limit(name: str, data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise BadInput(
            f"file {name!r} has {len(data) / 2**20:.0f} MiB; make it smaller than {limit // 2**20} MiB", field="file"
        )


def _parse(name: str, kind: str, data: bytes, images: ArchiveImages | FolderImages | None) -> ParsedTable:
    _limit(name, data, MAX_TABLE_BYTES)
    text, encoding = decode(data, name)
    if not text.strip():
        raise BadInput(f"file {name!r} is empty; give a table with a header and at least a few rows", field="file")
    if kind == "csv":
        columns, rows, problems, delimiter = _parse_csv(text, name)
    else:
        columns, rows, problems = _parse_jsonl(text, name)
        delimiter = None
    if not rows:
        why = f" ({problems[0]})" if problems else ""
        fix = "add rows below the header" if kind == "csv" else "write one JSON object on each line"
        raise BadInput(f"file {name!r} has no usable rows{why}; {fix}", field="file")
    if len(rows) > MAX_ROWS:
        raise BadInput(f"file {name!r} has {len(rows):,} rows; give at most {MAX_ROWS:,}", field="file")
    return ParsedTable(
        filename=name,
        columns=tuple(columns),
        rows=tuple(row for _, row in rows),
        numbers=tuple(number for number, _ in rows),
        problems=tuple(problems),
        encoding=encoding,
        delimiter=delimiter,
        images=images,
    )


def decode(data: bytes, name: str) -> tuple[str, str]:
    """The text of a file and the name of its encoding: UTF-8, or whatever its byte order mark says.

    Raises:
        BadInput: the bytes are no text, or text in another encoding.
    """
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise BadInput(f"file {name!r} is {what}, not a table; save it as CSV (UTF-8)", field="file")
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if encoding is None:
        encoding = _unmarked_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(
            f"file {name!r} is not valid {encoding.upper()} (byte 0x{data[error.start]:02x} near line {line}); "
            "save it as UTF-8",
            field="file",
        ) from error
    if "\x00" in text:
        raise BadInput(
            f"file {name!r} is not a text file (it contains zero bytes); save it as CSV (UTF-8)", field="file"
        )
    return text, encoding


def _unmarked_encoding(data: bytes) -> str:
    """UTF-16 without a mark shows itself by zeros in every other byte; everything else must be UTF-8."""
    head = data[:4096]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.3 * len(head) and even == 0:
        return "utf-16-le"
    if even > 0.3 * len(head) and odd == 0:
        return "utf-16-be"
    return "utf-8"


def _parse_csv(text: str, name: str) -> tuple[list[str], list[tuple[int, Mapping[str, str]]], list[RowProblem], str]:
    delimiter = _find_delimiter(text)
    records = _records(text, delimiter, name)
    first = next(records, None)
    if first is None:
        raise BadInput(f"file {name!r} is empty; give a table with a header and at least a few rows", field="file")
    columns = _header(first[1], name)
    rows: list[tuple[int, Mapping[str, str]]] = []
    problems: list[RowProblem] = []
    for number, cells in records:
        while len(cells) > len(columns) and not cells[-1].strip():
            cells.pop()  # a delimiter at the end of the line
        if len(cells) != len(columns):
            problems.append(RowProblem(number, f"has {len(cells)} fields, the header has {len(columns)}"))
        else:
            rows.append((number, dict(zip(columns, cells, strict=True))))
    return columns, rows, problems, delimiter


def _records(text: str, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV text with the line each begins on; blank lines are passed over."""
    # newline="" keeps line ends inside quotes as they are.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            message = f"a quote that opens in row {begin} never closes (is it cut off?); close it or save it again"
        elif "field limit" in str(error):
            message = (
                f"row {begin} has a cell of over {csv.field_size_limit():,} characters; close its quote or shorten it"
            )
        else:
            message = f"row {begin}: {error}; write a quote inside a quoted field twice"
        raise BadInput(f"file {name!r}: {message}", field="file") from error


def _find_delimiter(text: str) -> str:
    """The delimiter that splits the first records into the same number of fields, the more the better."""
    best, best_merit = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        widths: list[int] = []
        try:
            for cells in csv.reader(io.StringIO(text[:65536], newline=""), delimiter=delimiter):
                if cells:
                    widths.append(len(cells))
                if len(widths) == 50:
                    break
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            merit = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
            if merit > best_merit:
                best, best_merit = delimiter, merit
    return best


def _header(cells: list[str], name: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    columns = [column or f"column {index}" for index, column in enumerate(columns, start=1)]
    if len(columns) > MAX_COLUMNS:
        raise BadInput(f"file {name!r} has {len(columns)} columns; give at most {MAX_COLUMNS}", field="file")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise BadInput(f"file {name!r} has two columns called {twice[0]!r}; give each its own name", field="file")
    return columns


def _parse_jsonl(text: str, name: str) -> tuple[list[str], list[tuple[int, Mapping[str, str]]], list[RowProblem]]:
    columns: dict[str, None] = {}
    rows: list[tuple[int, Mapping[str, str]]] = []
    problems: list[RowProblem] = []
    # Not splitlines(): JSON text may hold U+2028 and its like unescaped.
    lines = text.split("\n")
    last = max(index for index, line in enumerate(lines) if line.strip())
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        number = index + 1
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if index == last and rows:
                problems.append(RowProblem(number, "is not complete JSON (the file seems cut off)"))
            else:
                what = "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"
                what = error.msg if isinstance(error, json.JSONDecodeError) else what
                problems.append(RowProblem(number, f"is not JSON ({what})"))
            continue
        if not isinstance(record, dict):
            problems.append(RowProblem(number, f"is a JSON {_json_type(record)}, not an object with named fields"))
            continue
        row: dict[str, str] = {}
        for key, value in record.items():
            columns.setdefault(key)
            if isinstance(value, (list, dict)):
                problems.append(RowProblem(number, f"{key!r} is a JSON {_json_type(value)}, not text", column=key))
            row[key] = _cell(value)
            if _has_surrogate(row[key]):
                problems.append(RowProblem(number, f"{key!r} holds half a character (a lone surrogate)", column=key))
        rows.append((number, row))
    if len(columns) > MAX_COLUMNS:
        raise BadInput(f"file {name!r} has {len(columns)} fields; give at most {MAX_COLUMNS}", field="file")
    return list(columns), [(n, {c: row.get(c, "") for c in columns}) for n, row in rows], problems


def _json_type(value: object) -> str:
    names = {list: "list", dict: "object", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _has_surrogate(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which no file can store."""
    return any("\ud800" <= character <= "\udfff" for character in text)
