"""Tables of task affinity from elsewhere, kept in a workspace as ``affinities/<name>.csv``. Torch-free.

Two forms are read: a table whose header and first column name the tasks, and a long one with the columns ``source``,
``target`` and ``value``. An empty cell, a pair that is not listed, and, where rows and columns are not the same tasks,
whatever has no cell, is not known. `pituning.tasks.affinity_tables` reads them from every form of file.
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
from pituning.workspace.atomic import TEMPORARY_PREFIX, write_bytes
from pituning.workspace.layout import Workspace, check_name, free_name

LEAST_TASKS, MOST_TASKS = 2, 5000
MOST_VALUE = 1e12
"""Of a value, either way: no measure of affinity is larger, and squares of such values still have room."""
LONG_COLUMNS = ("source", "target", "value")
_LONG_NAMES: tuple[tuple[str, ...], ...] = (
    ("source", "from", "donor", "source_task", "src"),
    ("target", "to", "receiver", "recipient", "target_task", "dst"),
    ("value", "score", "affinity", "similarity", "weight", "gain", "transfer"),
)
"""What the three columns may be called, too."""

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
        notes: one line each about how the table was read.
    """

    names: tuple[str, ...]
    values: np.ndarray
    notes: tuple[str, ...] = ()

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
        rows: what the rows of a table with names on two sides are, where its corner does not say so.

    Raises:
        BadInput: with what is wrong and where; ``field`` is ``"file"``.
    """
    return affinity_of(_table(data), rows=rows)


def affinity_of(table: Sequence[tuple[int, list[str]]], *, rows: Rows = "target") -> Affinity:
    """The affinities in the rows of a table, each with the number of its line; the first is the header.

    Raises:
        BadInput: as `parse_affinity`.
    """
    header = [cell.strip() for cell in table[0][1]]
    lowered = [cell.lower() for cell in header]
    at = [next((lowered.index(name) for name in names if name in lowered), None) for names in _LONG_NAMES]
    places = [place for place in at if place is not None]
    affinity = _long(table, places) if len(places) == len(LONG_COLUMNS) else _two_sided(table, rows)
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


def _corner(cell: str) -> Rows | None:
    """What the corner cell says that rows are: ``source\\target`` names first what stands below it, the rows."""
    words = [word for word in re.split(r"[^a-z_]+", cell.lower()) if word]
    sides = [
        "source" if word.rstrip("s") in _LONG_NAMES[0] else "target" if word.rstrip("s") in _LONG_NAMES[1] else None
        for word in words
    ]
    known = [side for side in sides if side is not None]
    if len(known) != 2 or known[0] == known[1]:
        return None
    return "source" if known[0] == "source" else "target"


def _two_sided(table: Sequence[tuple[int, list[str]]], rows: Rows) -> Affinity:
    columns = [_name(cell) for cell in table[0][1][1:]]
    while columns and not columns[-1]:  # a comma at the end of each line
        columns.pop()
    below = [_name(row[0]) for _, row in table[1:]]
    _check_names(columns, "the header")
    _check_names(below, "the first column")
    names = tuple(dict.fromkeys([*below, *columns]))
    _check_count(len(names))
    if not set(below) & set(columns):
        also = "; ".join(f"{one[0]}: {', '.join(one[1:])}" for one in _LONG_NAMES)
        raise _bad(
            f"no task has both a row and a column; name the tasks in the header and in the first column, or give the "
            f"columns {', '.join(LONG_COLUMNS)} (or {also})"
        )
    notes: list[str] = []
    said = _corner(table[0][1][0])
    if said is not None and said != rows:
        notes.append(f"the corner says {table[0][1][0].strip()!r}, so a row is what one {said} has, not one {rows}")
    if len(below) != len(columns) or set(below) != set(columns):
        notes.append(f"{len(below)} rows and {len(columns)} columns: what has no cell is not known")
    values = np.full((len(names), len(names)), np.nan)
    place = {name: i for i, name in enumerate(names)}
    for line, row in table[1:]:
        cells, name = row[1:], _name(row[0])
        if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
            raise _bad(f"line {line} (task {name!r}) has {len(cells)} values for {len(columns)} columns")
        for column, cell in zip(columns, cells, strict=False):
            values[place[name], place[column]] = _number(cell, f"row {name!r} (line {line}), column {column!r}")
    if (said or rows) == "source":
        values = values.T.copy()
    return Affinity(names=names, values=values, notes=tuple(notes))


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
    if math.isfinite(value) and abs(value) > MOST_VALUE:  # means, ranks and drawings of larger ones overflow
        raise _bad(f"{where}: {text[:40]!r} is beyond {MOST_VALUE:g}; give the values in another unit")
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
    free = free_name(name, {name, *affinity_names(workspace)})
    taken = BadInput(
        f"there is a table {name!r} already; choose another name, such as {free!r}, or delete that one", field="name"
    )
    write_bytes(affinity_path(workspace, name), affinity_csv(affinity), taken=taken)


def load_affinity(workspace: Workspace, name: str) -> Affinity:
    """A table that is kept.

    Raises:
        BadInput: there is none of that name.
        ArtefactError: it is damaged.
    """
    path = affinity_path(workspace, name)
    try:
        affinity = parse_affinity(path.read_bytes())
        if affinity.notes:  # what is kept is square
            raise _bad(f"the table is cut off: {affinity.notes[0]}")
        return affinity
    except FileNotFoundError as error:
        raise unknown("table", name, affinity_names(workspace)) from error
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror or error}") from error
    except BadInput as error:
        raise ArtefactError(f"{path} is damaged ({error}); delete it and import the table again") from error
