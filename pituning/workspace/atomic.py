"""Files that are either whole or absent: written under a temporary name, fsynced, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from pituning.errors import ArtefactError, DiskFull
from pituning.workspace.documents import parse_json

TEMPORARY_PREFIX = ".tmp-"
"""Opens the name of everything unfinished; whoever lists a directory of the workspace skips names with it."""

LOCK_SECONDS = 60.0

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@cache
def this_place() -> str:
    """Eight digits for where the numbers of processes mean the same ones: this machine, or this container of it."""
    namespace = Path("/proc/self/ns/pid")
    number = namespace.stat().st_ino if namespace.exists() else 0
    return hashlib.sha256(f"{socket.gethostname()} {number}".encode()).hexdigest()[:8]


def _own_prefix() -> str:
    """Opens the name of what this process has not finished; should it be killed, `leftovers` knows whose it was."""
    return f"{TEMPORARY_PREFIX}{this_place()}-{os.getpid()}-"


def storage_error(error: OSError, path: Path) -> ArtefactError:
    """The error of a failed write in one line that names the path and the fix."""
    if error.errno in FULL:
        return DiskFull(
            f"disk full while writing {path}: free some space or choose another --workspace; nothing was changed"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ArtefactError(f"no permission to write {path}: choose another --workspace or change its permissions")
    return ArtefactError(f"cannot write {path}: {error.strerror or error}")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file atomically; the parents are made. A reader sees the old file or the new one, never half.

    Raises:
        ArtefactError: when the disk is full or not writable; the old file, if any, is still there.
    """
    with atomic_file(path) as stream:
        stream.write(data)


def copy_file(path: Path, destination: Path) -> None:
    """Copies a file of any size atomically; errors as `write_bytes`."""
    with path.open("rb") as source, atomic_file(destination) as stream:
        shutil.copyfileobj(source, stream, 2**20)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yields a file to write; on leaving, it is fsynced and takes the name ``path``. On any exception it is gone.

    Raises:
        ArtefactError: when the disk is full or not writable; the old file, if any, is still there.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_own_prefix(), dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for text, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def table_lock(path: Path) -> Iterator[None]:
    """Nobody else holds the lock of that file meanwhile: for those who read it, add to it and write it again.

    Raises:
        ArtefactError: somebody holds it for longer than a write can take, or it cannot be made.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ArtefactError(f"{lock} is held by another process; when none writes {path.name}, remove it") from error


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` for a JSON document, indented and with a final newline; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """A JSON document.

    Raises:
        ArtefactError: when the file is missing, unreadable or not JSON, or holds what `parse_json` refuses.
    """
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is missing") from error
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ArtefactError(f"{path} cannot be read: {error}; it is truncated or was edited, make it again") from error


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields an empty directory beside ``path`` to fill; on leaving, it is fsynced and takes the name ``path``.

    A directory that already stands at ``path`` is replaced as a whole. On any exception, Ctrl-C included, the
    unfinished directory is removed and ``path`` is what it was.

    Raises:
        ArtefactError: when the disk is full or not writable.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=path.parent))
        yield temporary
        for inner in sorted(temporary.rglob("*")):
            sync_directory(inner)
        sync_directory(temporary)
        temporary.chmod(0o755)
        _swap(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def clear_unfinished(directory: Path) -> None:
    """Removes what a killed writer left half-done anywhere in a directory that has no other writer now."""
    for path in directory.rglob(f"{TEMPORARY_PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_directory(path: Path) -> None:
    """Removes a directory, if it is there: whoever lists its parent sees it whole or not at all.

    Raises:
        ArtefactError: when it may not be removed; it is still whole.
    """
    gone = path.with_name(f"{_own_prefix()}{path.name}-{secrets.token_hex(4)}")  # a full disk has no room for more
    try:
        path.rename(gone)
        sync_directory(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(error, path) from error
    shutil.rmtree(gone, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    """Renames ``new`` to ``path``; what stood there goes only once the new one stands."""
    if not path.exists():
        new.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=path.parent))
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def sync_directory(path: Path) -> None:
    """Has the disk keep what was made, renamed or removed in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
