"""JSON: lines, or one document in any of the usual forms (`documents`). Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pituning.tasks.reading.base import (
    ReadOptions,
    Row,
    RowProblem,
    Source,
    Table,
    bad_file,
    check_columns,
    counted,
    read_whole,
)
from pituning.tasks.reading.documents import document_rows
from pituning.tasks.reading.records import json_type, plain_record
from pituning.tasks.reading.text import find_encoding, json_lines, whole_text

SAMPLE = 5000


def read_json(source: Source, options: ReadOptions) -> Table:
    """A JSON file of either kind, whatever its name says: JSON lines are told by their first line.

    Raises:
        BadInput: it is no JSON, or in a form that is not read.
    """
    encoding = find_encoding(source, options)
    first = ""
    for line in json_lines(source, encoding):
        first = line.strip()
        if first:
            break
    if _is_record(first) or not first.startswith(("[", "{")):
        return _lines(source, encoding)
    data = read_whole(source)
    text = whole_text(source, data, encoding)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if source.name.lower().endswith((".jsonl", ".ndjson")):
            return _lines(source, encoding)
        raise bad_file(source.name, f"is not complete JSON ({_what(error)}); save it again") from error
    if isinstance(document, dict) and source.name.lower().endswith((".jsonl", ".ndjson")):
        return _lines(source, encoding)
    return _document(source, document, encoding)


def _is_record(line: str) -> bool:
    """Whether a line is a whole object, as the first of JSON lines is."""
    if not line.startswith("{"):
        return False
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    # A document on one line holds its rows in lists of objects or of lists.
    return not document_rows(record)[0]


def _document(source: Source, document: Any, encoding: str) -> Table:
    records, form = document_rows(document)
    if not records:
        raise bad_file(
            source.name,
            "is JSON in a form that is not read; give a list of objects, an object of lists (one for each column), "
            "or one object on each line",
        )
    columns = dict.fromkeys(key for record in records if isinstance(record, dict) for key in record)
    names = check_columns(list(columns), source.name, "fields")

    def read() -> Iterator[Row | RowProblem]:
        for number, record in enumerate(records, start=1):
            yield from _row(number, record, names)

    return Table(
        filename=source.name, columns=names, form=form, read=lambda: counted(read(), source.name), encoding=encoding
    )


def _lines(source: Source, encoding: str) -> Table:
    columns: dict[str, None] = {}
    problem: RowProblem | None = None
    for row in islice(_line_rows(source, encoding, None), SAMPLE):
        if isinstance(row, Row):
            columns |= dict.fromkeys(row.cells)
        elif problem is None:
            problem = row
    if not columns:
        why = f" ({problem})" if problem else ""
        raise bad_file(source.name, f"has no usable rows{why}; write one JSON object on each line")
    names = check_columns(list(columns), source.name, "fields")
    return Table(
        filename=source.name,
        columns=names,
        form="JSON lines",
        read=lambda: counted(_line_rows(source, encoding, names), source.name),
        encoding=encoding,
    )


def _line_rows(source: Source, encoding: str, columns: tuple[str, ...] | None) -> Iterator[Row | RowProblem]:
    pending: RowProblem | None = None
    read = False
    for number, line in enumerate(json_lines(source, encoding), start=1):
        if not line.strip():
            continue
        if pending is not None:
            yield pending
            pending = None
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            pending = RowProblem(number, f"is not JSON ({_what(error)})")
            continue
        read = True
        yield from _row(number, record, columns)
    if pending is not None:
        yield RowProblem(pending.row, "is not complete JSON (the file seems cut off)") if read else pending


def _row(number: int, record: Any, columns: tuple[str, ...] | None) -> Iterator[Row | RowProblem]:
    if not isinstance(record, dict):
        yield RowProblem(number, f"is a JSON {json_type(record)}, not an object with named fields")
        return
    plain = plain_record(record)
    yield Row(number, plain if columns is None else dict.fromkeys(columns) | plain)
    for key, value in plain.items():
        if any(_has_surrogate(text) for text in _texts(value)):
            yield RowProblem(number, f"{key!r} holds half a character (a lone surrogate)", column=key)


def _what(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _has_surrogate(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which no file can store."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
