"""The real worker, killed without warning: attempt n after the n-th number of steps in ``$KILL_AFTER``."""

from __future__ import annotations

import os
import signal
import sys

from pituning.runs import worker
from pituning.runs.reporter import DatabaseReporter

_after = [int(word) for word in os.environ.get("KILL_AFTER", "").split(",") if word]
_attempt = int(sys.argv[sys.argv.index("--attempt") + 1])
_steps = 0
_advance = DatabaseReporter.advance


def advance(self: DatabaseReporter, steps: int = 1) -> None:
    global _steps
    _advance(self, steps)
    _steps += 1
    if _attempt <= len(_after) and _steps == _after[_attempt - 1]:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    DatabaseReporter.advance = advance  # type: ignore[method-assign]
    sys.exit(worker.main())
