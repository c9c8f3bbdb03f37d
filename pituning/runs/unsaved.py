"""What a worker has measured and the database does not have yet, in files beside the checkpoint.

A worker that is killed just after a checkpoint goes on from there, and never again measures what came before it. So
every point is in a file before the work goes on: what a process has written outlives it. Points go into a new file
with each transaction, whose files go once it is committed; the next attempt finds those of which that is not known.
What a full disk does not take is written as soon as there is room again. Torch-free.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pituning.runs.attempts import UNSAVED, last_attempt
from pituning.runs.claims import ClaimedRuns
from pituning.runs.records import AlphaPoint, Claim, CurvePoint

SUFFIX = ".jsonl"


class Unsaved:
    """The points of one attempt that are not known to be in the database.

    Where ``begins`` is a step, the point begins its curve (or the weights) in this attempt: what an earlier one wrote
    of it from that step on goes.

    Args:
        directory: in that of the run, with whose checkpoints they go when it starts anew.
        attempt: whose points they are.
    """

    def __init__(self, directory: Path, attempt: int):
        self._directory = directory
        self._attempt = attempt
        self._number = 1
        self._file: tuple[int, int, int] | None = None  # number, descriptor, bytes of whole lines
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._abandoned = False

    def add_point(self, point: CurvePoint, begins: int | None) -> None:
        """Keeps a point of a curve."""
        self._add({"curve": [point.series, point.step, point.name, point.value], "begins": begins})

    def add_alpha(self, point: AlphaPoint, begins: int | None) -> None:
        """Keeps interpolation weights."""
        self._add({"alpha": [point.step, point.sites, point.experts, point.weights], "begins": begins})

    def retry(self) -> None:
        """Writes what found no room before. Call it before anything that lets the next attempt go on from further."""
        while self._waiting:
            number, line = self._waiting[0]
            if not self._put(number, line):
                return
            self._waiting.popleft()

    def turn(self) -> int:
        """Begins a new file; returns what `drop` needs once all that was added before is in the database."""
        self._number += 1
        return self._number - 1

    def drop(self, number: int) -> None:
        """Removes the files of what is in the database."""
        while self._waiting and self._waiting[0][0] <= number:
            self._waiting.popleft()
        if self._file is not None and self._file[0] <= number:
            self._close()
        for path, (attempt, of_attempt) in self._files():
            if attempt == self._attempt and of_attempt <= number:
                _remove(path)

    def abandon(self, *, remove: bool) -> None:
        """Keeps nothing more; what is kept goes where somebody else has the run: then it counts no more."""
        self._abandoned = True
        self._waiting.clear()
        number = self.turn()
        if remove:
            self.drop(number)
        self._close()

    def recover(self, queue: ClaimedRuns, claim: Claim) -> None:
        """Writes what attempts that were killed have left into the database, each point once, in its order.

        Raises:
            PiTuningError: it cannot be written; it is still there.
        """
        left: dict[int, list[Path]] = {}
        # Once an attempt has made the checkpoints its own, those before it have nothing more to say: what is there of
        # them came from a worker that was given up for dead and woke up.
        begun = last_attempt(self._directory.parent)
        for path, (attempt, _) in self._files():
            if attempt < begun:
                _remove(path)
            else:
                left.setdefault(attempt, []).append(path)
        for paths in left.values():
            points, alphas = _read(paths)
            # Of one transaction it is not known whether it was committed: then the first of them are the last there.
            points = points[_overlap(queue.curves_of(claim.run_id), points) :]
            alphas = alphas[_overlap(queue.alphas_of(claim.run_id, last=len(alphas)), alphas) :]
            if points or alphas:
                queue.report(
                    claim,
                    progress={},
                    metrics=[point for point, _ in points],
                    alphas=[point for point, _ in alphas],
                    restart={(one.series, one.name): begins for one, begins in points if begins is not None},
                    restart_alphas=next((begins for _, begins in alphas if begins is not None), None),
                )
            for path in paths:
                _remove(path)

    def _add(self, line: dict[str, Any]) -> None:
        if self._abandoned:
            return
        self._waiting.append((self._number, json.dumps(line).encode("ascii") + b"\n"))
        self.retry()

    def _put(self, number: int, line: bytes) -> bool:
        """Appends a line to the file of a number; False where there is no room, and then no part of it is there."""
        try:
            if self._file is None or self._file[0] != number:
                self._close()
                self._directory.mkdir(parents=True, exist_ok=True)
                path = self._directory / f"{UNSAVED}{self._attempt}-{number}{SUFFIX}"
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                self._file = number, descriptor, os.fstat(descriptor).st_size
            _, descriptor, whole = self._file
            if os.write(descriptor, line) < len(line):
                os.ftruncate(descriptor, whole)
                return False
        except OSError:
            return False
        self._file = number, descriptor, whole + len(line)
        return True

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file[1])
            self._file = None

    def _files(self) -> list[tuple[Path, tuple[int, int]]]:
        """The files that there are, each with its attempt and its number, in this order."""
        numbered = []
        for path in self._directory.glob(f"{UNSAVED}*{SUFFIX}"):
            with suppress(ValueError):
                attempt, number = path.name.removeprefix(UNSAVED).removesuffix(SUFFIX).split("-")
                numbered.append((path, (int(attempt), int(number))))
        return sorted(numbered, key=lambda one: one[1])


def _read(
    paths: Sequence[Path],
) -> tuple[list[tuple[CurvePoint, int | None]], list[tuple[AlphaPoint, int | None]]]:
    """The points and the weights in files, up to a line that was cut short, each with where it begins."""
    points: list[tuple[CurvePoint, int | None]] = []
    alphas: list[tuple[AlphaPoint, int | None]] = []
    for path in paths:
        with suppress(OSError, ValueError, TypeError, LookupError):
            for text in path.read_text(encoding="ascii").splitlines():
                line = json.loads(text)
                if "curve" in line:
                    points.append((CurvePoint(*line["curve"]), line["begins"]))
                else:
                    step, sites, experts, weights = line["alpha"]
                    alpha = AlphaPoint(step, tuple(sites), tuple(experts), tuple(map(tuple, weights)))
                    alphas.append((alpha, line["begins"]))
    return points, alphas


def _overlap(there: Sequence[Any], kept: Sequence[tuple[Any, int | None]]) -> int:
    """How many of ``kept`` are there already: the most with which it begins and the other ends."""
    ends, begins = list(there), [point for point, _ in kept]
    return next((n for n in range(min(len(ends), len(begins)), 0, -1) if ends[-n:] == begins[:n]), 0)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
