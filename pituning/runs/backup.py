"""Copies a workspace that is in use into one file. Torch-free.

The database is copied first, by SQLite's own way for that or in one transaction of PostgreSQL. Then every file is
linked into a directory of its own, which takes moments and keeps each as it was then, since files here are replaced and
never changed. Only then is the archive written. So whatever the database speaks of is there, and no directory is half
old and half new.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from pituning import __version__
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter, Silent
from pituning.workspace.atomic import NO_LINKS, atomic_file, read_json, temporary_directory
from pituning.workspace.database import Base, database_error, database_name, open_database, writing
from pituning.workspace.layout import Workspace, directories
from pituning.workspace.ownership import identity
from pituning.workspace.paths import expanded

FORMAT_VERSION = 1
MANIFEST, DATABASE = "backup.json", "studio.db"
LARGE_BACKBONE = 64 * 2**20
"""Bytes from which on a backbone is only named, unless it is asked for."""

NOT_KEPT = frozenset({"bin"})
"""Directories of a workspace that no backup holds: what was deleted is deleted."""

ROUNDS = 20
"""How often what was replaced while it was linked is linked again."""

_PACKED = frozenset({".json", ".jsonl", ".csv", ".txt", ".md", ".yaml"})
_MOST_PACKED = 2**20
"""Bytes up to which text is compressed: nothing unpacks to so many times its size that it looks like a bomb."""
_CHUNK = 2**20
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class BackboneNote:
    """A backbone of the workspace.

    Args:
        source: what it was added from, where its card says it.
        bytes: on the disk.
        included: whether its files are in the backup.
    """

    name: str
    source: str | None
    revision: str | None
    bytes: int
    included: bool


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What ``backup.json`` says, but for the list of files.

    Args:
        workspace: the identity of the workspace.
        created: seconds since the epoch.
        database: what the queue was kept in, sqlite or postgresql; in the backup it is always SQLite.
        left_out: paths that were links to elsewhere, and are not in it.
    """

    workspace: str
    created: float
    version: str
    database: str
    runs: int
    files: int
    bytes: int
    backbones: tuple[BackboneNote, ...]
    left_out: tuple[str, ...]


def back_up(workspace: Workspace, file: Path, *, backbones: bool = False, reporter: Reporter | None = None) -> Backup:
    """Writes a backup of the workspace, which may be in use, to a new file.

    Args:
        backbones: include all; else those of `LARGE_BACKBONE` and more are only named.

    Raises:
        BadInput: the file is there already, or would lie in the workspace.
        ArtefactError: the disk is full, the database is damaged, or the workspace changes faster than it is read.
    """
    reporter = reporter or Silent()
    file = expanded(file).resolve()
    if file.is_relative_to(workspace.root):
        raise BadInput(f"{file} lies in the workspace; name a file elsewhere, best on another disk", field="file")
    taken = BadInput(f"{file} is there already; a backup overwrites nothing: name another file", field="file")
    if file.exists():
        raise taken
    engine = workspace.engine
    with temporary_directory(workspace.root) as kept:
        reporter.phase("copy the database", 1)
        copy_database(engine, kept / DATABASE)
        reporter.advance()
        notes = tuple(_backbones(workspace, everything=backbones))
        skip = {workspace.root / "backbones" / note.name for note in notes if not note.included}
        left_out = _link_all(workspace.root, kept, skip)
        paths = sorted(path for path in kept.rglob("*") if path.is_file())
        reporter.phase("write files", len(paths))
        with atomic_file(file, taken=taken) as stream, zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
            content = {}
            for path in paths:
                content[path.relative_to(kept).as_posix()] = _write(archive, path, kept)
                reporter.advance()
            backup = Backup(
                workspace=identity(workspace.root), created=time.time(), version=__version__,
                database=engine.dialect.name, runs=_count_runs(kept / DATABASE), files=len(paths),
                bytes=sum(each["bytes"] for each in content.values()), backbones=notes, left_out=tuple(left_out),
            )  # fmt: skip
            document = {"format_version": FORMAT_VERSION, **asdict(backup), "content": content}
            archive.writestr(MANIFEST, json.dumps(document, indent=1, allow_nan=False), zipfile.ZIP_DEFLATED)
    return backup


