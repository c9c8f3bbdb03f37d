"""The database of a workspace, its tables, and how to read and write it safely: SQLite, or PostgreSQL where
``$PITUNING_DATABASE_URL`` says so.

Contract, for every process that opens it. Readers use ``engine.connect()`` and see the last committed state. Writers
use `writing`: on SQLite it takes the write lock before the first statement, so that a read-then-write never loses to
another process half-way; on PostgreSQL writers run side by side, and whoever reads a row in order to change it reads it
``FOR UPDATE`` (which SQLite, having one writer, ignores). A transaction is committed whole or not at all, also when its
process is killed; what is ``durable`` outlives a power cut, too. Times are seconds since the epoch (UTC). One database
belongs to one workspace. Never put an SQLite workspace on a network file system: several hosts share PostgreSQL.
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

from pituning.errors import ArtefactError, BadInput, DiskFull, PiTuningError
from pituning.workspace.atomic import storage_error
from pituning.workspace.layout import DEFAULT_BACKBONE

DATABASE_VARIABLE = "PITUNING_DATABASE_URL"
REVISION = "0005"
"""The newest migration; `open_database` brings every older database to it."""

LARGEST = 2**31 - 1
"""The largest whole number that a column of either database holds."""

BUSY_TIMEOUT_MS = 30_000
CONNECT_SECONDS = 10
_MIGRATION_LOCK = 0x9170  # any number that nobody else takes
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
    backbone: Mapped[str] = mapped_column(sa.String(60), server_default=DEFAULT_BACKBONE)
    batch: Mapped[str | None] = mapped_column(sa.String(60))
    submitted_by: Mapped[str | None]
    spec: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    state: Mapped[str] = mapped_column(sa.String(20))
    priority: Mapped[int] = mapped_column(default=0)
    position: Mapped[float] = mapped_column(default=0.0)
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=1)
    owner: Mapped[str | None]
    slot: Mapped[str | None]
    host: Mapped[str | None]
    pid: Mapped[int | None]
    pid_created: Mapped[float | None]
    created: Mapped[float]
    started: Mapped[float | None]
    finished: Mapped[float | None]
    heartbeat: Mapped[float | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    phase: Mapped[str | None]
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    eta_s: Mapped[float | None]
    failure: Mapped[str | None] = mapped_column(sa.String(30))
    error: Mapped[str | None]
    fix: Mapped[str | None] = mapped_column("mend", key="fix")
    result_path: Mapped[str | None]

    __table_args__ = (
        sa.Index("runs_queue", "state", sa.desc("priority"), "position", "id"),
        sa.Index("runs_created", "created", "id"),
        sa.Index("runs_batch", "batch"),
    )


class CurveRow(Base):
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


class SettingRow(Base):
    """What holds for the queue as a whole: whether it is paused, who works on it, whose database this is."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    value: Mapped[Any] = mapped_column(sa.JSON)


def open_database(location: Path | str) -> Engine:
    """Opens a database and brings its schema to `REVISION`; safe when several processes do so at once.

    Args:
        location: the file of an SQLite database, or the URL of a PostgreSQL one.

    Raises:
        BadInput: the URL cannot be used, or the driver of PostgreSQL is not installed.
        ArtefactError: when the file is not a database, was made by a later version, or cannot be reached or written.
    """
    engine = _sqlite(location) if isinstance(location, Path) else _from_url(location)
    name = database_name(engine)
    try:
        if _revision(engine) != REVISION:
            _migrate(engine, name)
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        engine.dispose()
        raise database_error(error, name) from error
    return engine


def database_name(engine: Engine) -> str:
    """What messages call a database: its file, or its URL without the password."""
    if engine.dialect.name == "sqlite":
        return str(engine.url.database)
    return engine.url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


@contextmanager
def writing(engine: Engine, *, durable: bool = True) -> Iterator[sa.Connection]:
    """A connection in a transaction that may write; commits on leaving, rolls back on an exception.

    Args:
        durable: whether it survives a power cut once it is committed. Otherwise SQLite waits for no disk, and the last
            such transactions may be missing afterwards, each as a whole.
    """
    options = {"begin": "IMMEDIATE", "durable": durable}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


def database_error(error: Exception, name: Path | str) -> PiTuningError:
    """The error of a failed statement in one line that names the database and the fix."""
    original = getattr(error, "orig", None) or error
    text = " ".join(str(original).split())
    state = str(getattr(original, "sqlstate", None) or "")
    if "is full" in text or state == "53100":
        return DiskFull(f"disk full while writing {name}: free some space or choose another --workspace")
    if "locked" in text or "busy" in text or state == "55P03":
        return ArtefactError(f"{name} stayed locked for {BUSY_TIMEOUT_MS // 1000} s: stop the process that holds it")
    if "not a database" in text or "malformed" in text:
        return ArtefactError(f"{name} is not a readable database: move it away; a new one is made (runs' files stay)")
    if str(name).startswith("postgresql") and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return ArtefactError(f"{name} cannot be reached ({text[:200]}); start the server or fix ${DATABASE_VARIABLE}")
    return ArtefactError(f"database {name}: {text}")


def _sqlite(path: Path) -> Engine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _from_url(text: str) -> Engine:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError as error:
        raise BadInput(f"${DATABASE_VARIABLE} is no URL; give postgresql://user:password@host/database") from error
    if url.get_backend_name() == "sqlite" and url.database:
        return _sqlite(Path(url.database).absolute())
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise BadInput(f"${DATABASE_VARIABLE} names {url.get_backend_name()!r}; it can be postgresql or sqlite")
    given = url.query.get("options", "")
    options = f"{given if isinstance(given, str) else ' '.join(given)} -c lock_timeout={BUSY_TIMEOUT_MS}"
    try:
        return sa.create_engine(
            url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
            pool_pre_ping=True,  # a server that was started again does no harm
            connect_args={"connect_timeout": CONNECT_SECONDS, "options": options.strip()},
        )
    except ModuleNotFoundError as error:
        raise BadInput(
            f"${DATABASE_VARIABLE} names PostgreSQL, whose driver is not installed; "
            "install it: pip install 'pituning-studio[postgres]'"
        ) from error


def _prepare_connection(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we emit BEGIN ourselves, so that a transaction covers DDL and can be IMMEDIATE
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    except UnicodeDecodeError as error:  # what SQLite says of a damaged file quotes it, and that may be no text
        raise sqlite3.DatabaseError("database disk image is malformed") from error
    finally:
        cursor.close()


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    mode = options.get("begin", "DEFERRED")
    if mode == "IMMEDIATE":
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options['durable'] else 'NORMAL'}")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return _revision_of(connection)


def _revision_of(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def _migrate(engine: Engine, name: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        current = _revision_of(connection)  # another process may have migrated while we waited for the lock
        if current == REVISION:
            return
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if current is not None and current not in known:
            raise ArtefactError(
                f"{name} has schema {current!r}, newer than this version's {REVISION!r}; "
                "upgrade pituning-studio or name another --workspace"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
