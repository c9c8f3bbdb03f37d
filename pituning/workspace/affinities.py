"""Tables of task affinity from elsewhere, kept in a workspace as ``affinities/<name>.csv``. Torch-free.

Two forms are read: a square table whose header and first column name the tasks, and a long one with the columns
``source``, ``target`` and ``value``. An empty cell, or a pair that is not listed, is not known.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from pituning.errors import ArtefactError, BadInput
from pituning.registry import unknown
from pituning.workspace.atomic import TEMPORARY_PREFIX, storage_error, write_bytes
from pituning.workspace.layout import Workspace, check_name

LEAST_TASKS, MOST_TASKS = 2, 5000
LONG_COLUMNS = ("source", "target", "value")
CORNER = "target \\ source"
"""Above the first column of the files that are kept: their rows are targets."""

NOT_KNOWN = frozenset({"", "nan", "na", "n/a", "-", "–"})
Rows = Literal["target", "source"]


@dataclass(frozen=True, kw_only=True)
class Affinity:
    """How much each task gives to each other one, by whatever measure.

    Args:
        names: the tasks, in the order of rows and columns.
        values: (N, N), targets in the rows and sources in the columns; NaN where nothing is known.
    """

    names: tuple[str, ...]
    values: np.ndarray

    @cached_property
    def symmetric(self) -> bool:
        """Whether no pair is known to differ between its two directions."""
        both = np.isfinite(self.values) & np.isfinite(self.values.T)
        return bool(np.allclose(self.values[both], self.values.T[both], rtol=1e-6, atol=1e-12))

    @cached_property
    def mean(self) -> np.ndarray:
        """(N, N) mean of the two directions of each pair, or the one that is known; symmetric. Not to be changed."""
        one, other = self.values, self.values.T
        known = np.isfinite(one).astype(int) + np.isfinite(other)
        total = np.nan_to_num(one) + np.nan_to_num(other)
        mean = np.where(known > 0, total / np.maximum(known, 1), np.nan)
        mean.flags.writeable = False
        return mean


def parse_affinity(data: bytes, *, rows: Rows = "target") -> Affinity:
    """Reads a table in one of the two forms.

    Args:
        data: CSV, with commas, semicolons or tabs, as UTF-8.
        rows: what the rows of a square table are.

    Raises:
        BadInput: with what is wrong and where; ``field`` is ``"file"``.
    """
    table = _table(data)
    header = [cell.strip() for cell in table[0][1]]
    lowered = [cell.lower() for cell in header]
    if all(column in lowered for column in LONG_COLUMNS):
        affinity = _long(table, [lowered.index(column) for column in LONG_COLUMNS])
    else:
        affinity = _square(table)
        if rows == "source":
            affinity = Affinity(names=affinity.names, values=affinity.values.T.copy())
    if not np.isfinite(affinity.values[~np.eye(len(affinity.names), dtype=bool)]).any():
        raise _bad("the table holds no value between two different tasks")
    return affinity


def _bad(message: str) -> BadInput:
    return BadInput(message, field="file")


def _table(data: bytes) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its line."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(f"the file is no text in UTF-8 (byte {error.start}); save the table as CSV in UTF-8") from error
    if "\0" in text:
        raise _bad("the file is no text; save the table as CSV in UTF-8")
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise _bad("the file is empty; a square table has a header and a first column with the names of tasks")
    delimiter = max(",;\t", key=re.sub('"[^"]*"', "", first).count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _bad(f"the file is no readable CSV ({error}); save the table as CSV in UTF-8") from error
    if len(rows) - 1 > MOST_TASKS**2:
        raise _bad(f"the table has {len(rows) - 1:,} rows; at most {MOST_TASKS:,} tasks can be shown")
    return rows


def _name(cell: str) -> str:
    """A name on one line."""
    return " ".join(cell.split())


def _check_count(count: int) -> None:
    if count < LEAST_TASKS:
        raise _bad(f"the table names {count} task{'' if count == 1 else 's'}; a graph needs {LEAST_TASKS} or more")
    if count > MOST_TASKS:
        raise _bad(f"the table names {count:,} tasks; at most {MOST_TASKS:,} can be shown")


def _check_names(names: Sequence[str], where: str) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names, start=1):
        if not name:
            raise _bad(f"name {place} of {where} is empty; name every task")
        if name in seen:
            raise _bad(f"task {name!r} stands twice in {where}; each task has one row and one column")
        seen.add(name)


def _square(table: Sequence[tuple[int, list[str]]]) -> Affinity:
    columns = [_name(cell) for cell in table[0][1][1:]]
    while columns and not columns[-1]:  # a comma at the end of each line
        columns.pop()
    names = [_name(row[0]) for _, row in table[1:]]
    if len(names) != len(columns):
        raise _bad(
            f"the table is not square: {len(names)} rows and {len(columns)} columns of values; give each task one row "
            f"and one column, or the columns {', '.join(LONG_COLUMNS)}"
        )
    _check_count(len(names))
    _check_names(columns, "the header")
    _check_names(names, "the first column")
    alone = [name for name in names if name not in set(columns)]
    if alone:
        raise _bad(f"the table is not square: task {alone[0]!r} has a row but no column")
    values = np.full((len(names), len(names)), np.nan)
    place = {name: i for i, name in enumerate(names)}
    at = [place[column] for column in columns]
    for i, (line, row) in enumerate(table[1:]):
        cells = row[1:]
        if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
            raise _bad(f"line {line} (task {names[i]!r}) has {len(cells)} values for {len(columns)} columns")
        for j, cell in zip(at, cells, strict=False):
            values[i, j] = _number(cell, f"row {names[i]!r} (line {line}), column {names[j]!r}")
    return Affinity(names=tuple(names), values=values)


def _long(table: Sequence[tuple[int, list[str]]], at: Sequence[int]) -> Affinity:
    by_pair: dict[tuple[str, str], float] = {}
    for line, row in table[1:]:
        if len(row) <= max(at):
            raise _bad(f"line {line} has {len(row)} cells; it needs {', '.join(LONG_COLUMNS)}")
        source, target = (_name(row[i]) for i in at[:2])
        if not source or not target:
            raise _bad(f"line {line} has an empty name; name {LONG_COLUMNS[0]} and {LONG_COLUMNS[1]}")
        if (source, target) in by_pair:
            raise _bad(f"line {line}: the pair {source!r} to {target!r} stands twice; keep one of its values")
        by_pair[source, target] = _number(row[at[2]], f"line {line}, column 'value'")
    names = tuple(dict.fromkeys(name for pair in by_pair for name in pair))
    _check_count(len(names))
    place = {name: i for i, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    for (source, target), value in by_pair.items():
        values[place[target], place[source]] = value
    return Affinity(names=names, values=values)


def _number(cell: str, where: str) -> float:
    """The number in a cell; NaN where it says that none is known."""
    text = cell.strip()
    if text.lower() in NOT_KNOWN:
        return math.nan
    try:
        value = float(text.replace("−", "-")) if "_" not in text else math.inf
    except ValueError as error:
        raise _bad(f"{where}: {text[:40]!r} is not a number; leave the cell empty where nothing is known") from error
    if not math.isfinite(value):
        raise _bad(f"{where}: {text[:40]!r} is not a finite number; leave the cell empty where nothing is known")
    return value


def affinity_csv(affinity: Affinity) -> bytes:
    """The square table that `parse_affinity` reads, with every digit."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([CORNER, *affinity.names])
    for name, row in zip(affinity.names, affinity.values.tolist(), strict=True):
        writer.writerow([name, *("" if math.isnan(value) else repr(value) for value in row)])
    return stream.getvalue().encode()


