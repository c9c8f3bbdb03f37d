"""Which attempt of a run may write checkpoints: each has a directory of its own, which begins as a copy of the last.

A worker that was given up for dead may wake up, and learns only with its next report that another one has its run. What
it writes until then must not become the place from which a third goes on: its points of the curves count no more, and
those of the second stop short of it. Torch-free.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from pituning.errors import ArtefactError
from pituning.workspace.atomic import TEMPORARY_PREFIX, atomic_directory

CHECKPOINT = "checkpoint"
UNSAVED = "unsaved-"
"""How the files of points that are not known to be in the database begin (`pituning.runs.unsaved`)."""

_OF_THE_ATTEMPT = shutil.ignore_patterns(f"{TEMPORARY_PREFIX}*", f"{UNSAVED}*")
"""What is no other attempt's: unfinished files, and points that are in the database by then."""


def last_attempt(run_dir: Path) -> int:
    """The last attempt that has made a run's checkpoints its own; 0 where none has."""
    numbers = [path.name.removeprefix(f"{CHECKPOINT}-") for path in run_dir.glob(f"{CHECKPOINT}-*")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def last_attempt_dir(run_dir: Path) -> Path:
    """Where that attempt keeps its checkpoints; where none has, where runs once did."""
    number = last_attempt(run_dir)
    return run_dir / (f"{CHECKPOINT}-{number}" if number else CHECKPOINT)


def take_over(run_dir: Path, attempt: int) -> Path:
    """The directory of an attempt's own checkpoints, with a copy of what the attempts before it have left.

    Call it when what they have measured is in the database.

    Raises:
        ArtefactError: it cannot be written.
    """
    before, mine = last_attempt_dir(run_dir), run_dir / f"{CHECKPOINT}-{attempt}"
    if before != mine:
        try:
            with atomic_directory(mine) as new:
                if before.is_dir():
                    shutil.copytree(before, new, dirs_exist_ok=True, ignore=_OF_THE_ATTEMPT)
        except ArtefactError:
            # There is no room for a copy. A rename needs none, and keeps out all but who has a file open.
            with suppress(OSError):
                before.rename(mine)
            if not mine.is_dir():
                raise
    for path in run_dir.glob(f"{CHECKPOINT}-*"):
        if path != mine:
            shutil.rmtree(path, ignore_errors=True)
    for path in (run_dir / CHECKPOINT).glob("*"):  # which was copied, too, but for the points in it
        if path.is_file() and not path.name.startswith(UNSAVED):
            path.unlink(missing_ok=True)
    return mine


def has_left(run_dir: Path) -> bool:
    """Whether a run has left anything that another one can go on from."""
    left = last_attempt_dir(run_dir)
    return left.is_dir() and any(left.iterdir())


def hand_on(run_dir: Path, other_dir: Path) -> None:
    """Lets a run that has not begun go on from what another one has left, which stays as it is.

    Args:
        run_dir: of the run that has left it.
        other_dir: of the one that is to begin.

    Raises:
        ArtefactError: it cannot be written.
    """
    with atomic_directory(other_dir / CHECKPOINT) as new:
        shutil.copytree(last_attempt_dir(run_dir), new, dirs_exist_ok=True, ignore=_OF_THE_ATTEMPT)


def remove_checkpoints(run_dir: Path) -> None:
    """Removes what all attempts of a run have left to go on from."""
    for path in run_dir.glob(f"{CHECKPOINT}*"):
        shutil.rmtree(path, ignore_errors=True)
