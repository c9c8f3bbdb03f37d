"""Work on what somebody gave, in a process of its own that may take so much memory and time, and no more.

Streamlit's pages run in threads of one process: a file that takes too much there takes it from everybody. The process
is new for every call, imports this package alone, and is gone with all that it held. What goes in and comes out is
pickled by this very program on both sides of a pipe of its own; nothing of a user is ever unpickled.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pituning
from pituning import errors
from pituning.errors import BadInput, PiTuningError, RunFailed
from pituning.registry import load

AT_ONCE = 2
"""So many of these processes run side by side, so that the sum of their memory is bounded, too."""

_slots = threading.BoundedSemaphore(AT_ONCE)
_log = logging.getLogger("pituning.bounded")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a process may take.

    Args:
        memory: bytes.
        seconds: of processor time; it may take `WAITS` times as long by the clock.
        instead: what somebody can do whose file needs more, as the end of a sentence.
    """

    memory: int = 2**30
    seconds: int = 60
    instead: str = "give a smaller one"


WAITS = 5


def call(work: str, *arguments: Any, what: str, limits: Limits = Limits()) -> Any:
    """What the function of a path, such as ``pituning.tasks.uploads:look``, returns.

    Args:
        arguments: of the function; they and its value must be made of data and of classes of this package.
        what: it works on, for messages: ``"file 'reviews.csv'"``.

    Raises:
        BadInput: it needs more than the limits; or the function raised it.
        PiTuningError: the function raised it.
    """
    with _slots:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pituning.workspace.bounded", str(limits.memory), str(limits.seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=child_environment(),
        )  # fmt: skip
        try:
            written, complaints = process.communicate(pickle.dumps((work, arguments)), WAITS * limits.seconds)
        except subprocess.TimeoutExpired:
            raise _slow(what, limits) from None
        finally:
            process.kill()
            process.wait()
    if process.returncode == -signal.SIGXCPU:
        raise _slow(what, limits)
    answered = process.returncode == 0 and written
    outcome, *values = pickle.loads(written) if answered else ("died",)  # noqa: S301 (of this program, see above)
    if outcome == "done":
        return values[0]
    if outcome == "refused":
        raise _error(*values)
    if outcome == "memory" or process.returncode < 0:
        raise _large(what, limits)
    _log.error("%s ended with %s: %s", work, process.returncode, complaints.decode(errors="replace")[-4000:])
    raise RunFailed(f"{what} could not be worked on; the Studio's log says why")


def child_environment() -> dict[str, str]:
    """Lets a child find this very package, also where it runs from a checkout."""
    package = str(Path(pituning.__file__).resolve().parent.parent)
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def _slow(what: str, limits: Limits) -> BadInput:
    return BadInput(f"{what} takes longer than {limits.seconds} s to read; {limits.instead}", field="file")


def _large(what: str, limits: Limits) -> BadInput:
    size = f"{limits.memory / 2**30:.3g} GiB"
    return BadInput(f"{what} takes more than {size} of memory to read; {limits.instead}", field="file")


def _error(name: str, message: str, field: str | None) -> PiTuningError:
    kind: Callable[..., PiTuningError] = getattr(errors, name)
    return kind(message, field=field) if kind is BadInput else kind(message)


# In the process.


def _refused(error: PiTuningError) -> tuple[str, str, str, str | None]:
    """An error as data: the nearest class of `pituning.errors`, which others can make again."""
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return "refused", name, str(error), getattr(error, "field", None)


def _limit(memory: int, seconds: int) -> None:
    import resource

    # Of address space a process may have any amount, which libraries reserve and never use; of data it may not.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(memory: int, seconds: int) -> int:
    """Does what stdin says and writes what comes of it to stdout, where nothing else is written."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 (of this program, see above)
    function = load(work)
    _limit(memory, seconds)
    outcome: tuple[Any, ...]
    try:
        outcome = ("done", function(*arguments))
    except PiTuningError as error:
        outcome = _refused(error)
    except MemoryError:
        outcome = ("memory",)
    with out:
        pickle.dump(outcome, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
