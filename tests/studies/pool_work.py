"""A process that works in a pool until it is interrupted: ``python -m tests.studies.pool_work DIR``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from pituning.errors import BadInput
from pituning.training.pool import side_by_side
from pituning.workspace.atomic import atomic_directory


def double(number: int) -> int:
    return 2 * number


def fail(number: int) -> None:
    raise BadInput(f"number is {number}; give another")


def die(_number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write(directory: Path, name: str) -> None:
    """``quick`` is written at once; everything else stays half-written for a minute."""
    (directory / f"begun-{name}").touch()
    with atomic_directory(directory / name) as folder:
        (folder / "half").touch()
        if name != "quick":
            time.sleep(60)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    calls = [(place, name) for name in ("quick", "a", "b", "c", "d", "e")]
    try:
        side_by_side(write, calls, lambda call, _none: print("done", call[1], flush=True), processes=2)
    except KeyboardInterrupt:
        sys.exit("interrupted")
