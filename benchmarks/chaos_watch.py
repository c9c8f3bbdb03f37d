"""The checkpoints that `benchmarks.chaos` looks at while runs are under way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pituning.runs.attempts import last_attempt_dir
from pituning.tuning.config import PARTIAL
from pituning.workspace.atomic import TEMPORARY_PREFIX

MOST_BYTES = 2**20


@dataclass
class _Seen:
    """A file of a checkpoint as it was when it was first seen, and a descriptor by which it can be read again."""

    descriptor: int
    number: int
    content: bytes


class Checkpoints:
    """Reads the checkpoints of runs as they come, and keeps each open until the next one has taken its name.

    A file that is replaced atomically never changes: whoever has opened the old one goes on reading the old one.

    Args:
        runs: the directory of the runs' directories.
    """

    def __init__(self, runs: Path):
        self._runs = runs
        self._seen: dict[Path, _Seen] = {}
        self._known: dict[tuple[str, str], bytes] = {}
        self.torn: set[str] = set()
        """The files that changed under a reader."""

    def look(self, run_ids: Iterable[str]) -> list[str]:
        """The runs among those given that have a new checkpoint since the last time.

        What an earlier attempt left is not new: a worker that is killed at once for it would not have gone on from it.
        """
        wanted = set(run_ids)
        for path in [path for path in self._seen if path.parents[1].name not in wanted]:
            os.close(self._seen.pop(path).descriptor)  # it would keep its place on the disk
        return [run_id for run_id in wanted if self._look_at(run_id)]

    def any(self, run_id: str) -> bool:
        """Whether a run has a checkpoint."""
        return bool(self._files(run_id))

    def close(self) -> None:
        """Forgets everything but what is torn."""
        for seen in self._seen.values():
            os.close(seen.descriptor)
        self._seen.clear()

    def _files(self, run_id: str) -> list[Path]:
        with suppress(OSError):
            entries = last_attempt_dir(self._runs / run_id).iterdir()
            files = [path for path in entries if path.is_file() and path.name != PARTIAL]  # that is only shown
            return [path for path in files if not path.name.startswith(TEMPORARY_PREFIX)]
        return []

    def _look_at(self, run_id: str) -> bool:
        new = False
        for path in self._files(run_id):
            with suppress(OSError):
                seen = self._seen.get(path)
                if seen is not None and os.pread(seen.descriptor, MOST_BYTES, 0) != seen.content:
                    self.torn.add(f"{run_id}/{path.name}")
                if seen is None or path.stat().st_ino != seen.number:
                    if seen is not None:
                        os.close(self._seen.pop(path).descriptor)
                    descriptor = os.open(path, os.O_RDONLY)
                    content = os.pread(descriptor, MOST_BYTES, 0)
                    self._seen[path] = _Seen(descriptor, os.fstat(descriptor).st_ino, content)
                    # An attempt begins with a copy of what the last one had.
                    new |= self._known.get((run_id, path.name)) != content
                    self._known[run_id, path.name] = content
        return new
