"""What killed writers have left half-done in a workspace, told from what living ones are still writing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil

from pituning.workspace.atomic import TEMPORARY_PREFIX, finish_or_discard, this_place

DAY = 24 * 3600.0
"""After so long without a change nobody is writing any more, wherever they were; it takes seconds."""

SAME_SECONDS = 2.0
"""How far the times of a process and of its files may be apart by rounding."""

_OWNED = re.compile(re.escape(TEMPORARY_PREFIX) + r"(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-.+")


def remove_leftovers(root: Path) -> int:
    """Removes everything unfinished under ``root`` that no living process owns; returns how many things.

    Whoever writes on another machine cannot be seen from here: what is theirs goes after a day without a change.
    """
    removed = 0
    for path in [*root.rglob(f"{TEMPORARY_PREFIX}*")]:
        try:
            if not _abandoned(path):
                continue
            finish_or_discard(path)
            removed += 1
        except OSError:
            continue  # it has just been finished or removed, or may not be removed
    return removed


def _abandoned(path: Path) -> bool:
    changed = path.lstat().st_ctime
    name = _OWNED.fullmatch(path.name)
    if name is None or name["place"] != this_place():
        return time.time() - changed > DAY
    try:
        owner = psutil.Process(int(name["pid"]))
        # One that is younger than the file has only got the number of whoever wrote it.
        return owner.status() == psutil.STATUS_ZOMBIE or owner.create_time() > changed + SAME_SECONDS
    except psutil.NoSuchProcess:
        return True
