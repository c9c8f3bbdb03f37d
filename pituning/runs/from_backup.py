"""Makes a workspace of a backup: never over what is there, and never more than half. Torch-free."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pituning.errors import BadInput, DiskFull
from pituning.progress import Reporter, Silent
from pituning.runs.backup import DATABASE, FORMAT_VERSION, MANIFEST, NOT_KEPT, BackboneNote, Backup, copy_rows
from pituning.runs.claims import NOBODY
from pituning.runs.store import PAUSED, RUNS, SETTINGS, note
from pituning.workspace import ownership
from pituning.workspace.atomic import atomic_directory, remove_directory, write_json
from pituning.workspace.database import (
    DATABASE_VARIABLE,
    Base,
    database_error,
    database_name,
    open_database,
    writing,
)
from pituning.workspace.documents import DocumentError, check_fields, parse_json
from pituning.workspace.layout import FORMAT_VERSION as WORKSPACE_VERSION
from pituning.workspace.layout import check_name
from pituning.workspace.paths import expanded
from pituning.workspace.zips import Zip, bad_file, open_zip

MOST_FILES = 2_000_000
MOST_MANIFEST = 512 * 2**20
_TOP = re.compile(r"[a-z][a-z0-9-]{0,59}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A workspace that was made of a backup.

    Args:
        root: its directory.
        id: its identity.
        queued: how many runs wait, with the queue paused.
        missing: the backbones that the backup only names.
    """

    root: Path
    id: str
    backup: Backup
    queued: int
    missing: tuple[BackboneNote, ...]


def restore_backup(
    file: Path, directory: Path, *, keep_identity: bool = False, reporter: Reporter | None = None
) -> Restored:
    """Makes the workspace of a backup in a new directory; on any error there is none.

    It gets an identity of its own, unless it takes the place of the original. Runs that were under way wait; where any
    wait, the queue is paused, since the original may do them, too. The queue is kept where ``$PITUNING_DATABASE_URL``
    says, in a database without runs, else in the workspace.

    Raises:
        BadInput: the file is no backup, is damaged or was tampered with; or the directory or database holds something.
        ArtefactError: the disk is full, or cannot be written.
    """
    reporter = reporter or Silent()
    root = expanded(directory).resolve()
    taken = BadInput(f"{root} is there already; nothing is overwritten: name a new directory", field="directory")
    if root.exists() and not (root.is_dir() and not any(root.iterdir())):
        raise taken
    url = os.environ.get(DATABASE_VARIABLE)
    try:
        with (
            file.open("rb") as stream,
            open_zip(stream, file.name, most_files=MOST_FILES, most_bytes=file.stat().st_size * 200) as archive,
            atomic_directory(root, taken=taken) as made,
        ):
            backup, content = _manifest(archive, file.name)
            _check_room(made, backup, content)
            reporter.phase("unpack files", len(content))
            for path, about in content.items():
                _unpack(archive, path, about, made / path, file.name)
                reporter.advance()
            own = backup.workspace if keep_identity else secrets.token_hex(8)
            queued = _take_over(made / DATABASE, backup, file.name)
            write_json(
                made / "workspace.json",
                {"format_version": WORKSPACE_VERSION, "created": int(time.time()), "id": own,
                 "restored_from": {"workspace": backup.workspace, "created": backup.created}},
            )  # fmt: skip
        if url:
            try:
                _into_database(root / DATABASE, url, own)
            except BaseException:
                remove_directory(root)
                raise
    except FileNotFoundError as error:
        raise BadInput(f"there is no file {file}; name a backup", field="file") from error
    except IsADirectoryError as error:
        raise BadInput(f"{file} is a directory; name a backup", field="file") from error
    missing = tuple(each for each in backup.backbones if not each.included)
    return Restored(root=root, id=own, backup=backup, queued=queued, missing=missing)


def _manifest(archive: Zip, name: str) -> tuple[Backup, Mapping[str, Mapping[str, Any]]]:
    """What the backup says it holds, which is what it holds."""
    if MANIFEST not in archive.members:
        raise bad_file(name, "is no backup of a workspace; name a file that `pituning workspace backup` wrote")
    try:
        document = parse_json(archive.read(MANIFEST, MOST_MANIFEST), most_bytes=MOST_MANIFEST)
        version = document.pop("format_version")
        if version != FORMAT_VERSION:
            raise bad_file(name, f"is a backup of format {version!r}, this version reads {FORMAT_VERSION}; upgrade")
        content = document.pop("content")
        notes = []
        for each in document.pop("backbones"):
            check_fields(BackboneNote, each)
            notes.append(BackboneNote(**each))
            check_name(notes[-1].name, what="backbone")
        check_fields(Backup, {**document, "backbones": []})
        backup = Backup(**{**document, "left_out": tuple(document["left_out"])}, backbones=tuple(notes))
        for path, about in content.items():
            if not (type(about["bytes"]) is int and about["bytes"] >= 0 and _DIGEST.fullmatch(about["sha256"])):
                raise DocumentError(f"{path[:60]} has no size and checksum")
            _check_path(path, name)
    except (DocumentError, LookupError, TypeError, AttributeError) as error:
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise bad_file(name, f"is a damaged backup ({what}); take another") from error
    if set(content) != set(archive.members) - {MANIFEST} or DATABASE not in content:
        raise bad_file(name, "is a damaged backup: it holds other files than it says; take another")
    return backup, content


