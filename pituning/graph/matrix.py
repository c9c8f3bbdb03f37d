"""A similarity matrix as people read it: in an order, on a scale, pair by pair, and beside another one.

`order_tasks` puts rows and columns in an order, `on_scale` turns values into ranks or deviations, `view_pair` tells
everything about one pair, and `rank_agreement` says how far two predictors put the same pairs in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from pituning.errors import BadInput
from pituning.graph.info import NodeInfo
from pituning.graph.similarity import rank, standardise

Order = Literal["clustered", "family", "name"]
Scale = Literal["raw", "rank", "row"]

MODALITY_ORDER = ("vision", "language", "vision-language")
REPLICATES = 1000
LEAST_FOR_INTERVAL = 5
"""Fewer tasks leave resamples in which hardly two differ."""


def order_tasks(similarity: np.ndarray, infos: Sequence[NodeInfo], by: Order) -> list[int]:
    """The order of rows and columns, as indices into ``infos``.

    Args:
        similarity: S, (N, N).
        infos: the tasks in the order of rows and columns.
        by: ``clustered`` puts similar tasks side by side; ``family`` groups by modality and in it by the first planted
            family; ``name`` is alphabetical by title.
    """
    _check(similarity, len(infos))
    indices = range(len(infos))
    if by == "clustered":
        return cluster_order(similarity)
    if by == "name":
        return sorted(indices, key=lambda i: (infos[i].title.casefold(), infos[i].name))
    if by == "family":
        return sorted(indices, key=lambda i: _family_key(infos[i]))
    raise BadInput(f"order {by!r} is not known; choose one of {', '.join(get_args(Order))}", field="order")


def _family_key(info: NodeInfo) -> tuple[int, str, int, str, str]:
    known = info.modality in MODALITY_ORDER
    place = MODALITY_ORDER.index(info.modality) if known else len(MODALITY_ORDER)
    family = info.families[0] if info.families else ""
    return place, info.modality, int(not family), family, info.title.casefold()


def cluster_order(similarity: np.ndarray) -> list[int]:
    """Puts similar tasks side by side: average linkage, and of the orders it allows the best (`best_leaf_order`).

    Args:
        similarity: S, (N, N); only its symmetric part counts.
    """
    n = len(similarity)
    if n < 3:
        return list(range(n))
    distance = np.clip(1 - (similarity + similarity.T) / 2, 0, None)
    np.fill_diagonal(distance, 0)
    # Here, because the app starts sooner without.
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    from pituning.graph.leaves import best_leaf_order

    return best_leaf_order(linkage(squareform(distance, checks=False), method="average"), distance)


def on_scale(similarity: np.ndarray, scale: Scale) -> np.ndarray:
    """S (N, N) as it is shown; the diagonal, of which there is nothing to say, is NaN.

    Args:
        scale: ``raw`` leaves values as they are; ``rank`` numbers each row's other tasks, 1 the most similar; ``row``
            gives standard deviations from the row's mean. The last two are not symmetric: read them along rows.
    """
    _check(similarity, len(similarity))
    if scale == "raw":
        shown = similarity.astype(float)
    elif scale == "rank":
        shown = rank(similarity).astype(float)
    elif scale == "row":
        shown = standardise_rows(similarity)
    else:
        raise BadInput(f"scale {scale!r} is not known; choose one of {', '.join(get_args(Scale))}", field="scale")
    shown[np.eye(len(shown), dtype=bool)] = np.nan
    return shown


def standardise_rows(similarity: np.ndarray) -> np.ndarray:
    """Each row of S (N, N) in standard deviations from the mean of its other tasks; 0 on the diagonal."""
    n = len(similarity)
    if n < 2:
        return np.zeros((n, n))
    off = ~np.eye(n, dtype=bool)
    others = similarity[off].reshape(n, n - 1)
    spread = others.std(axis=1, keepdims=True)
    # A row whose tasks are all alike has no scale; rounding noise must not be blown up to one.
    standard = np.zeros((n, n))
    standard[off] = ((others - others.mean(axis=1, keepdims=True)) / np.where(spread > 1e-12, spread, 1)).ravel()
    return standard


@dataclass(frozen=True, kw_only=True)
class PairView:
    """What a similarity says of two tasks, a and b.

    Args:
        similarity: S of the two.
        standardised: in deviations from the zoo's mean pair.
        rank: of b among the tasks most similar to a, 1 the most similar; ``rank_back`` the other way round.
        confidence: the share of bootstrap replicates in which b is among the ``top`` of a; None without replicates.
        confidence_back: the other way round.
        low: 2.5th percentile of S over the replicates, or None; ``high`` the 97.5th.
    """

    similarity: float
    standardised: float
    rank: int
    rank_back: int
    confidence: float | None
    confidence_back: float | None
    low: float | None
    high: float | None


def view_pair(
    similarity: np.ndarray, a: int, b: int, replicates: np.ndarray | None = None, *, top: int = 3
) -> PairView:
    """Everything about the pair of the tasks with indices ``a`` and ``b``.

    Args:
        similarity: S, (N, N).
        replicates: bootstrap replicates of S, (R, N, N).
        top: how many count as near.

    Raises:
        BadInput: when the two are the same or out of range.
    """
    n = len(similarity)
    if a == b or not (0 <= a < n and 0 <= b < n):
        raise BadInput(f"pair {a}, {b} is none of {n} tasks; name two different ones")
    ranks = rank(similarity)
    resampled = replicates is not None and len(replicates) > 0
    low, high = np.percentile(replicates[:, a, b], [2.5, 97.5]) if resampled else (None, None)  # type: ignore[index]
    return PairView(
        similarity=float(similarity[a, b]),
        standardised=float(standardise(similarity)[a, b]),
        rank=int(ranks[a, b]),
        rank_back=int(ranks[b, a]),
        confidence=_share_near(replicates, a, b, top) if resampled else None,  # type: ignore[arg-type]
        confidence_back=_share_near(replicates, b, a, top) if resampled else None,  # type: ignore[arg-type]
        low=None if low is None else float(low),
        high=None if high is None else float(high),
    )


def _share_near(replicates: np.ndarray, a: int, b: int, top: int) -> float:
    """In how many replicates (R, N, N) fewer than ``top`` others are more similar to a than b is; ties by order."""
    row = np.delete(replicates[:, a], a, axis=1)  # (R, N - 1)
    place = b - (b > a)
    value = row[:, place, None]
    before = (row > value).sum(1) + (row[:, :place] == value).sum(1)
    return float((before < top).mean())


@dataclass(frozen=True, kw_only=True)
class RankAgreement:
    """How far two similarities put the same tasks in the same order.

    Args:
        pairs: Spearman's ρ over all pairs of tasks; None where one of the two does not vary.
        targets: the mean over tasks of Spearman's ρ between the two rows of a task.
        pairs_interval: 95 % bootstrap interval over tasks, or None for too few tasks.
        targets_interval: the same for ``targets``.
    """

    pairs: float | None
    targets: float | None
    pairs_interval: tuple[float, float] | None
    targets_interval: tuple[float, float] | None


def rank_agreement(
    first: np.ndarray, second: np.ndarray, *, replicates: int = REPLICATES, seed: int = 0
) -> RankAgreement:
    """Spearman's rank correlation of two similarities of the same tasks, with an interval.

    Tasks, not pairs, are resampled (with replacement; Efron, 1979), since the pairs of one task hang together. A task
    that is drawn twice counts twice; its pair with itself is left out.

    Args:
        first: S, (N, N), symmetric.
        second: S of the same tasks in the same order.
        replicates: how many resamples.
        seed: of the resampling.
    """
    n = len(first)
    _check(first, n)
    _check(second, n)
    if n < 3:
        return RankAgreement(pairs=None, targets=None, pairs_interval=None, targets_interval=None)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates).T  # (N, R)
    weights = np.column_stack([np.ones(n), draws])  # the first column is the whole zoo
    i, j = np.triu_indices(n, k=1)
    over_pairs = weighted_spearman(first[i, j], second[i, j], weights[i] * weights[j])  # (1 + R,)
    rows = np.empty((n, weights.shape[1]))
    for target in range(n):
        others = np.arange(n) != target
        rows[target] = weighted_spearman(first[target, others], second[target, others], weights[others])
    counted = weights * np.isfinite(rows)
    total = counted.sum(0)
    means = np.divide((counted * np.nan_to_num(rows)).sum(0), total, out=np.full_like(total, np.nan), where=total > 0)
    return RankAgreement(
        pairs=_number(over_pairs[0]),
        targets=_number(means[0]),
        pairs_interval=_interval(over_pairs[1:], n),
        targets_interval=_interval(means[1:], n),
    )


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A pair of tasks, i and j, with its place among all pairs in each of two similarities; 1 is the most similar."""

    i: int
    j: int
    first: float
    second: float


