"""What the workspace's database and files say about runs: reading only. The contract is in `pituning.runs.queue`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from pituning.registry import unknown
from pituning.runs.records import AlphaPoint, CurvePoint, Run, RunEvent
from pituning.runs.spec import RunSpec
from pituning.workspace.atomic import read_json
from pituning.workspace.database import (
    AlphaRow,
    CurveRow,
    EventRow,
    RunRow,
    SettingRow,
    database_error,
    database_name,
    writing,
)
from pituning.workspace.layout import Workspace

RUNS, CURVES, ALPHAS, EVENTS, SETTINGS = (
    cast(sa.Table, row.__table__) for row in (RunRow, CurveRow, AlphaRow, EventRow, SettingRow)
)
ORDER = (RUNS.c.priority.desc(), RUNS.c.position, RUNS.c.id)
"""In which queued runs are taken."""

PAUSED = "paused"
"""The key of the setting that is there while people have paused the queue."""


class RunStore:
    """The runs of a workspace, to be read."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self._engine = workspace.engine

    def get(self, run_id: str) -> Run:
        """The run of that id.

        Raises:
            BadInput: there is none; the message has the ids that come close.
        """
        with self._reading() as connection:
            return self._get(connection, run_id)

    def list(
        self,
        *,
        states: Sequence[str] | None = None,
        kind: str | None = None,
        batch: str | None = None,
        backbone: str | None = None,
        limit: int = 500,
    ) -> Sequence[Run]:
        """Runs, newest first; those on any backbone unless one is named."""
        query = sa.select(RUNS).order_by(RUNS.c.created.desc(), RUNS.c.id.desc()).limit(limit)
        if states is not None:
            query = query.where(RUNS.c.state.in_(states))
        if kind is not None:
            query = query.where(RUNS.c.kind == kind)
        if batch is not None:
            query = query.where(RUNS.c.batch == batch)
        if backbone is not None:
            query = query.where(RUNS.c.backbone == backbone)
        with self._reading() as connection:
            return [_run(row) for row in connection.execute(query)]

    def waiting(self) -> Sequence[Run]:
        """The queued runs in the order in which they will be taken."""
        query = sa.select(RUNS).where(RUNS.c.state == "queued").order_by(*ORDER)
        with self._reading() as connection:
            return [_run(row) for row in connection.execute(query)]

    def counts(self, *, backbone: str | None = None) -> Mapping[str, int]:
        """How many runs there are in each state that has any; those on any backbone unless one is named."""
        query = sa.select(RUNS.c.state, sa.func.count()).group_by(RUNS.c.state)
        if backbone is not None:
            query = query.where(RUNS.c.backbone == backbone)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def setting(self, key: str) -> Any:
        """A value that holds for the queue as a whole, or None."""
        with self._reading() as connection:
            return connection.scalar(sa.select(SETTINGS.c.value).where(SETTINGS.c.key == key))

    def curves_of(self, run_id: str) -> Sequence[CurvePoint]:
        """All values of all curves, in the order in which they came."""
        query = sa.select(CURVES).where(CURVES.c.run_id == run_id).order_by(CURVES.c.id)
        with self._reading() as connection:
            return [CurvePoint(r.series, r.step, r.name, r.value) for r in connection.execute(query)]

    def alphas_of(self, run_id: str, *, last: int | None = None) -> Sequence[AlphaPoint]:
        """The interpolation weights in order of steps; the ``last`` so many only, or all."""
        query = sa.select(ALPHAS).where(ALPHAS.c.run_id == run_id).order_by(ALPHAS.c.step.desc(), ALPHAS.c.id.desc())
        with self._reading() as connection:
            rows = list(connection.execute(query.limit(last) if last is not None else query))
        return [
            AlphaPoint(r.step, tuple(r.data["sites"]), tuple(r.data["experts"]), tuple(map(tuple, r.data["weights"])))
            for r in reversed(rows)
        ]

    def events_of(self, run_id: str) -> Sequence[RunEvent]:
        """What happened to a run, oldest first."""
        query = sa.select(EVENTS).where(EVENTS.c.run_id == run_id).order_by(EVENTS.c.id)
        with self._reading() as connection:
            return [RunEvent(r.time, r.message) for r in connection.execute(query)]

    def result_of(self, run_id: str) -> dict[str, Any] | None:
        """The result of a run that has succeeded, else None.

        Raises:
            ArtefactError: its file is missing or damaged.
        """
        run = self.get(run_id)
        return read_json(self.workspace.root / run.result_path) if run.result_path else None

    def log_of(self, run_id: str, *, lines: int = 200) -> str:
        """The end of a run's log; empty when it has none."""
        self.get(run_id)
        path = self.workspace.run_dir(run_id) / "log.txt"
        if not path.exists():
            return ""
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 400 * lines))
            return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-lines:])

    # Inside.

    def _get(self, connection: sa.Connection, run_id: str, *, to_change: bool = False) -> Run:
        query = sa.select(RUNS).where(RUNS.c.id == run_id)
        row = connection.execute(query.with_for_update() if to_change else query).first()
        if row is None:
            known = connection.scalars(sa.select(RUNS.c.id).order_by(RUNS.c.created.desc()).limit(50))
            raise unknown("run", run_id, list(known))
        return _run(row)

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        try:
            with writing(self._engine) as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise database_error(error, database_name(self._engine)) from error

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise database_error(error, database_name(self._engine)) from error


def checkpoint_dir(workspace: Workspace, run_id: str) -> Path:
    """Where a run may keep what lets it go on after an interruption."""
    return workspace.run_dir(run_id) / "checkpoint"


def note(connection: sa.Connection, run_id: str, message: str, when: float | None = None) -> None:
    """Writes down what happened to a run."""
    text = message.replace("\0", "")  # which PostgreSQL cannot hold
    connection.execute(sa.insert(EVENTS).values(run_id=run_id, time=when or time.time(), message=text))


def _run(row: Any) -> Run:
    values = {column.key: row._mapping[column] for column in RUNS.c}
    return Run(**{**values, "spec": RunSpec.from_json(values["spec"])})
