"""What a worker has measured and the database does not have yet, in files beside the checkpoint.

A worker that is killed just after a checkpoint goes on from there, and never again measures what came before it. So
every point is in a file before the work goes on: what a process has written outlives it. Points go into a new file
with each transaction, whose files go once it is committed; the next attempt finds those of which that is not known.
Torch-free.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from pituning.runs.claims import ClaimedRuns
from pituning.runs.records import AlphaPoint, Claim, CurvePoint

PREFIX, SUFFIX = "unsaved-", ".jsonl"


class Unsaved:
    """The points of one attempt that are not known to be in the database.

    Where ``begins`` is a step, the point begins its curve (or the weights) in this attempt: what an earlier one wrote
    of it from that step on goes.

    Args:
        directory: of the run's checkpoint, with which they go when the run starts anew.
        attempt: whose points they are.
    """

    def __init__(self, directory: Path, attempt: int):
        self._directory = directory
        self._attempt = attempt
        self._number = 0
        self._stream: TextIO | None = None
        self._abandoned = False

    def add_point(self, point: CurvePoint, begins: int | None) -> None:
        """Keeps a point of a curve."""
        self._add({"curve": [point.series, point.step, point.name, point.value], "begins": begins})

    def add_alpha(self, point: AlphaPoint, begins: int | None) -> None:
        """Keeps interpolation weights."""
        self._add({"alpha": [point.step, point.sites, point.experts, point.weights], "begins": begins})

    def turn(self) -> int:
        """Begins a new file; returns what `drop` needs once all that was added before is in the database."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None
        return self._number

    def drop(self, number: int) -> None:
        """Removes the files of what is in the database."""
        for path, (attempt, of_attempt) in self._files():
            if attempt == self._attempt and of_attempt <= number:
                _remove(path)

    def abandon(self, *, remove: bool) -> None:
        """Keeps nothing more; what is kept goes where somebody else has the run: then it counts no more."""
        self._abandoned = True
        number = self.turn()
        if remove:
            self.drop(number)

    def recover(self, queue: ClaimedRuns, claim: Claim) -> None:
        """Writes what attempts that were killed have left into the database, each point once, in its order.

        Raises:
            PiTuningError: it cannot be written; it is still there.
        """
        left: dict[int, list[Path]] = {}
        for path, (attempt, _) in self._files():
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
        with suppress(OSError):  # a full disk: it is in memory, and goes into the database when there is room
            if self._stream is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._number += 1
                path = self._directory / f"{PREFIX}{self._attempt}-{self._number}{SUFFIX}"
                self._stream = path.open("a", encoding="ascii", buffering=1)
            self._stream.write(json.dumps(line) + "\n")

    def _files(self) -> list[tuple[Path, tuple[int, int]]]:
        """The files that there are, each with its attempt and its number, in this order."""
        numbered = []
        for path in self._directory.glob(f"{PREFIX}*{SUFFIX}"):
            with suppress(ValueError):
                attempt, number = path.name.removeprefix(PREFIX).removesuffix(SUFFIX).split("-")
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
