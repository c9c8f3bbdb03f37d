"""Points that a donor will add, with an interval: a linear fit over measured targets, calibrated on those left out.

Ridge regression of the gains on a gain predictor's features, every target counting the same. Each target is left out in
turn; the penalty is the one whose errors on the targets left out are smallest, and those errors are the spread of a
prediction. As donors of one target are alike, the interval is that of hierarchical conformal prediction (Lee, Barber
and Willett, 2023, "Distribution-free inference with hierarchical data"): targets, not pairs, are exchangeable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pituning.errors import BadInput
from pituning.graph.harm import HARM
from pituning.graph.known import Known, Target
from pituning.graph.predictors.gains import GainRecord
from pituning.registry import load

PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""In units of the features' variance, as they are standardised."""
LEVEL = 0.8
"""How often the interval should hold the gain of a new target's donor."""
LEAST_TARGETS = math.ceil(2 / (1 - LEVEL) - 1e-9) - 1
"""With fewer measured targets no interval of that level is finite."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What M donors are expected to do for a target; NaN of those of which the predictor can say nothing.

    Args:
        gain: (M,) points over a new expert on the same shots.
        low, high: (M,) the interval at `LEVEL`.
        harm: (M,) the probability that the donor costs `HARM` points or more.
    """

    gain: np.ndarray
    low: np.ndarray
    high: np.ndarray
    harm: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A gain predictor that has learned from K targets.

    Args:
        mean: (F,) of the features, and ``scale`` (F,) what they are divided by after it is taken away.
        slope: (F,), ``level`` the prediction at the mean.
        errors: of the targets, each left out in turn: measured less predicted, of all their donors, ascending; and
            ``weights``, which sum to K / (K + 1): the rest is for what is beyond all errors.
        room: points that a share of 1 is worth; 1 where points are learned.
    """

    record: GainRecord
    mean: np.ndarray
    scale: np.ndarray
    slope: np.ndarray
    level: float
    penalty: float
    errors: np.ndarray
    weights: np.ndarray
    room: float

    def expect(self, known: Known, target: Target) -> Expected:
        """What the donors ``known`` will do for a target, be it of another zoo than was learned from."""
        features = load(self.record.path)(known, target)
        gain = (features - self.mean) / self.scale @ self.slope + self.level
        below, above = conformal_bounds(self.errors, self.weights, LEVEL)
        held_back = 1 - self.weights.sum()
        harm = np.array([self.weights[self.errors <= -HARM / self.room - each].sum() + held_back / 2 for each in gain])
        return Expected(
            gain=gain * self.room,
            low=(gain + below) * self.room,
            high=(gain + above) * self.room,
            harm=np.where(np.isfinite(gain), harm, np.nan),
        )


def fit(record: GainRecord, known: Known) -> Fitted:
    """A gain predictor fitted on every measured target of a zoo.

    Raises:
        BadInput: there are fewer than `LEAST_TARGETS` of them.
    """
    targets = np.flatnonzero(known.measured)
    if len(targets) < LEAST_TARGETS:
        raise BadInput(
            f"transfer was measured on {len(targets)} targets; an interval needs {LEAST_TARGETS}: measure more by "
            "pituning study transfer",
            field="target",
        )
    features, responses = [], []
    for k in map(int, targets):
        mine, gains = load(record.path)(known.without(k), known.target(k)), np.delete(known.gains[k], k)
        usable = np.isfinite(gains) & np.isfinite(mine).all(1)
        features.append(mine[usable])
        responses.append(gains[usable] if record.response == "points" else gains[usable] / max(known.room[k], 1.0))
    kept = [k for k, mine in enumerate(features) if len(mine)]
    features, responses = [features[k] for k in kept], [responses[k] for k in kept]
    if len(features) < LEAST_TARGETS:
        raise BadInput(f"{record.name!r} lacks features on all but {len(features)} measured targets; embed the zoo")
    moments = [_moments(*each) for each in zip(features, responses, strict=True)]
    total = np.sum(moments, axis=0)
    left_out = [_ridge(total - mine) for mine in moments]  # of each target, a fit for every penalty
    errors = [
        [y - _predict(x, each) for x, y, each in zip(features, responses, [one[p] for one in left_out], strict=True)]
        for p in range(len(PENALTIES))
    ]
    best = min(range(len(PENALTIES)), key=lambda p: float(np.mean([np.mean(e**2) for e in errors[p]])))
    mean, scale, slope, level = _ridge(total)[best]
    ordered, weights = _pooled(errors[best])
    return Fitted(
        record=record, mean=mean, scale=scale, slope=slope, level=level, penalty=PENALTIES[best], errors=ordered,
        weights=weights, room=1.0 if record.response == "points" else float(np.mean(known.room[targets])),
    )  # fmt: skip


def conformal_bounds(errors: np.ndarray, weights: np.ndarray, level: float) -> tuple[float, float]:
    """The interval of weighted errors, ascending, that leaves (1 − level) / 2 on each side, or is infinite.

    What the weights lack to 1 counts as beyond all errors, on whichever side is asked about.
    """
    tail, held_back = (1 - level) / 2, 1 - weights.sum()
    if held_back > tail + 1e-9:
        return -math.inf, math.inf
    up, down = np.cumsum(weights), np.cumsum(weights[::-1])
    above = errors[min(int(np.searchsorted(up, 1 - tail - 1e-9)), len(errors) - 1)]
    below = errors[::-1][min(int(np.searchsorted(down, 1 - tail - 1e-9)), len(errors) - 1)]
    return float(below), float(above)


def _pooled(errors: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All errors, ascending, and their weights: 1 / (K + 1) for each target, shared by its donors."""
    weights = np.concatenate([np.full(len(each), 1 / ((len(errors) + 1) * len(each))) for each in errors])
    values = np.concatenate(errors)
    order = np.argsort(values, kind="stable")
    return values[order], weights[order]


def _moments(features: np.ndarray, response: np.ndarray) -> np.ndarray:
    """(F + 2, F + 2) mean over a target's donors of the products of 1, features and response."""
    whole = np.column_stack([np.ones(len(features)), features, response])
    return whole.T @ whole / len(whole)


Line = tuple[np.ndarray, np.ndarray, np.ndarray, float]


def _ridge(moments: np.ndarray) -> list[Line]:
    """For every penalty mean, scale and slope (F,) of the features and the level, from summed moments."""
    moments = moments / moments[0, 0]
    means = moments[0, 1:]
    covariance = moments[1:, 1:] - np.outer(means, means)
    mean, level = means[:-1], float(means[-1])
    deviation = np.sqrt(np.maximum(np.diag(covariance)[:-1], 0))
    varied = deviation > 1e-9
    scale = np.where(varied, deviation, 1.0)
    with_response = np.where(varied, covariance[:-1, -1] / scale, 0.0)
    within = np.where(np.outer(varied, varied), covariance[:-1, :-1] / np.outer(scale, scale), 0.0)
    identity = np.eye(len(scale))
    return [(mean, scale, np.linalg.solve(within + penalty * identity, with_response), level) for penalty in PENALTIES]


def _predict(features: np.ndarray, line: Line) -> np.ndarray:
    mean, scale, slope, level = line
    return (features - mean) / scale @ slope + level
