"""The rows of one run as plain data, to be kept while the run is in the bin. Torch-free."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from pituning.errors import BadInput
from pituning.runs.records import ACTIVE
from pituning.runs.store import ALPHAS, CURVES, EVENTS, RUNS
from pituning.workspace.documents import DocumentError, check_document

Rows = dict[str, list[dict[str, Any]]]
"""By table, then by column."""

_OF_RUN = (CURVES, ALPHAS, EVENTS)
_AT_ONCE = 500


def rows_of(connection: sa.Connection, run_id: str) -> Rows | None:
    """What the database has about a run; None where some of it is no plain data."""
    rows = {RUNS.name: _read(connection, RUNS, RUNS.c.id == run_id)}
    try:
        for table in _OF_RUN:
            rows[table.name] = _read(connection, table, table.c.run_id == run_id)
        check_document(rows)
    except (DocumentError, ValueError):  # a value that was edited by hand
        return None
    return rows


def insert_rows(connection: sa.Connection, rows: Rows) -> str:
    """Writes what `rows_of` read; returns the id of the run.

    Raises:
        BadInput: it is no run that has ended, or there is one of that id.
    """
    try:
        (run,) = rows[RUNS.name]
        run_id, active = str(run["id"]), run["state"] in ACTIVE
    except (LookupError, TypeError, ValueError) as error:
        raise BadInput("the rows of this run are damaged; it cannot be restored") from error
    if active:
        raise BadInput(f"run {run_id!r} was {run['state']} and cannot be restored")
    if connection.scalar(sa.select(RUNS.c.id).where(RUNS.c.id == run_id)) is not None:
        raise BadInput(f"run {run_id!r} cannot be restored: there is a run of that id again", field="name")
    for table in (RUNS, *_OF_RUN):
        own = [
            {key: value for key, value in row.items() if key in table.c and (table is RUNS or key != "id")}
            for row in rows.get(table.name, [])
        ]
        for start in range(0, len(own), _AT_ONCE):
            try:
                connection.execute(sa.insert(table), own[start : start + _AT_ONCE])
            except (sa.exc.StatementError, TypeError) as error:
                raise BadInput(f"the rows of run {run_id!r} are damaged; it cannot be restored") from error
    return run_id


def copy_measured(connection: sa.Connection, run_id: str, other_id: str) -> None:
    """Writes the curves and weights of a run down for another one as well."""
    for table in (CURVES, ALPHAS):
        names = [column.key for column in table.c if column.key not in ("id", "run_id")]
        values = sa.select(sa.literal(other_id), *(table.c[name] for name in names)).where(table.c.run_id == run_id)
        connection.execute(sa.insert(table).from_select(["run_id", *names], values.order_by(table.c.id)))


def _read(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    """Rows in the order in which they came; JSON is read here, so that it is the same on every database."""
    columns = [
        sa.cast(column, sa.Text).label(column.key) if isinstance(column.type, sa.JSON) else column.label(column.key)
        for column in table.c
    ]
    order = [table.c.id]
    found = []
    for row in connection.execute(sa.select(*columns).where(which).order_by(*order)):
        values = dict(row._mapping)
        for column in table.c:
            if isinstance(column.type, sa.JSON):
                values[column.key] = json.loads(values[column.key])
        found.append(values)
    return found
