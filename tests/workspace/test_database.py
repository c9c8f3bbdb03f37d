from __future__ import annotations

import multiprocessing
import shutil
import socket
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from benchmarks.postgres import LocalPostgres
from pituning.errors import ArtefactError, BadInput
from pituning.runs.queue import LostClaimError, RunQueue
from pituning.runs.spec import RunSpec
from pituning.runs.supervisor import Supervisor
from pituning.workspace import database, ownership
from pituning.workspace.database import DATABASE_VARIABLE, Base, RunRow, open_database, writing
from pituning.workspace.layout import Workspace


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a database is that does not exist yet, or is empty."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres").database())
    return tmp_path / "studio.db"


def insert(engine: sa.Engine, run_id: str) -> None:
    with writing(engine) as connection:
        connection.execute(
            sa.insert(RunRow).values(
                id=run_id, name="n", kind="tune", spec={"a": 1}, state="queued", created=time.time()
            )
        )


def test_migrations_make_the_models_schema(location: Path | str) -> None:
    engine = open_database(location)
    with engine.connect() as connection:
        # Alembic cannot compare an index on SQLite that has a descending column.
        options = {"include_object": lambda _what, name, *_more: name != "runs_queue" or not isinstance(location, Path)}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
        indexes = {index["name"] for index in sa.inspect(connection).get_indexes("runs")}
        assert indexes >= {"runs_queue", "runs_created", "runs_batch"}
        if isinstance(location, Path):
            sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'runs_queue'").scalar()
            assert sql == "CREATE INDEX runs_queue ON runs (state, priority DESC, position, id)"
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == database.REVISION


def test_rows_survive_reopening(location: Path | str) -> None:
    insert(open_database(location), "r1")
    with open_database(location).connect() as connection:
        row = connection.execute(sa.select(RunRow.id, RunRow.spec, RunRow.done)).one()
    assert tuple(row) == ("r1", {"a": 1}, 0)


def test_an_exception_rolls_back(location: Path | str) -> None:
    engine = open_database(location)
    insert(engine, "r1")
    with pytest.raises(ZeroDivisionError), writing(engine) as connection:
        connection.execute(sa.text("INSERT INTO events (run_id, time, message) VALUES ('r1', 0, '')"))
        _ = 1 // 0
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM events")).scalar() == 0


def _open_and_insert(location: Path | str, name: str) -> None:
    insert(open_database(location), name)


def test_processes_may_open_a_new_database_at_once(location: Path | str) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_open_and_insert, args=(location, f"r{i}")) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    with open_database(location).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM runs")).scalar() == 4


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "studio.db").write_bytes(b"hello" * 1000)
    with pytest.raises(ArtefactError, match="not a readable database"):
        open_database(tmp_path / "studio.db")


def test_a_newer_schema_is_refused(location: Path | str) -> None:
    engine = open_database(location)
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ArtefactError, match="newer than this version"):
        open_database(location)


def test_runs_of_the_first_version_are_kept(tmp_path: Path) -> None:
    """A database as version 0001 made it, written out here by hand."""
    path = tmp_path / "studio.db"
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number, state in enumerate(("done", "failed", "queued")):
            connection.exec_driver_sql(
                "INSERT INTO runs (id, name, kind, spec, state, priority, attempt, max_attempts, created, "
                "cancel_requested, done, total, result_path) "
                "VALUES (?, 'n', 'train', '{\"a\": 1}', ?, 0, 1, 3, ?, 0, 4, 4, 'runs/r/result.json')",
                (f"r{number}", state, 100.0 + number),
            )
        connection.exec_driver_sql("INSERT INTO events (run_id, time, message) VALUES ('r0', 1.0, 'done')")
    engine.dispose()
    with open_database(path).connect() as connection:
        rows = connection.execute(sa.select(RunRow.id, RunRow.state, RunRow.position, RunRow.batch).order_by(RunRow.id))
        assert [tuple(row) for row in rows] == [
            ("r0", "succeeded", 100.0, None), ("r1", "failed", 101.0, None), ("r2", "queued", 102.0, None),
        ]  # fmt: skip
        assert connection.execute(sa.text("SELECT message FROM events")).scalar() == "done"


def test_a_server_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"postgresql://me:\*\*\*@127.0.0.1:1/studio cannot be reached") as caught:
        open_database("postgresql://me:secret@127.0.0.1:1/studio")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    for url, message in (("nonsense", "is no URL"), ("mysql://host/x", "names 'mysql'")):
        with pytest.raises(BadInput, match=message):
            open_database(url)


