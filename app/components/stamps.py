"""When files were last changed: what is read from them is kept for as long as that stays the same."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def stamp_of_all(parent: Path, name: str) -> int:
    """What changes when the file of that name in one of the folders of ``parent`` does; of thousands in a moment."""
    found = []
    with suppress(OSError), os.scandir(parent) as folders:
        for folder in folders:
            try:
                found.append((folder.name, os.stat(f"{folder.path}/{name}").st_mtime_ns))
            except OSError:
                found.append((folder.name, 0))
    return hash(frozenset(found))


def stamp(path: Path) -> float:
    """When a file was last changed; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
