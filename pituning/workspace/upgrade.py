"""Brings a workspace of an earlier version to the layout of this one, by renames that may be interrupted anywhere.

Version 1 had room for one backbone, ``mini``: ``experts/<kind>/<name>``, ``embeddings/<kind>``, ``similarity/<kind>``,
``projections/<kind>`` and ``results/transfer-<kind>.csv``. Version 2 keeps all of it in ``zoos/mini/<kind>``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json, storage_error, sync_directory, write_json

ONLY_BACKBONE = "mini"
"""The backbone of every workspace of version 1."""

BY_KIND = {"experts": 1, "embeddings": 2, "similarity": 1, "projections": 1}
"""What version 1 had by kind, with how many levels below a kind the things lie that are moved whole."""

WAIT_SECONDS = 60.0

_OF_KIND = re.compile(
    r"(?P<what>transfer|lowshot|variants)-(?P<kind>[a-z0-9-]+?)(?P<budget>-\d+-steps)?\.(?P<ending>csv|safetensors)"
)


def upgrade(root: Path, version: int) -> None:
    """Moves what version 1 had to where ``version`` has it, then writes the version down.

    One process does it and others wait. Whoever is stopped leaves some of it moved, and the next to open the workspace
    goes on. Nothing is deleted or written over: should both places hold a thing, each stays where it is.

    Raises:
        ArtefactError: a directory may not be written or is on another disk, or another process takes too long.
    """
    manifest = root / "workspace.json"
    try:
        with FileLock(root / ".upgrade.lock", timeout=WAIT_SECONDS):
            document = read_json(manifest)
            if document["format_version"] < version:  # no other process has done it while we waited
                _move_all(root)
                write_json(manifest, {**document, "format_version": version})
    except Timeout as error:
        raise ArtefactError(
            f"workspace {root} has been upgraded by another process for {WAIT_SECONDS:.0f} s; wait until it is done"
        ) from error
    except OSError as error:
        raise storage_error(error, root) from error


def _move_all(root: Path) -> None:
    for source, target in _moves(root):
        target.parent.mkdir(parents=True, exist_ok=True)
        _rename(source, target)
    for name in (*BY_KIND, "results"):
        _drop_empty(root / name)
    zoo = root / "zoos" / ONLY_BACKBONE
    for folder in (root, zoo.parent, zoo, *zoo.glob("*"), *zoo.glob("*/results")):
        if folder.is_dir():
            sync_directory(folder)  # on disk before the version says so


def _moves(root: Path) -> Iterator[tuple[Path, Path]]:
    """What still lies in the old places, each with its new one."""
    zoo = root / "zoos" / ONLY_BACKBONE
    for what, levels in BY_KIND.items():
        for folder in _visible(root / what):
            if folder.is_dir():
                yield from _into(folder, zoo / folder.name / what, levels)
    for file in _visible(root / "results"):
        of_kind = _OF_KIND.fullmatch(file.name)
        if of_kind is None:
            yield from _into(file, zoo / "results" / file.name, 0)
        else:
            name = f"{of_kind['what']}{of_kind['budget'] or ''}.{of_kind['ending']}"
            yield from _into(file, zoo / of_kind["kind"] / "results" / name, 0)


def _into(source: Path, target: Path, levels: int) -> Iterator[tuple[Path, Path]]:
    """Moves ``source`` as a whole; where it is there already, what that lacks, ``levels`` further down at most."""
    if not target.exists():
        yield source, target
    elif levels and source.is_dir() and target.is_dir():
        for each in _visible(source):
            yield from _into(each, target / each.name, levels - 1)


def _visible(folder: Path) -> list[Path]:
    """What is in a directory but for what is hidden, as unfinished work is; nothing where there is none."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _drop_empty(folder: Path) -> None:
    """Removes a directory and those in it that hold nothing; a file keeps them."""
    if folder.is_dir() and not folder.is_symlink():
        for path, _, _ in os.walk(folder, topdown=False):
            if not os.path.basename(path).startswith("."):
                try:
                    os.rmdir(path)
                except OSError:
                    continue  # it holds something


_rename = os.rename
