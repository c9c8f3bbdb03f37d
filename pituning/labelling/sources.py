"""Files that are to be labelled: kept in the workspace under a name, so that a run never names a path itself.

What was uploaded lies there as it is. Of a file on this machine, which only its command line can name, there is a note
of where it is and of where its answers go. Torch-free.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pituning.errors import ArtefactError, BadInput
from pituning.workspace.atomic import atomic_directory, read_json, sha256, write_json
from pituning.workspace.layout import Workspace
from pituning.workspace.paths import expanded

_NAME = re.compile(r"[0-9a-f]{32}")
_NOTE = "source.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that is to be labelled.

    Args:
        name: 32 hexadecimal digits.
        path: where it is.
        filename: what people call it.
        mark: changes when the file does.
        out: where a copy of the answers goes; None for the run's own directory alone.
        uploaded: it came from elsewhere, so that it is read within the bounds of uploads.
    """

    name: str
    path: Path
    filename: str
    mark: str
    out: Path | None = None
    uploaded: bool = False

    def check_unchanged(self) -> None:
        """Raises BadInput where the file has gone, or is not the one that was named."""
        if not self.path.exists():
            raise BadInput(f"file {str(self.path)!r} does not exist; check the path", field="file")
        if self.mark != _mark(self.path):
            raise BadInput(f"file {str(self.path)!r} has changed since it was named; name it again", field="file")


def keep_upload(data: bytes, filename: str, workspace: Workspace) -> str:
    """Keeps an uploaded file, and returns its name."""
    filename = PurePath(filename.replace("\\", "/")).name or "table.csv"
    name = sha256(f"{filename}\n".encode() + data)[:32]
    directory = _directory(workspace, name)
    if not directory.is_dir():
        with atomic_directory(directory) as folder:
            (folder / f"data{PurePath(filename).suffix.lower()}").write_bytes(data)
            write_json(folder / _NOTE, {"filename": filename, "path": None, "mark": None, "out": None})
    return name


def keep_path(path: Path, out: Path | None, workspace: Workspace) -> str:
    """Keeps where a file or a folder is, and returns the name of the note.

    Raises:
        BadInput: it does not exist.
    """
    path = expanded(path).resolve()
    if not path.exists():
        raise BadInput(f"file {str(path)!r} does not exist; check the path", field="file")
    out = None if out is None else expanded(out).resolve()
    document = {"filename": path.name, "path": str(path), "mark": _mark(path), "out": None if out is None else str(out)}
    name = sha256(repr(sorted(document.items())).encode())[:32]
    if not _directory(workspace, name).is_dir():
        with atomic_directory(_directory(workspace, name)) as folder:
            write_json(folder / _NOTE, document)
    return name


def find_source(name: str, workspace: Workspace) -> Source:
    """The source of that name.

    Raises:
        BadInput: there is none.
        ArtefactError: its note is damaged.
    """
    directory = _directory(workspace, name) if _NAME.fullmatch(name) else None
    if directory is None or not directory.is_dir():
        raise BadInput(f"file {name!r} is not there; give the path of a file", field="source")
    note: Any = read_json(directory / _NOTE)
    try:
        filename, out = str(note["filename"]), note["out"]
        if note["path"] is None:
            (path,) = directory.glob("data*")
            return Source(name=name, path=path, filename=filename, mark=_mark(path), uploaded=True)
        return Source(
            name=name, path=Path(note["path"]), filename=filename, mark=str(note["mark"]),
            out=None if out is None else Path(out),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{directory / _NOTE} is damaged; name the file again") from error


def drop_source(name: str, workspace: Workspace, remove: Callable[[Path], None]) -> None:
    """Removes a kept upload or note, if it is there, by what `pituning.workspace.atomic.removing` yields.

    A file outside the workspace stays.
    """
    if _NAME.fullmatch(name) is not None:
        remove(_directory(workspace, name))


def _directory(workspace: Workspace, name: str) -> Path:
    return workspace.root / "uploads" / name


def _mark(path: Path) -> str:
    """Changes when a file, or any file of a folder, is written or moved."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    digest = hashlib.sha256()
    for each in files:
        status = os.stat(each)
        digest.update(f"{each.relative_to(path)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