def _check_path(path: str, name: str) -> None:
    parts = path.split("/")
    inside = len(parts) > 1 and _TOP.fullmatch(parts[0]) and parts[0] not in NOT_KEPT
    if not (path == DATABASE or inside) or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise bad_file(name, f"holds {path[:100]!r}, which no backup holds; take another")


def _check_room(made: Path, backup: Backup, content: Mapping[str, Mapping[str, Any]]) -> None:
    needed, free = sum(about["bytes"] for about in content.values()), shutil.disk_usage(made).free
    if needed > free:
        raise DiskFull(
            f"the workspace takes {needed / 2**20:,.0f} MiB and {made.parent} has {free / 2**20:,.0f}: free some "
            "space, or name a directory on another disk; nothing was written"
        )


def _unpack(archive: Zip, path: str, about: Mapping[str, Any], target: Path, name: str) -> None:
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as stream:
        for piece in archive.pieces(path, about["bytes"]):
            digest.update(piece)
            size += len(piece)
            stream.write(piece)  # what is written is synced with the directory as a whole
    if size != about["bytes"] or digest.hexdigest() != about["sha256"]:
        raise bad_file(name, f"is damaged: {path[:100]!r} does not match its checksum; take another")


def _take_over(path: Path, backup: Backup, name: str) -> int:
    """Makes the database of a backup that of a new workspace; returns how many runs wait."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise bad_file(name, "is damaged: its database does not hold together; take another")
            # Triggers and views would act on what is written later.
            odd = connection.execute("SELECT name FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone()
            if odd is not None:
                raise bad_file(name, f"has {str(odd[0])[:60]!r} in its database, which no backup has; take another")
        engine = open_database(path)
        try:
            _check_tables(engine, name)
            with writing(engine) as connection:
                queued = _settle(connection, backup)
        finally:
            engine.dispose()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise bad_file(name, f"holds no readable database ({str(error)[:100]}); take another") from error
    except sa.exc.DBAPIError as error:
        raise database_error(error, path) from error
    return queued


def _check_tables(engine: sa.Engine, name: str) -> None:
    known = sa.inspect(engine)
    for table in Base.metadata.sorted_tables:
        columns = {column["name"] for column in known.get_columns(table.name)} if known.has_table(table.name) else set()
        lacking = {column.name for column in table.c} - columns
        if lacking:
            raise bad_file(name, f"has no {table.name}.{min(lacking)} in its database; take another")


def _settle(connection: sa.Connection, backup: Backup) -> int:
    """Nobody works on the runs of the copy; whoever opens it becomes its owner."""
    when = time.strftime("%F %H:%M", time.localtime(min(max(backup.created, 0), 4e9)))
    connection.execute(
        sa.delete(SETTINGS).where(SETTINGS.c.key.in_([ownership.KEY, ownership.PLACE, ownership.SUPERVISOR]))
    )
    under_way = list(connection.scalars(sa.select(RUNS.c.id).where(RUNS.c.state == "running")))
    back = {**NOBODY, "state": "queued", "heartbeat": None, "max_attempts": RUNS.c.max_attempts + 1}
    connection.execute(sa.update(RUNS).where(RUNS.c.state == "running").values(back))
    for run_id in under_way:
        note(connection, run_id, f"was under way when the backup of {when} was made; queued again")
    queued = connection.scalar(sa.select(sa.func.count()).select_from(RUNS).where(RUNS.c.state == "queued")) or 0
    if queued:
        connection.execute(sa.delete(SETTINGS).where(SETTINGS.c.key == PAUSED))
        reason = f"restored from the backup of {when}; the original may do the same runs"
        connection.execute(sa.insert(SETTINGS).values(key=PAUSED, value={"reason": reason, "since": time.time()}))
    return queued


def _into_database(path: Path, url: str, own: str) -> None:
    """Moves the rows to the database that the queue is to be kept in, which must hold none."""
    source, target = open_database(path), open_database(url)
    try:
        with source.connect() as rows, writing(target) as connection:
            owner = connection.scalar(sa.select(SETTINGS.c.value).where(SETTINGS.c.key == ownership.KEY))
            used = connection.scalar(sa.select(sa.func.count()).select_from(RUNS)) or 0
            if used or owner not in (None, own):
                raise BadInput(
                    f"database {database_name(target)} holds {used:,} runs" + (" of another workspace" if owner else "")
                    + f"; name an empty one in ${DATABASE_VARIABLE}"
                )  # fmt: skip
            connection.execute(sa.delete(SETTINGS))
            copy_rows(rows, connection)
            connection.execute(sa.insert(SETTINGS).values(key=ownership.KEY, value=own))
    except sa.exc.DBAPIError as error:
        raise database_error(error, database_name(target)) from error
    finally:
        source.dispose()
        target.dispose()
    path.unlink()
