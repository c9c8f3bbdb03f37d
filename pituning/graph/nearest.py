"""The most similar tasks of each task, without all of S: what a graph of very many tasks is made of.

`nearest` is exact: the order is that of similarities in float64, ties by the order of the tasks. It multiplies blocks
of unit vectors in float32, each pair of tasks once, keeps the best of each task, and looks again in float64 wherever
the rounding of float32 could have changed what is best or its order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pituning.errors import BadInput
from pituning.graph.units import Units
from pituning.progress import Reporter, Silent

KEPT = 32
"""Most similar tasks that are kept of each task."""

MOST_EXACT = 20_000
"""Tasks whose pairs are all compared; more are searched by `pituning.graph.sketch`."""

MARGIN = 8
"""How many more than the k best are carried along, for pairs whose order float32 cannot tell."""

TIE = 1e-12
"""Similarities in float64 that differ by less are one, since the order of a sum already moves them so far."""

CHECKED = 512
"""Pairs that are computed in float64 only to check the bound on the error of float32."""

STRIP = 512
"""Rows of a block whose similarities are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The k most similar other tasks of each of N tasks.

    Args:
        tasks: their indices, best first, (N, k) int32.
        similarity: S of them, (N, k) float64.
        mean, deviation: of the similarities of all pairs of different tasks.
        rechecked: pairs that were computed again in float64.
    """

    tasks: np.ndarray
    similarity: np.ndarray
    mean: float
    deviation: float
    rechecked: int = 0


def nearest(units: Units, k: int = KEPT, *, reporter: Reporter | None = None) -> Nearest:
    """The k most similar tasks of each task, exactly.

    Operations: N²P, half a plain product of all vectors by all. Memory beyond the vectors: two blocks of them
    (`pituning.graph.units.BLOCK_BYTES`) and O(N k).

    Args:
        units: the N tasks.
        k: how many, 1 to N - 1.

    Raises:
        BadInput: when ``k`` is out of range.
    """
    n = len(units)
    _check(k, n)
    report = reporter or Silent()
    best = Best(n, min(k + MARGIN, n - 1))
    blocks = list(units.blocks())
    report.phase("compare tasks", len(blocks) * (len(blocks) + 1) // 2)
    rooms = [np.empty((units.block_rows, units.raw.shape[1]), np.float32) for _ in range(min(len(blocks), 2))]
    for i, one in enumerate(blocks):
        first = units.rows(one, rooms[0])
        _compare(units, one, first, one, first, best)
        report.advance()
        for other in blocks[i + 1 :]:
            _compare(units, one, first, other, units.rows(other, rooms[1]), best)
            report.advance()
    tasks, similarity = best.taken()
    mean, deviation = best.moments()
    tasks, similarity, rechecked = settled(units, tasks, similarity, k)
    return Nearest(
        tasks=tasks.astype(np.int32), similarity=similarity, mean=mean, deviation=deviation, rechecked=rechecked
    )


def nearest_by_rows(
    rows: Callable[[slice], np.ndarray], n: int, k: int = KEPT, *, block: int = 256, reporter: Reporter | None = None
) -> Nearest:
    """The same of any similarity, from a function that gives S of a slice of the tasks to all, (b, N)."""
    _check(k, n)
    report = reporter or Silent()
    report.phase("compare tasks", -(-n // block))
    best = Best(n, k)
    for start in range(0, n, block):
        at = slice(start, min(start + block, n))
        values = rows(at)
        best.count(values, own=start)
        order = best_first(np.where(_own(at, n), -np.inf, values))[:, :k]
        best.place(at, order, np.take_along_axis(values, order, axis=1))
        report.advance()
    tasks, similarity = best.taken()
    mean, deviation = best.moments()
    return Nearest(tasks=tasks.astype(np.int32), similarity=similarity, mean=mean, deviation=deviation)


def added(kept: Nearest, to_new: np.ndarray) -> Nearest:
    """What was kept, with one more task: O(N k), since nothing but its own similarities is needed.

    Args:
        to_new: S of the new task, which gets the index N, to each of the N, (N,) float64.
    """
    n, k = kept.tasks.shape
    place = (kept.similarity >= to_new[:, None] - TIE).sum(1)  # ties go by order, and the new task is the last
    tasks = np.column_stack([kept.tasks, np.full(n, n)])
    similarity = np.column_stack([kept.similarity, to_new])
    source = np.arange(k + 1)[None] - (np.arange(k + 1)[None] > place[:, None])
    source = np.where(np.arange(k + 1)[None] == place[:, None], k, source)[:, :k]
    own = best_first(to_new[None])[:, :k]
    pairs, more = n * (n - 1), 2 * n
    total = kept.mean * pairs + 2 * float(to_new.sum())
    squares = (kept.deviation**2 + kept.mean**2) * pairs + 2 * float(to_new @ to_new)
    mean = total / (pairs + more)
    return Nearest(
        tasks=np.vstack([np.take_along_axis(tasks, source, axis=1), own]).astype(np.int32),
        similarity=np.vstack([np.take_along_axis(similarity, source, axis=1), to_new[own]]),
        mean=mean,
        deviation=float(np.sqrt(max(squares / (pairs + more) - mean**2, 0))),
    )


class Best:
    """The best so far of each task, from blocks of S that come in any order."""

    def __init__(self, n: int, count: int):
        self.tasks = np.full((n, count), -1, dtype=np.int64)
        self.values = np.full((n, count), -np.inf)
        self.floor = np.full(n, -np.inf, dtype=np.float32)
        self._pairs, self._sum, self._squares = 0, 0.0, 0.0

    def offer(self, rows: np.ndarray, columns: np.ndarray, block: np.ndarray) -> None:
        """Similarities (a, b) float32 of the tasks ``rows`` to the tasks ``columns``."""
        count = self.tasks.shape[1]
        floor = self.floor[rows]
        if np.isneginf(floor).any() and block.shape[1] > count:
            floor = np.maximum(floor, np.partition(block, block.shape[1] - count, axis=1)[:, -count])
        at, found = np.nonzero(block >= floor[:, None])
        if not len(at):
            return
        touched = np.unique(at)
        values = np.concatenate([self.values[rows[touched]].ravel(), block[at, found]])
        tasks = np.concatenate([self.tasks[rows[touched]].ravel(), columns[found]])
        at = np.concatenate([np.repeat(touched, count), at])
        order = np.lexsort((tasks, -values, at))
        at, tasks, values = at[order], tasks[order], values[order]
        place = np.arange(len(at)) - np.searchsorted(at, at)
        good = place < count
        self.tasks[rows[at[good]], place[good]] = tasks[good]
        self.values[rows[at[good]], place[good]] = values[good]
        self.floor[rows] = self.values[rows, -1]

    def place(self, at: slice, tasks: np.ndarray, values: np.ndarray) -> None:
        """The best of the tasks ``at``, which need no other."""
        self.tasks[at], self.values[at] = tasks, values

    def count(self, block: np.ndarray, *, own: int | None = None, twice: bool = False) -> None:
        """Adds a block of S to the mean and the deviation.

        Args:
            own: the column of the first row's own task, which does not count; None where there is none.
            twice: whether the block stands for its transpose, too.
        """
        total, squares, pairs = float(block.sum(dtype=np.float64)), float(np.vdot(block, block)), block.size
        if own is not None:
            diagonal = block[np.arange(len(block)), own + np.arange(len(block))].astype(np.float64)
            total, squares, pairs = total - diagonal.sum(), squares - float(diagonal @ diagonal), pairs - len(block)
        times = 2 if twice else 1
        self._sum, self._squares, self._pairs = (
            self._sum + times * total, self._squares + times * squares, self._pairs + times * pairs,
        )  # fmt: skip

    def moments(self) -> tuple[float, float]:
        mean = self._sum / max(self._pairs, 1)
        return mean, float(np.sqrt(max(self._squares / max(self._pairs, 1) - mean**2, 0)))

    def taken(self) -> tuple[np.ndarray, np.ndarray]:
        return self.tasks, self.values


def _compare(units: Units, one: slice, first: np.ndarray, other: slice, second: np.ndarray, best: Best) -> None:
    """S of two blocks of tasks, or within one; each pair is multiplied once and offered to both."""
    here, there = np.arange(one.start, one.stop), np.arange(other.start, other.stop)
    if one == other:
        # All of it in one product with itself, of which BLAS computes one half.
        block = similarities(units, one, first @ first.T, one)
        best.count(block, own=0)
        np.fill_diagonal(block, -np.inf)
        best.offer(here, here, block)
        return
    for start in range(0, len(first), STRIP):
        rows = slice(one.start + start, min(one.start + start + STRIP, one.stop))
        strip = similarities(units, rows, first[start : start + STRIP] @ second.T, other)
        best.count(strip, twice=True)
        best.offer(here[start : start + STRIP], there, strip)
        best.offer(there, here[start : start + STRIP], strip.T)


def similarities(
    units: Units, rows: slice | np.ndarray, products: np.ndarray, columns: slice | np.ndarray
) -> np.ndarray:
    """S of tasks from the inner products of their vectors (a, b), in place."""
    products /= units.counts(rows, columns)
    return np.clip(products, -1, 1, out=products)


def settled(
    units: Units, tasks: np.ndarray, values: np.ndarray, k: int, *, complete: bool = True
) -> tuple[np.ndarray, np.ndarray, int]:
    """The k best of candidates (N, c) that were found in float32, sorted by it: (N, k) twice, in the order of float64.

    Where two neighbours in the order, or the last that is wanted and the first that is not, are closer than float32
    can tell, they are computed again; where the candidates themselves may not be all, so is the task's whole row,
    unless they need not be ``complete``.
    """
    n, count = tasks.shape
    generator = np.random.default_rng(0)
    rows = generator.integers(n, size=min(CHECKED, n))
    at = generator.integers(k, size=len(rows))
    checked = np.abs(units.pairs(rows, tasks[rows, at]) - values[rows, at]).max()
    error = max(units.error, 4 * float(checked))
    close = np.zeros((n, count), dtype=bool)
    near = values[:, :-1] - values[:, 1:] <= 2 * error
    close[:, :-1] |= near
    close[:, 1:] |= near
    wanted = values >= values[:, k - 1, None] - 2 * error
    close &= wanted
    unsure = wanted.all(1) & (complete and count < n - 1)
    close[unsure] = False
    exact = values.copy()
    a, b = np.nonzero(close)
    exact[a, b] = units.pairs(a, tasks[a, b])
    order = np.lexsort((tasks, _places(exact)), axis=1)[:, :k]
    tasks, exact = np.take_along_axis(tasks, order, axis=1), np.take_along_axis(exact, order, axis=1)
    whole = np.flatnonzero(unsure)
    for start in range(0, len(whole), STRIP):
        some = whole[start : start + STRIP]
        row = exact_rows(units, some)
        row[np.arange(len(some)), some] = -np.inf
        order = best_first(row)[:, :k]
        tasks[some], exact[some] = order, np.take_along_axis(row, order, axis=1)
    return tasks, exact, len(a) + len(rows) + len(whole) * (n - 1)


def exact_rows(units: Units, some: np.ndarray) -> np.ndarray:
    """S of some tasks to all in float64, (b, N)."""
    mine = units.exact_rows(some)
    result = np.empty((len(some), len(units)))
    for block in units.blocks(STRIP):
        result[:, block] = mine @ units.exact_rows(block).T
        result[:, block] /= units.counts(some, block)
    return np.clip(result, -1, 1)


def _places(values: np.ndarray) -> np.ndarray:
    """By row, 0 for the largest value and what is within `TIE` of it, 1 for the next largest, and so on."""
    order = np.argsort(-values, axis=1, kind="stable")
    falls = np.diff(np.take_along_axis(values, order, axis=1), axis=1, prepend=np.inf) < -TIE
    places = np.empty(values.shape, dtype=np.int64)
    np.put_along_axis(places, order, np.cumsum(falls, axis=1), axis=1)
    return places


def best_first(values: np.ndarray) -> np.ndarray:
    """By row, best first; ties by order."""
    return np.argsort(_places(values), axis=1, kind="stable")


def _own(at: slice, n: int) -> np.ndarray:
    return np.arange(at.start, at.stop)[:, None] == np.arange(n)[None]


def _check(k: int, n: int) -> None:
    if not 1 <= k <= n - 1:
        raise BadInput(f"k is {k}; choose 1 to {max(n - 1, 1)}, as many as there are other tasks", field="k")