def affinity_path(workspace: Workspace, name: str) -> Path:
    """Where a table is kept.

    Raises:
        BadInput: the name cannot be used.
    """
    return workspace.root / "affinities" / f"{check_name(name, what='name')}.csv"


def affinity_names(workspace: Workspace) -> list[str]:
    """The tables that are kept, sorted."""
    paths = (workspace.root / "affinities").glob("*.csv")
    return sorted(path.stem for path in paths if not path.name.startswith(TEMPORARY_PREFIX))


def save_affinity(workspace: Workspace, name: str, affinity: Affinity) -> None:
    """Keeps a table, atomically.

    Raises:
        BadInput: the name cannot be used, or is taken; ``field`` is ``"name"``.
        ArtefactError: the disk is full or not writable.
    """
    path = affinity_path(workspace, name)
    if path.exists():
        raise BadInput(f"there is a table {name!r} already; choose another name, or delete that one", field="name")
    write_bytes(path, affinity_csv(affinity))


def load_affinity(workspace: Workspace, name: str) -> Affinity:
    """A table that is kept.

    Raises:
        BadInput: there is none of that name.
        ArtefactError: it is damaged.
    """
    path = affinity_path(workspace, name)
    try:
        return parse_affinity(path.read_bytes())
    except FileNotFoundError as error:
        raise unknown("table", name, affinity_names(workspace)) from error
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror or error}") from error
    except BadInput as error:
        raise ArtefactError(f"{path} is damaged ({error}); delete it and import the table again") from error


def delete_affinity(workspace: Workspace, name: str) -> None:
    """Deletes a table, if it is there.

    Raises:
        ArtefactError: it may not be removed.
    """
    path = affinity_path(workspace, name)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error