def copy_database(engine: Engine, target: Path) -> None:
    """The database as it is at this moment as an SQLite file of its own, whoever writes meanwhile.

    Raises:
        ArtefactError: it is damaged, or cannot be reached.
    """
    if engine.dialect.name == "sqlite":
        try:
            with (
                closing(sqlite3.connect(f"file:{engine.url.database}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(target)) as copy,
            ):
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without its log
        except sqlite3.Error as error:
            raise database_error(error, database_name(engine)) from error
        return
    made = open_database(target)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as source, writing(made) as copy:
            copy_rows(source, copy)
        made.dispose()
        with closing(sqlite3.connect(target)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sa.exc.DBAPIError as error:
        raise database_error(error, database_name(engine)) from error
    finally:
        made.dispose()


def copy_rows(source: sa.Connection, target: sa.Connection) -> None:
    """Everything from one database of the current schema to another, which is empty. Numbers that a database gives out
    itself are given anew, in the same order."""
    for table in Base.metadata.sorted_tables:
        keys = list(table.primary_key.columns)
        given = len(keys) == 1 and isinstance(keys[0].type, sa.Integer)
        columns = [column for column in table.c if not (given and column is keys[0])]
        rows = source.execution_options(yield_per=_AT_ONCE).execute(sa.select(*columns).order_by(*keys))
        for part in rows.partitions(_AT_ONCE):
            values = [{c.key: value for c, value in zip(columns, row, strict=True)} for row in part]
            target.execute(sa.insert(table), values)


def _backbones(workspace: Workspace, *, everything: bool) -> Iterator[BackboneNote]:
    for name, folder in directories(workspace.root / "backbones").items():
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        try:
            card = read_json(folder / "backbone.json")
        except ArtefactError:
            card = {}
        about = {key: card.get(key) if isinstance(card, dict) else None for key in ("source", "revision")}
        told = {key: value if isinstance(value, str) else None for key, value in about.items()}
        yield BackboneNote(name=name, bytes=size, included=everything or size < LARGE_BACKBONE, **told)


def _link_all(root: Path, into: Path, skip: set[Path]) -> Sequence[str]:
    """Links every file of a workspace; returns what was left out."""
    left_out: list[str] = []
    seen: dict[Path, int] = {}
    pending = [
        path for path in sorted(root.iterdir()) if path.is_dir() and _is_kept(path) and path.name not in NOT_KEPT
    ]
    for _ in range(ROUNDS):
        for folder in pending:
            if folder not in skip:
                _link(root, folder, into, skip, seen, left_out)
        pending = [folder for folder, inode in seen.items() if _inode(folder) != inode]  # replaced meanwhile, or gone
        if not pending:
            return sorted(set(left_out))
        for folder in pending:
            shutil.rmtree(into / folder.relative_to(root), ignore_errors=True)
            for inner in [each for each in seen if each.is_relative_to(folder)]:
                del seen[inner]
    raise ArtefactError(f"{pending[0]} is written again and again while it is read; try again when less is under way")


def _link(root: Path, folder: Path, into: Path, skip: set[Path], seen: dict[Path, int], left_out: list[str]) -> None:
    inode = _inode(folder)
    if inode is None:
        return
    if folder.is_symlink():
        left_out.append(folder.relative_to(root).as_posix())
        return
    seen[folder] = inode
    target = into / folder.relative_to(root)
    target.mkdir(parents=True, exist_ok=True)
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    for path in entries:
        if path in skip or not _is_kept(path):
            continue
        if path.is_symlink():
            left_out.append(path.relative_to(root).as_posix())
        elif path.is_dir():
            _link(root, path, into, skip, seen, left_out)
        elif path.is_file():
            _link_file(path, target / path.name)


def _link_file(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except FileNotFoundError:
        return  # removed or replaced; in a directory that is replaced as a whole this is seen
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in NO_LINKS | {errno.EXDEV}:
            raise
        shutil.copyfile(path, target)


def _is_kept(path: Path) -> bool:
    return not path.name.startswith(".")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _write(archive: zipfile.ZipFile, path: Path, kept: Path) -> dict[str, Any]:
    """Writes one file; returns its size and SHA-256, as they were written: a log may grow meanwhile."""
    info = zipfile.ZipInfo.from_file(path, path.relative_to(kept).as_posix(), strict_timestamps=False)
    small = path.suffix in _PACKED and info.file_size <= _MOST_PACKED
    info.compress_type = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as member:
        while piece := source.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
            member.write(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _count_runs(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
