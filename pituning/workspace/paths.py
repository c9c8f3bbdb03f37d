"""Paths as people write them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """A path with the user's home for a leading ``~``; as in a shell, ``~somebody`` unknown is a name like another."""
    with suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)
