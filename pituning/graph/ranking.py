"""How well a prediction of who helps agrees with what was measured: rank correlation, NDCG, regret, harm.

Everything is asked target by target, as people do: of the donors for this target, were the good ones put first? A
prediction and a measurement of N donors are vectors (N,); larger is better in both. Ties in the measurement are ties;
ties in the prediction are broken by the order of the donors, as where donors are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pituning.errors import BadInput
from pituning.graph.harm import harms

RESAMPLES = 2000
"""Bootstrap samples of the targets behind each interval."""


def spearman(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Spearman's ρ, in [-1, 1]; NaN where one of the two is constant."""
    if _constant(predicted) or _constant(measured):
        return float("nan")
    one, two = (ranks - ranks.mean() for ranks in (stats.rankdata(predicted), stats.rankdata(measured)))
    return float(one @ two / np.sqrt((one @ one) * (two @ two)))


def kendall(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Kendall's τ-b, in [-1, 1]; NaN where one of the two is constant."""
    if _constant(predicted) or _constant(measured):
        return float("nan")
    return float(stats.kendalltau(predicted, measured).statistic)


def ndcg(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Normalised discounted cumulative gain of the predicted order (Järvelin & Kekäläinen, 2002), in (0, 1].

    The gain of a donor is how much better it is than the worst, so a donor that harms counts nothing. NaN where all
    donors are alike.
    """
    gains = measured - measured.min()
    if _constant(measured):
        return float("nan")
    discounts = 1 / np.log2(np.arange(2, len(gains) + 2))
    gained = gains[_order(predicted)] @ discounts
    return float(gained / (np.sort(gains)[::-1] @ discounts))


def regret(predicted: np.ndarray, measured: np.ndarray, k: int) -> float:
    """Points between the best donor and the best of the k that were predicted (Regret@k), at least 0.

    Raises:
        BadInput: when there are fewer than ``k`` donors.
    """
    if not 1 <= k <= len(measured):
        raise BadInput(f"k is {k}; choose 1 to {len(measured)}, as many as there are donors", field="k")
    return float(measured.max() - measured[_order(predicted)[:k]].max())


def auc(predicted: np.ndarray, measured: np.ndarray) -> float:
    """The probability that a donor that harms was put behind one that does not, ties counting half (area under the ROC
    curve). NaN where all of them harm, or none does."""
    harmful = harms(measured)
    behind = _behind(predicted[harmful], predicted[~harmful])
    return float(behind.mean()) if behind.size else float("nan")


MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": spearman,
    "kendall": kendall,
    "ndcg": ndcg,
    "regret1": lambda predicted, measured: regret(predicted, measured, 1),
    "regret3": lambda predicted, measured: regret(predicted, measured, min(3, len(measured))),
    "auc": auc,
}
"""What an order of the donors is graded by, per target."""

CALIBRATION = ("brier", "coverage")
"""What an `Expected` gain is graded by beside its order, per target."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over targets and its 95 % bootstrap interval; ``targets`` is how many could be graded."""

    mean: float
    low: float
    high: float
    targets: int


def grade_targets(
    predicted: np.ndarray,
    measured: np.ndarray,
    *,
    pairs: np.ndarray | None = None,
    measures: Iterable[str] = tuple(MEASURES),
) -> dict[str, np.ndarray]:
    """Every measure for every target.

    Args:
        predicted: (N, N), how much donor j is expected to help target i.
        measured: (N, N), how much it did; NaN where it was not measured, and on the diagonal.
        pairs: (N, N) bool, which pairs count, for example those across modalities; all by default.
        measures: of `MEASURES`, all by default.

    Returns:
        For each measure (N,), NaN for a target with fewer than two donors to put in order.

    Raises:
        BadInput: when the shapes differ.
    """
    if predicted.shape != measured.shape or predicted.ndim != 2 or len(predicted) != predicted.shape[1]:
        raise BadInput(
            f"prediction {predicted.shape} and measurement {measured.shape} must be square and of the same size"
        )
    n = len(measured)
    counted = np.isfinite(measured) & ~np.eye(n, dtype=bool)
    if pairs is not None:
        counted &= pairs
    grades = {name: np.full(n, np.nan) for name in measures}
    for i in range(n):
        donors = np.flatnonzero(counted[i])
        if len(donors) >= 2:
            for name, values in grades.items():
                values[i] = MEASURES[name](predicted[i, donors], measured[i, donors])
    return grades


def grade_calibration(
    harm: np.ndarray, low: np.ndarray, high: np.ndarray, measured: np.ndarray, *, pairs: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """For each target (N,) the `CALIBRATION` over its donors: the Brier score (1950) of the probability of harm, and
    the share whose gain the interval holds. NaN where no pair counts.

    Args:
        harm: (N, N) probability that donor j harms target i; NaN where nothing is predicted.
        low, high: (N, N) the interval of the gain.
        measured: (N, N) gains, NaN where not measured.
        pairs: (N, N) bool, which pairs count; all by default.
    """
    counted = np.isfinite(measured) & np.isfinite(harm) & ~np.eye(len(measured), dtype=bool)
    if pairs is not None:
        counted &= pairs
    many = counted.sum(1)
    scores = {"brier": (harm - harms(measured)) ** 2, "coverage": (low <= measured) & (measured <= high)}
    return {
        name: np.where(many > 0, np.where(counted, values, 0).sum(1) / np.maximum(many, 1), np.nan)
        for name, values in scores.items()
    }


def pooled_auc(
    predicted: np.ndarray, measured: np.ndarray, *, pairs: np.ndarray | None = None, seed: int = 0
) -> Interval:
    """`auc` over the donors of all targets together, so that the targets' levels count, too; bootstrapped over targets.

    Args:
        predicted, measured, pairs: as for `grade_targets`.
    """
    n = len(measured)
    counted = np.isfinite(measured) & np.isfinite(predicted) & ~np.eye(n, dtype=bool)
    if pairs is not None:
        counted &= pairs
    harmful = counted & harms(measured)
    fine = counted & ~harmful
    behind = _behind(predicted[harmful], predicted[fine])
    one, other = (np.eye(n)[np.nonzero(which)[0]] for which in (harmful, fine))  # whose donors they are
    wins = one.T @ behind @ other  # (N, N) pairs in the right order, of targets i and k
    totals = np.outer(harmful.sum(1), fine.sum(1))
    targets = np.flatnonzero(counted.any(1))
    if not behind.size:
        return Interval(mean=float("nan"), low=float("nan"), high=float("nan"), targets=0)
    drawn = targets[_resamples(len(targets), seed)]
    times = np.stack([np.bincount(each, minlength=n) for each in drawn]).astype(float)  # (R, N)
    above, below = ((times @ each * times).sum(1) for each in (wins, totals))
    low, high = np.percentile(above[below > 0] / below[below > 0], [2.5, 97.5])
    return Interval(mean=float(behind.mean()), low=float(low), high=float(high), targets=len(targets))


def interval(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Mean of (N,) values per target, NaN left out, with a percentile bootstrap over targets (Efron, 1979)."""
    values = values[np.isfinite(values)]
    if not values.size:
        return Interval(mean=float("nan"), low=float("nan"), high=float("nan"), targets=0)
    drawn = _resamples(len(values), seed)
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return Interval(mean=float(values.mean()), low=float(low), high=float(high), targets=len(values))


def pairs_of_modalities(modalities: Sequence[str]) -> dict[str, np.ndarray]:
    """Which (target, donor) pairs (N, N) are within one modality, across two, and of each two modalities."""
    kinds = np.array(modalities)
    same = kinds[:, None] == kinds[None, :]
    pairs = {"within modalities": same, "across modalities": ~same}
    present = list(dict.fromkeys(modalities))
    for i, one in enumerate(present):
        for other in present[i:]:
            either = (kinds[:, None] == one) & (kinds[None, :] == other)
            pairs[f"{one} and {other}" if one != other else f"{one} alone"] = either | either.T
    return pairs


def _behind(harmful: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """(H, F), 1 where a harmful donor is predicted less than a fine one, ½ where as much."""
    gaps = fine[None, :] - harmful[:, None]
    return (np.sign(gaps) + 1) / 2


def _resamples(targets: int, seed: int) -> np.ndarray:
    """(R, N) which targets are drawn."""
    return np.random.default_rng([seed, targets]).integers(0, targets, (RESAMPLES, targets))


def _order(predicted: np.ndarray) -> np.ndarray:
    return np.argsort(-predicted, kind="stable")


def _constant(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= 1e-12)
