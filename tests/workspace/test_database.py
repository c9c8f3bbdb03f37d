from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pituning.errors import ArtefactError
from pituning.workspace import database
from pituning.workspace.database import Base, RunRow, open_database, writing


def insert(engine: sa.Engine, run_id: str) -> None:
    with writing(engine) as connection:
        connection.execute(
            sa.insert(RunRow).values(
                id=run_id, name="n", kind="tune", spec={"a": 1}, state="queued", created=time.time()
            )
        )


def test_migrations_make_the_models_schema(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "studio.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == database.REVISION


def test_rows_survive_reopening(tmp_path: Path) -> None:
    insert(open_database(tmp_path / "studio.db"), "r1")
    with open_database(tmp_path / "studio.db").connect() as connection:
        row = connection.execute(sa.select(RunRow.id, RunRow.spec, RunRow.done)).one()
    assert tuple(row) == ("r1", {"a": 1}, 0)


def test_an_exception_rolls_back(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "studio.db")
    insert(engine, "r1")
    with pytest.raises(ZeroDivisionError), writing(engine) as connection:
        connection.execute(sa.text("INSERT INTO events (run_id, time, message) VALUES ('r1', 0, '')"))
        _ = 1 // 0
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM events")).scalar() == 0


def _open_and_insert(path: str, name: str) -> None:
    insert(open_database(Path(path)), name)


def test_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path = str(tmp_path / "studio.db")
    processes = [context.Process(target=_open_and_insert, args=(path, f"r{i}")) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    with open_database(Path(path)).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM runs")).scalar() == 4


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "studio.db").write_bytes(b"hello" * 1000)
    with pytest.raises(ArtefactError, match="not a readable database"):
        open_database(tmp_path / "studio.db")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "studio.db")
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ArtefactError, match="newer than this version"):
        open_database(tmp_path / "studio.db")
