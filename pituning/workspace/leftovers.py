"""What killed writers have left half-done in a workspace, told from what living ones are still writing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil

from pituning.workspace.atomic import TEMPORARY_PREFIX, finish_or_discard, this_place
from pituning.workspace.holding import taking

DAY = 24 * 3600.0
"""After so long without a change nobody is writing any more, wherever they were; it takes seconds."""

_OWNED = re.compile(re.escape(TEMPORARY_PREFIX) + r"(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-.+")


def remove_leftovers(root: Path) -> int:
    """Removes everything unfinished under ``root`` that no living process owns; returns how many things.

    Whoever writes holds the lock of what they write; the clock has no say in that. Those on another machine, and those
    on a file system without such locks, cannot be seen from here: what is theirs goes after a day without a change.
    """
    removed = 0
    for path in [*root.rglob(f"{TEMPORARY_PREFIX}*")]:
        try:
            with taking(path) as free:
                if free is False or not _abandoned(path, free):
                    continue
                finish_or_discard(path)
                removed += 1
        except OSError:
            continue  # it has just been finished or removed, or may not be removed
    return removed


def _abandoned(path: Path, free: bool | None) -> bool:
    name = _OWNED.fullmatch(path.name)
    if free and name is not None and name["place"] == this_place() and not _lives(int(name["pid"])):
        return True
    return time.time() - path.lstat().st_ctime > DAY


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
