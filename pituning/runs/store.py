"""What the workspace's database and files say about runs: reading only. The contract is in `pituning.runs.queue`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import sqlalchemy as sa

from pituning.errors import PiTuningError
from pituning.registry import unknown
from pituning.runs.attempts import last_attempt_dir
from pituning.runs.records import ACTIVE, FINAL, AlphaPoint, CurvePoint, Run, RunEvent
from pituning.runs.spec import SCHEMA_VERSION, RunSpec
from pituning.tuning.config import PARTIAL
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

COLUMNS = (*(column for column in RUNS.c if column is not RUNS.c.spec), sa.cast(RUNS.c.spec, sa.Text).label("spec"))
"""Of a run; its spec as text, so that one that is no JSON spoils no other row."""

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

    def exists(self, run_id: str) -> bool:
        """Whether there is a run of that id."""
        with self._reading() as connection:
            return connection.scalar(sa.select(RUNS.c.id).where(RUNS.c.id == run_id)) is not None

    def list(
        self,
        *,
        states: Sequence[str] | None = None,
        kind: str | None = None,
        batch: str | None = None,
        backbone: str | None = None,
        without: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Run]:
        """Runs, newest first; those on any backbone unless one is named.

        Args:
            without: a kind to leave out.
            limit: how many at most, to be shown with what `count` gives. Whoever decides by runs needs them all.
        """
        query = sa.select(*COLUMNS).where(*_chosen(states, kind, batch, backbone, without))
        query = query.order_by(RUNS.c.created.desc(), RUNS.c.id.desc()).limit(limit)
        with self._reading() as connection:
            return [_run(row) for row in connection.execute(query)]

    def count(
        self,
        *,
        states: Sequence[str] | None = None,
        kind: str | None = None,
        batch: str | None = None,
        backbone: str | None = None,
        without: str | None = None,
    ) -> int:
        """How many runs `list` gives without a limit."""
        query = sa.select(sa.func.count()).select_from(RUNS)
        with self._reading() as connection:
            return connection.scalar(query.where(*_chosen(states, kind, batch, backbone, without))) or 0

    def batches(self, *, backbone: str | None = None) -> Sequence[str]:
        """The names of the batches, newest first; those on any backbone unless one is named."""
        query = sa.select(RUNS.c.batch).where(RUNS.c.batch.is_not(None), *_chosen(backbone=backbone))
        query = query.group_by(RUNS.c.batch).order_by(sa.func.max(RUNS.c.created).desc())
        with self._reading() as connection:
            return [str(name) for name in connection.scalars(query)]

    def waiting(self) -> Sequence[Run]:
        """The queued runs in the order in which they will be taken."""
        query = sa.select(*COLUMNS).where(RUNS.c.state == "queued").order_by(*ORDER)
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

    def partial_of(self, run_id: str) -> dict[str, Any] | None:
        """The parts of its result that a run that is not done has found so far, or None."""
        try:
            return read_json(last_attempt_dir(self.workspace.run_dir(run_id)) / PARTIAL)
        except PiTuningError:
            return None  # not there, or gone because the run has ended

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
        query = sa.select(*COLUMNS).where(RUNS.c.id == run_id)
        row = connection.execute(query.with_for_update(of=RUNS) if to_change else query).first()
        if row is None:
            known = connection.scalars(sa.select(RUNS.c.id).order_by(RUNS.c.created.desc()).limit(50))
            raise unknown("run", run_id, list(known))
        return _run(row)

    @contextmanager
    def _writing(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        try:
            with writing(self._engine, durable=durable) as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise database_error(error, database_name(self._engine)) from error

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """`_writing` during which nobody else queues, takes, ends or deletes a run: what the others say stays so."""
        with self._writing() as connection:
            if self._engine.dialect.name == "postgresql":  # an SQLite database has one writer
                connection.exec_driver_sql(f"LOCK TABLE {RUNS.name} IN SHARE ROW EXCLUSIVE MODE")
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise database_error(error, database_name(self._engine)) from error


def note(connection: sa.Connection, run_id: str, message: str, when: float | None = None) -> None:
    """Writes down what happened to a run."""
    connection.execute(sa.insert(EVENTS).values(run_id=run_id, time=when or time.time(), message=storable(message)))


def storable(text: str) -> str:
    """A text as both databases can hold it: without NUL, and halves of surrogate pairs as question marks."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _chosen(
    states: Sequence[str] | None = None,
    kind: str | None = None,
    batch: str | None = None,
    backbone: str | None = None,
    without: str | None = None,
) -> list[sa.ColumnElement[bool]]:
    wanted = ((RUNS.c.kind, kind), (RUNS.c.batch, batch), (RUNS.c.backbone, backbone))
    chosen = [column == value for column, value in wanted if value is not None]
    if states is not None:
        chosen.append(RUNS.c.state.in_(states))
    return chosen if without is None else [*chosen, RUNS.c.kind != without]


def _run(row: Any) -> Run:
    """The run of a row; what cannot be read of it has a neutral value, and ``damage`` says so."""
    damage: list[str] = []
    values: dict[str, Any] = {}
    for column in COLUMNS[:-1]:
        value = row._mapping[column]
        wanted: Any = column.type.python_type
        usual = value is None and column.nullable
        if wanted is float:
            usual = usual or (type(value) in (int, float) and math.isfinite(value))
        if not (usual or type(value) is wanted):
            damage.append(f"its {column.key} is {str(value)[:60]!r}")
            value = None if column.nullable else wanted()
        values[column.key] = value
    if values["state"] not in (*ACTIVE, *FINAL):
        damage.append(f"its state is {values['state'][:60]!r}")
        values["state"] = "failed"  # which can be deleted
    try:
        document = json.loads(row._mapping["spec"])
        version = document["schema_version"]
        if type(version) is int and version > SCHEMA_VERSION:
            damage.append(f"it was made by a later version: schema {version}, this one reads {SCHEMA_VERSION}")
        else:
            values["spec"] = RunSpec.from_json(document)
            if values["spec"].kind != values["kind"]:
                damage.append(f"its spec is of the kind {str(values['spec'].kind)[:60]!r}")
    except (PiTuningError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        damage.append(f"its spec cannot be read ({str(error)[:100] or type(error).__name__})")
    if damage:
        values["spec"] = RunSpec(kind=values["kind"], config={})
        values["damage"] = (
            f"the record of run {values['id']} is damaged or of a later version: {'; '.join(damage)}; upgrade "
            f"pituning-studio, or delete the run: pituning runs delete {values['id']}"
        )
    return Run(**values)
