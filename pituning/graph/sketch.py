"""The most similar tasks where the pairs are too many to compare: a sketch, a graph search in it, an exact re-rank.

1. Sketch: each task's unit vector (P,) on the `DIMENSIONS` leading principal axes of `SAMPLE` tasks (randomised SVD,
   Halko et al., 2011). Where S falls into groups, as tasks do, few axes hold most of it.
2. Candidates: `CANDIDATES` of each task by nearest-neighbour descent in the sketch (Dong et al., 2011; pynndescent).
3. Re-rank: S itself of each task and its candidates, of which the k best are kept.

How many of the truly nearest are found is measured on `MEASURED` tasks, which are compared with all others exactly.

Importing pynndescent takes seconds: only a run does so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pituning.graph.nearest import KEPT, MARGIN, Best, Nearest, best_first, settled, similarities
from pituning.graph.units import Units
from pituning.progress import Reporter, Silent

DIMENSIONS = 256
SAMPLE = 2048
CANDIDATES = 48
MEASURED = 128
RECALL_AT = 10
TOGETHER = 512
"""Tasks of a neighbourhood, about, which are compared with all candidates of all of them in one product."""


@dataclass(frozen=True, kw_only=True)
class Sketched:
    """What the search found.

    Args:
        nearest: the k best of each task; mean and deviation are estimated from the tasks of the measurement.
        recall: the share of the truly `RECALL_AT` nearest that are among as many found, in [0, 1].
        measured: on how many tasks.
    """

    nearest: Nearest
    recall: float
    measured: int


def nearest_by_sketch(units: Units, k: int = KEPT, *, seed: int = 0, reporter: Reporter | None = None) -> Sketched:
    """The k most similar tasks of each task, nearly always the right ones; S of those that are found is exact."""
    report = reporter or Silent()
    n = len(units)
    report.phase("sketch tasks", 1)
    sketched = sketch(units, seed=seed)
    report.advance()
    report.phase("search", 1)
    candidates = search(sketched, min(max(CANDIDATES, k + k // 2), n - 1), seed=seed)
    report.advance()
    found = _reranked(units, candidates, sketched, min(k + MARGIN, n - 1), report)
    tasks, similarity, rechecked = settled(units, *found.taken(), k, complete=False)
    tasks = tasks.astype(np.int32)
    some = np.random.default_rng([seed, 1]).permutation(n)[: min(MEASURED, n)]
    truth = similarity_to_all(units, some)
    truth[np.arange(len(some)), some] = np.nan
    mean, deviation = float(np.nanmean(truth)), float(np.nanstd(truth))
    truth[np.arange(len(some)), some] = -np.inf
    top = min(RECALL_AT, k)
    right = best_first(truth)[:, :top]
    hits = sum(len(set(a) & set(b)) for a, b in zip(right.tolist(), tasks[some, :top].tolist(), strict=True))
    best = Nearest(tasks=tasks, similarity=similarity, mean=mean, deviation=deviation, rechecked=rechecked)
    return Sketched(nearest=best, recall=hits / right.size, measured=len(some))


def sketch(units: Units, *, dimensions: int = DIMENSIONS, seed: int = 0) -> np.ndarray:
    """The tasks on the leading principal axes of some of them, (N, d) float32."""
    from sklearn.utils.extmath import randomized_svd

    n = len(units)
    some = np.sort(np.random.default_rng([seed, 0]).permutation(n)[: min(SAMPLE, n)])
    axes = randomized_svd(
        units.rows(some), min(dimensions, len(some), units.raw.shape[1]), n_iter=2, random_state=seed
    )[2]
    made = np.empty((n, len(axes)), np.float32)
    room = np.empty((units.block_rows, units.raw.shape[1]), np.float32)
    for block in units.blocks():
        made[block] = units.rows(block, room) @ axes.T
    return made


def search(sketched: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """The nearest of each task in the sketch (N, d), nearly all of them right: (N, count), without the task itself."""
    from pynndescent import NNDescent

    index = NNDescent(sketched, metric="cosine", n_neighbors=count + 1, random_state=seed, low_memory=True)
    found = index.neighbor_graph[0]
    own = found == np.arange(len(found))[:, None]
    own[~own.any(1), -1] = True  # where it does not find itself, the farthest goes
    return found[~own].reshape(len(found), count)


def similarity_to_all(units: Units, some: np.ndarray) -> np.ndarray:
    """S of some tasks to all in float32, (b, N)."""
    first, room = units.rows(some), np.empty((units.block_rows, units.raw.shape[1]), np.float32)
    result = np.empty((len(some), len(units)), np.float32)
    for block in units.blocks():
        result[:, block] = similarities(units, some, first @ units.rows(block, room).T, block)
    return result


def _reranked(units: Units, candidates: np.ndarray, sketched: np.ndarray, count: int, report: Reporter) -> Best:
    """The best of each task among the candidates of it and of its neighbourhood, by S in float32.

    The neighbours of neighbours are the same tasks again, so that a product of blocks reads far fewer vectors than the
    pairs one by one would.
    """
    n = len(units)
    near = _neighbourhoods(sketched)
    best = Best(n, count)
    rooms = [np.empty((units.block_rows, units.raw.shape[1]), np.float32) for _ in range(2)]
    most = min(TOGETHER, units.block_rows)
    parts = [part for group in near for part in np.array_split(group, -(-len(group) // most))]
    report.phase("compare candidates", len(parts))
    for part in parts:
        first = units.rows(part, rooms[0])
        others = np.union1d(part, candidates[part])
        for start in range(0, len(others), units.block_rows):
            some = others[start : start + units.block_rows]
            strip = similarities(units, part, first @ units.rows(some, rooms[1]).T, some)
            strip[part[:, None] == some] = -np.inf
            best.offer(part, some, strip)
        report.advance()
    return best


def _neighbourhoods(sketched: np.ndarray) -> list[np.ndarray]:
    """The tasks by the nearest of n / `TOGETHER` of them, evenly drawn: indices of each neighbourhood."""
    n = len(sketched)
    middles = sketched[np.linspace(0, n - 1, max(n // TOGETHER, 1), dtype=int)]
    nearest = np.concatenate([(sketched[start : start + 4096] @ middles.T).argmax(1) for start in range(0, n, 4096)])
    by_middle = np.argsort(nearest, kind="stable")
    return np.split(by_middle, np.flatnonzero(np.diff(nearest[by_middle])) + 1)
