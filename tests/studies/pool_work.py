"""A process that works in a pool until it is interrupted: ``python -m tests.studies.pool_work DIR``.

With a further word Ctrl-C comes at the worst moment, once a result is there.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import _base
from pathlib import Path
from typing import Any

from pituning.errors import BadInput
from pituning.training.pool import Call, side_by_side
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


def told(call: Call, _none: None) -> None:
    print("done", call[1], flush=True)


def interrupted_holding_locks(call: Call, _none: None) -> None:
    """From now on Ctrl-C comes when ``wait`` has just taken the locks of all calls that are under way."""
    told(call, None)
    take = _base._AcquireFutures.__enter__

    def take_and_hear(futures: Any) -> None:
        take(futures)
        _base._AcquireFutures.__enter__ = take
        os.kill(os.getpid(), signal.SIGINT)

    _base._AcquireFutures.__enter__ = take_and_hear


if __name__ == "__main__":
    place = Path(sys.argv[1])
    calls = [(place, name) for name in ("quick", "a", "b", "c", "d", "e")]
    try:
        side_by_side(write, calls, interrupted_holding_locks if sys.argv[2:] else told, processes=2)
    except KeyboardInterrupt:
        sys.exit("interrupted")
