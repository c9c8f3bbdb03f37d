"""Locks that last as long as the process that took them, whatever the clock says and whoever has its number later.

They belong to files, not to names: a copy of a directory has none of them, and one that is moved keeps them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def take(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool | None:
    """Takes the lock of an open file or directory, which is freed when all who inherited the descriptor have closed it.

    Args:
        wait: until it is free.
        shared: with others who only look.

    Returns:
        False when somebody else holds it; None when this file system has no such locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def taking(path: Path, *, shared: bool = False) -> Iterator[bool | None]:
    """Yields what `take` says of a path, and holds the lock meanwhile; True where nothing is there."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        yield True
        return
    except OSError:  # a link, or it may not be read
        yield None
        return
    try:
        yield take(descriptor, shared=shared)
    finally:
        os.close(descriptor)


def held(path: Path) -> bool | None:
    """Whether some process holds the lock of a path; None when that cannot be known."""
    with taking(path, shared=True) as free:
        return None if free is None else not free


class Whereabouts:
    """Tells whether a directory is still where it was, and not another one in its place."""

    def __init__(self, root: Path):
        self._root = root
        self._was = self._number()

    def moved(self) -> bool:
        """Whether it has been moved, removed or replaced since this was made."""
        return self._number() != self._was

    def _number(self) -> tuple[int, int] | None:
        try:
            status = self._root.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
