"""Files that are either whole or absent: written under a temporary name, fsynced, then renamed."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from pituning.errors import ArtefactError, BadInput, DiskFull
from pituning.workspace.documents import parse_json

TEMPORARY_PREFIX = ".tmp-"
"""Opens the name of everything unfinished; whoever lists a directory of the workspace skips names with it."""

LOCK_SECONDS = 60.0

TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})
"""What renaming a directory to a name, or linking a file to it, says where something is there already."""

NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK})
"""What a file system without hard links says."""

OLD = "was-"
"""Follows a process's own prefix in the name of what is being replaced where two names cannot be exchanged."""
_REPLACED = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}[0-9a-f]{{8}}-\d+-{OLD}(?P<name>.+)\.[0-9a-f]{{8}}")

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


def write_bytes(path: Path, data: bytes, *, taken: BadInput | None = None) -> None:
    """Writes a file atomically; the parents are made. A reader sees the old file or the new one, never half.

    Args:
        taken: see `atomic_file`.

    Raises:
        ArtefactError: when the disk is full or not writable; the old file, if any, is still there.
    """
    with atomic_file(path, taken=taken) as stream:
        stream.write(data)


def copy_file(path: Path, destination: Path) -> None:
    """Copies a file of any size atomically; errors as `write_bytes`."""
    with path.open("rb") as source, atomic_file(destination) as stream:
        shutil.copyfileobj(source, stream, 2**20)


@contextmanager
def atomic_file(path: Path, *, taken: BadInput | None = None) -> Iterator[BinaryIO]:
    """Yields a file to write; on leaving, it is fsynced and takes the name ``path``. On any exception it is gone.

    Args:
        taken: what is raised when the name is somebody's already: of several who write under it at once, exactly one
            has it. None replaces what is there.

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
        if taken is None:
            temporary.replace(path)
            temporary = None
        elif not _claim_file(temporary, path):
            raise taken
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


def write_json(path: Path, value: Any, *, taken: BadInput | None = None) -> None:
    """`write_bytes` for a JSON document, indented and with a final newline; NaN and infinities are refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode("utf-8"), taken=taken)


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
        raise ArtefactError(
            f"{path} is not a JSON document ({error}): it is truncated or was edited; make it again"
        ) from error


@contextmanager
def atomic_directory(path: Path, *, taken: BadInput | None = None) -> Iterator[Path]:
    """Yields an empty directory beside ``path`` to fill; on leaving, it is fsynced and takes the name ``path``.

    On any exception, Ctrl-C included, the unfinished directory is removed and ``path`` is what it was.

    Args:
        taken: see `atomic_file`; a directory that is replaced is so as a whole. An empty directory is nobody's.

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
        if not _claim_directory(temporary, path):
            if taken is not None:
                raise taken
            _replace_directory(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def temporary_directory(parent: Path) -> Iterator[Path]:
    """Yields an empty directory for what only this process needs; afterwards, or once it is killed, it goes.

    Raises:
        ArtefactError: when the disk is full or not writable.
    """
    try:
        made = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=parent))
    except OSError as error:
        raise storage_error(error, parent) from error
    try:
        yield made
    except OSError as error:
        raise storage_error(error, parent) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def clear_unfinished(directory: Path) -> None:
    """Removes what a killed writer left half-done anywhere in a directory that has no other writer now."""
    for path in directory.rglob(f"{TEMPORARY_PREFIX}*"):
        finish_or_discard(path)


def finish_or_discard(path: Path) -> None:
    """Removes what a killed writer left half-done; what it was replacing has its name again unless the new one has."""
    old = _REPLACED.fullmatch(path.name)
    if old is None or not _claim_directory(path, path.with_name(old["name"])):
        _discard(path)


def remove_directory(path: Path) -> None:
    """Removes a directory, if it is there: whoever lists its parent sees it whole or not at all.

    Raises:
        ArtefactError: when it may not be removed; it is still whole.
    """
    with removing() as remove:
        remove(path)


@contextmanager
def removing() -> Iterator[Callable[[Path], None]]:
    """Yields what removes a file or directory, if it is there; after an exception all of them are there again.

    Whoever lists their parents sees each whole or not at all. What it yields raises ArtefactError for what may not be
    removed.
    """
    aside: list[tuple[Path, Path]] = []

    def remove(path: Path) -> None:
        gone = path.with_name(f"{_own_prefix()}{path.name}-{secrets.token_hex(4)}")  # a full disk has no room for more
        try:
            path.rename(gone)
            aside.append((path, gone))
            sync_directory(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, path) from error

    try:
        yield remove
    except BaseException:
        for path, gone in reversed(aside):
            with suppress(OSError):  # what took its name meanwhile stays
                gone.rename(path)
        raise
    for _, gone in aside:
        _discard(gone)


def move(source: Path, target: Path) -> bool:
    """Gives a file or directory another name in the workspace and says whether that was free; else nothing changes.

    Raises:
        ArtefactError: it may not be moved, or there is no room where that is on another disk.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = source.is_dir() and not source.is_symlink()
        claim, left = (_claim_directory, False) if whole else (_claim_file, True)  # a file has both names for a moment
        try:
            free = claim(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            free, left = _move_across(source, target, claim), True
        if free:
            if left:
                _discard(source)
            sync_directory(target.parent)
            sync_directory(source.parent)
        return free
    except OSError as error:
        raise storage_error(error, target) from error


def _move_across(source: Path, target: Path, claim: Callable[[Path, Path], bool]) -> bool:
    """`move` to another disk: copied, then named."""
    copy = target.with_name(f"{_own_prefix()}{secrets.token_hex(4)}-{target.name}")
    try:
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copyfile(source, copy)
        return claim(copy, target)
    finally:
        _discard(copy)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _claim_directory(new: Path, path: Path) -> bool:
    """Renames a directory that is not empty to ``path`` and says whether the name was free; else nothing changes.

    The system does both in one step: to rename one directory over another that is not empty is refused.
    """
    try:
        new.rename(path)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        raise
    return True


def _claim_file(new: Path, path: Path) -> bool:
    """Gives a file the name ``path`` and says whether that was free; else nothing changes."""
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with table_lock(path):  # which all who claim it here take
            if path.exists():
                return False
            shutil.copyfile(new, path.with_name(f"{new.name}-whole"))
            path.with_name(f"{new.name}-whole").replace(path)
    return True


def _replace_directory(new: Path, path: Path) -> None:
    """Gives ``new`` the name ``path``; what stood there goes only once the new one stands.

    Linux exchanges the two names in one step. Elsewhere there is a moment without either; a writer killed in it leaves
    the old directory where `finish_or_discard` gives it its name back.
    """
    if _exchange(new, path):
        return  # what stood there is removed as what is unfinished
    old = path.with_name(f"{_own_prefix()}{OLD}{path.name}.{secrets.token_hex(4)}")
    path.rename(old)
    try:
        if not _claim_directory(new, path):
            raise FileExistsError(errno.EEXIST, "somebody else has written it meanwhile")
    except BaseException:
        _claim_directory(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False where the system or the file system cannot, and nothing has changed."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28, musl 1.2.6
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


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