def disagreements(first: np.ndarray, second: np.ndarray, k: int = 5) -> list[Disagreement]:
    """The k pairs whose places differ most, of S (N, N) by two predictors; ties share the mean of their places."""
    n = len(first)
    _check(second, n)
    i, j = np.triu_indices(n, k=1)
    if not i.size:
        return []
    everything = np.ones((len(i), 1))
    places = [_midranks(-matrix[i, j], everything)[:, 0] + 0.5 for matrix in (first, second)]
    order = np.argsort(-np.abs(places[0] - places[1]), kind="stable")[:k]
    return [
        Disagreement(i=int(i[p]), j=int(j[p]), first=float(places[0][p]), second=float(places[1][p])) for p in order
    ]


def weighted_spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's ρ of x and y (P,) under each column of weights (P, R): (R,), NaN where one of them does not vary.

    With whole numbers as weights it is the ρ of a sample in which each value is repeated as often; ties share the mean
    of their ranks.
    """
    a, b = _midranks(x, weights), _midranks(y, weights)  # (P, R)
    total = weights.sum(0)
    safe = np.where(total > 0, total, 1)
    a = a - (weights * a).sum(0) / safe
    b = b - (weights * b).sum(0) / safe
    covariance = (weights * a * b).sum(0)
    spread = np.sqrt((weights * a * a).sum(0) * (weights * b * b).sum(0))
    # Ranks are halves of whole numbers: a spread this small is rounding.
    return np.divide(covariance, spread, out=np.full(len(total), np.nan), where=spread > 1e-9)


def _midranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weight below each value and half of that at it, (P, R)."""
    _, group = np.unique(values, return_inverse=True)
    masses = np.zeros((group.max() + 1, weights.shape[1]))
    np.add.at(masses, group, weights)
    return (np.cumsum(masses, axis=0) - masses / 2)[group]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _interval(values: np.ndarray, tasks: int) -> tuple[float, float] | None:
    finite = values[np.isfinite(values)]
    if tasks < LEAST_FOR_INTERVAL or finite.size < 2:
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)


def _check(similarity: np.ndarray, n: int) -> None:
    if similarity.shape != (n, n):
        raise BadInput(f"S has shape {similarity.shape} for {n} tasks; give one row and column per task")
    if not np.isfinite(similarity).all():
        raise BadInput("S holds values that are not finite; compute the similarity again")
