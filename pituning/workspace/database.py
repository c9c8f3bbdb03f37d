"""The database of a workspace: SQLite in WAL mode, its tables, and how to read and write it safely.

Contract, for every process that opens it: readers use ``engine.connect()`` and see the last committed state; writers
use `writing`, which takes SQLite's write lock before the first statement, so a read-then-write never loses to another
process half-way. Times are seconds since the epoch (UTC). Never put a workspace on a network file system.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import Engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pituning.errors import ArtefactError, PiTuningError
from pituning.workspace.atomic import storage_error

REVISION = "0001"
"""The newest migration; `open_database` brings every older file to it."""

BUSY_TIMEOUT_MS = 30_000
_MIGRATIONS = Path(__file__).parent / "migrations"


class Base(DeclarativeBase):
    """Root of the tables."""

    type_annotation_map: ClassVar = {float: sa.Double}


class RunRow(Base):
    """One unit of work. ``owner`` and ``attempt`` fence writes: a worker that lost its claim matches no row."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text)
    kind: Mapped[str] = mapped_column(sa.String(20))
    spec: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    state: Mapped[str] = mapped_column(sa.String(20))
    priority: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=1)
    owner: Mapped[str | None]
    pid: Mapped[int | None]
    created: Mapped[float]
    started: Mapped[float | None]
    finished: Mapped[float | None]
    heartbeat: Mapped[float | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    phase: Mapped[str | None]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    eta_s: Mapped[float | None]
    error: Mapped[str | None]
    result_path: Mapped[str | None]

    __table_args__ = (sa.Index("runs_state", "state", "priority", "created"),)


class MetricRow(Base):
    """One value of one curve, for example series ``pi``, step 10, name ``loss``."""

    __tablename__ = "metrics"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(sa.ForeignKey("runs.id", ondelete="CASCADE"))
    series: Mapped[str]
    step: Mapped[int]
    name: Mapped[str]
    value: Mapped[float]

    __table_args__ = (sa.Index("metrics_run", "run_id", "id"),)


class AlphaRow(Base):
    """Interpolation weights at a step: ``{"sites": [...], "experts": [...], "weights": [[...]]}``."""

    __tablename__ = "alphas"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(sa.ForeignKey("runs.id", ondelete="CASCADE"))
    step: Mapped[int]
    data: Mapped[dict[str, Any]] = mapped_column(sa.JSON)

    __table_args__ = (sa.Index("alphas_run", "run_id", "step"),)


class EventRow(Base):
    """What happened to a run, one line each."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(sa.ForeignKey("runs.id", ondelete="CASCADE"))
    time: Mapped[float]
    message: Mapped[str]

    __table_args__ = (sa.Index("events_run", "run_id", "id"),)


def open_database(path: Path) -> Engine:
    """Opens the database and brings its schema to `REVISION`; safe when several processes do so at once.

    Raises:
        ArtefactError: when the file is not a database, was made by a later version, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    try:
        if _revision(engine) != REVISION:
            _migrate(engine, path)
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        engine.dispose()
        raise database_error(error, path) from error
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[sa.Connection]:
    """A connection in a transaction that holds the write lock; commits on leaving, rolls back on an exception."""
    with engine.connect().execution_options(begin="IMMEDIATE") as connection, connection.begin():
        yield connection


def database_error(error: Exception, path: Path | str) -> PiTuningError:
    """The error of a failed statement in one line that names the database and the mend."""
    text = str(getattr(error, "orig", None) or error)
    if "full" in text:
        return ArtefactError(f"disk full while writing {path}: free some space or choose another --workspace")
    if "locked" in text or "busy" in text:
        return ArtefactError(f"{path} stayed locked for {BUSY_TIMEOUT_MS // 1000} s: stop the process that holds it")
    if "not a database" in text or "malformed" in text:
        return ArtefactError(f"{path} is not a readable database: move it away; a new one is made (runs' files stay)")
    return ArtefactError(f"database {path}: {text}")


def _prepare_connection(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we emit BEGIN ourselves, so that a transaction covers DDL and can be IMMEDIATE
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    mode = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return _revision_of(connection)


def _revision_of(connection: sa.Connection) -> str | None:
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    if connection.exec_driver_sql(known).first() is None:
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def _migrate(engine: Engine, path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with writing(engine) as connection:
        current = _revision_of(connection)  # another process may have migrated while we waited for the lock
        if current == REVISION:
            return
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if current is not None and current not in known:
            raise ArtefactError(
                f"{path} has schema {current!r}, newer than this version's {REVISION!r}; "
                "upgrade pituning-studio or name another --workspace"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
