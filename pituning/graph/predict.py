"""Whose experts will help: the most similar tasks of a zoo, each with its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pituning.errors import BadInput
from pituning.graph.similarity import rank
from pituning.registry import unknown


@dataclass(frozen=True, kw_only=True)
class Neighbor:
    """A task of the zoo as seen from another.

    Args:
        task: its name.
        similarity: S of the two.
        rank: 1 for the most similar.
        confidence: the share of bootstrap replicates in which it is among the k most similar, in [0, 1]; None without
            replicates.
        low: 2.5th percentile of the similarity over the replicates, or None.
        high: 97.5th percentile, or None.
    """

    task: str
    similarity: float
    rank: int
    confidence: float | None = None
    low: float | None = None
    high: float | None = None


def plain_neighbor(neighbor: Neighbor) -> dict[str, Any]:
    """A neighbour as plain JSON, with six decimals."""
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(neighbor).items()}


def neighbors(
    similarity: np.ndarray, names: Sequence[str], task: str, k: int = 3, *, replicates: np.ndarray | None = None
) -> list[Neighbor]:
    """The k tasks of the zoo that are most similar to one of them, best first.

    Args:
        similarity: S, (N, N).
        names: the tasks in the order of rows and columns.
        task: whose neighbours.
        k: how many, 1 to N - 1.
        replicates: bootstrap replicates of S, (R, N, N).

    Raises:
        BadInput: when the task is not among the names or ``k`` is out of range.
    """
    if task not in names:
        raise unknown("task", task, list(names))
    i = list(names).index(task)
    others = [j for j in range(len(names)) if j != i]
    return most_similar(
        similarity[i, others],
        [names[j] for j in others],
        k,
        replicates=replicates[:, i, others] if replicates is not None else None,
    )


def most_similar(
    similarity: np.ndarray, names: Sequence[str], k: int = 3, *, replicates: np.ndarray | None = None
) -> list[Neighbor]:
    """The k most similar of the tasks ``names``, best first; ties go by order.

    Args:
        similarity: of a target, which is not among the names, to each of them, (N,).
        replicates: bootstrap replicates of ``similarity``, (R, N).

    Raises:
        BadInput: when ``k`` is out of range.
    """
    if not 1 <= k <= len(names):
        raise BadInput(f"k is {k}; choose 1 to {len(names)}, as many as there are other tasks", field="k")
    order = np.argsort(-similarity, kind="stable")
    if replicates is None or len(replicates) == 0:
        return [
            Neighbor(task=names[j], similarity=float(similarity[j]), rank=position)
            for position, j in enumerate(order[:k], start=1)
        ]
    places = np.argsort(np.argsort(-replicates, axis=1, kind="stable"), axis=1, kind="stable")  # (R, N), 0 is best
    confidence = (places < k).mean(0)
    low, high = np.percentile(replicates, [2.5, 97.5], axis=0)
    return [
        Neighbor(
            task=names[j],
            similarity=float(similarity[j]),
            rank=position,
            confidence=float(confidence[j]),
            low=float(low[j]),
            high=float(high[j]),
        )
        for position, j in enumerate(order[:k], start=1)
    ]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a similarity finds planted families.

    Args:
        auc: the probability that a related pair is more similar than an unrelated one (ties count half); None when
            all pairs are related or none is.
        top: how many tasks were looked at for each task.
        found: for each task that has relatives, how many of them are among its ``top`` most similar.
        possible: for each of these tasks, how many could be: its relatives, at most ``top``.
    """

    auc: float | None
    top: int
    found: dict[str, int]
    possible: dict[str, int]

    @property
    def share(self) -> float:
        """Found over possible, in [0, 1]; 0 when no task has relatives."""
        total = sum(self.possible.values())
        return sum(self.found.values()) / total if total else 0.0


def agreement(
    similarity: np.ndarray, names: Sequence[str], families: Sequence[Sequence[str]], *, top: int = 3
) -> Agreement:
    """Grades S (N, N) against planted families: two tasks are related when they share one.

    Args:
        families: the families of each task, in the order of ``names``.
    """
    if len(families) != len(names) or similarity.shape != (len(names), len(names)):
        raise BadInput(
            f"{len(names)} names, {len(families)} lists of families, S of shape {similarity.shape}: give one per task"
        )
    n = len(names)
    sets = [set(own) for own in families]
    related = np.array([[i != j and bool(sets[i] & sets[j]) for j in range(n)] for i in range(n)], dtype=bool)
    pairs = np.triu_indices(n, k=1)
    ranks = rank(similarity)
    near = related & (ranks >= 1) & (ranks <= top)
    with_relatives = [i for i in range(n) if related[i].any()]
    return Agreement(
        auc=_auc(similarity[pairs], related[pairs]),
        top=top,
        found={names[i]: int(near[i].sum()) for i in with_relatives},
        possible={names[i]: min(int(related[i].sum()), top) for i in with_relatives},
    )


def _auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve by the Mann-Whitney statistic."""
    yes, no = scores[positive], np.sort(scores[~positive])
    if yes.size == 0 or no.size == 0:
        return None
    below = np.searchsorted(no, yes, side="left")
    not_above = np.searchsorted(no, yes, side="right")
    return float((below + not_above).sum() / (2 * yes.size * no.size))