def test_a_database_belongs_to_one_workspace(
    postgres: LocalPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, postgres.database())
    mine = Workspace.open(tmp_path / "mine")
    assert mine.engine.dialect.name == "postgresql"
    assert Workspace.open(tmp_path / "mine").engine is not mine.engine
    assert not mine.database_path.exists()
    with pytest.raises(BadInput, match="belongs to another workspace"):
        _ = Workspace.open(tmp_path / "other").engine


def test_runs_from_before_there_was_a_choice_are_on_mini(location: Path | str) -> None:
    """A database as version 0004 made it; a spec that names a backbone was written by something newer."""
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    specs = {"a": {"config": {"target": "nli"}}, "b": {"config": {"backbone": "other"}}, "c": {"a": 1}, "d": [1]}
    engine = open_database(location)
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        table = sa.Table("runs", sa.MetaData(), autoload_with=connection)
        assert "backbone" not in table.c
        for run_id, spec in specs.items():
            values = {"id": run_id, "name": "n", "kind": "tune", "spec": spec, "state": "queued", "created": 0.0}
            whole = {"priority": 0, "position": 0.0, "attempt": 0, "max_attempts": 1, "cancel_requested": False}
            connection.execute(sa.insert(table).values(**values, **whole, done=0, total=0))
    engine.dispose()
    with open_database(location).connect() as connection:
        actual = {row.id: (row.backbone, row.spec) for row in connection.execute(sa.select(RunRow))}
        assert {run_id: backbone for run_id, (backbone, _) in actual.items()} == {
            "a": "mini", "b": "other", "c": "mini", "d": "mini",
        }  # fmt: skip
        assert {run_id: spec for run_id, (_, spec) in actual.items()} == specs


def test_a_copy_of_a_workspace_has_no_part_in_its_database(
    postgres: LocalPostgres, postgres_template: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same URL and the same id: refused, until it is all that is left, or is told to take the database over."""
    monkeypatch.setenv(DATABASE_VARIABLE, postgres.database(postgres_template))
    mine = Workspace.open(tmp_path / "mine")
    first, second = (RunQueue(mine).submit(RunSpec(kind="count", config={"upto": 2})) for _ in range(2))
    claim = RunQueue(mine).claim("me").claim
    moved = Workspace.open(mine.root.rename(tmp_path / "moved"))
    assert RunQueue(moved).get(first).state == "running"  # it is the same directory

    copy = Workspace.open(shutil.copytree(moved.root, tmp_path / "copy"))
    with pytest.raises(BadInput, match=f"is a copy of {moved.root} on .*: pituning runs adopt"):
        _ = copy.engine
    assert RunQueue(Workspace(copy.root, adopting=True)).adopt() == [first]
    theirs = RunQueue(Workspace.open(copy.root))
    assert [run.id for run in theirs.waiting()] == [first, second]
    with pytest.raises(LostClaimError):
        RunQueue(moved).finish(claim, "succeeded")
    with pytest.raises(BadInput, match="belongs to another workspace"):
        RunQueue(moved).claim("the supervisor that was there")
    with pytest.raises(BadInput, match="belongs to another workspace"):
        _ = Workspace.open(moved.root).engine
    assert theirs.claim("you") is not None

    shutil.copytree(copy.root, tmp_path / "other-disk")
    monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    with pytest.raises(BadInput, match="is a copy of"):  # what became of the other cannot be seen from there
        shutil.rmtree(copy.root)
        _ = Workspace.open(tmp_path / "other-disk").engine
    monkeypatch.undo()
    monkeypatch.setenv(DATABASE_VARIABLE, str(theirs.workspace.engine.url.set(drivername="postgresql")))
    left = Workspace.open(tmp_path / "other-disk")
    assert len(RunQueue(left).list()) == 2  # it is all that is left

    # The clone of a whole machine has the same numbers and names; what it has not is who worked for the other since.
    clone = shutil.copytree(left.root, tmp_path / "clone")
    there = ownership._place(left.root)
    monkeypatch.setattr(ownership, "_place", lambda _: there)
    Supervisor(left).introduce()
    Supervisor(Workspace.open(left.root)).introduce()
    first = Supervisor(Workspace.open(clone))  # nobody has worked there, which is no proof
    first.introduce()
    assert first.queue.claim("you") is not None
    for attempt in (RunQueue(left).claim, lambda _: RunQueue(left).submit(RunSpec(kind="count", config={"upto": 2})),
                    lambda _: Workspace.open(left.root).engine):  # fmt: skip
        with pytest.raises(BadInput, match=r"is in use by a clone of workspace .*: pituning runs adopt"):
            attempt("the supervisor that is there")
    assert len(RunQueue(Workspace(left.root, adopting=True)).adopt()) == 2
    assert RunQueue(Workspace.open(left.root)).claim("me") is not None
    with pytest.raises(BadInput, match="belongs to another workspace"):
        first.queue.claim("you")
