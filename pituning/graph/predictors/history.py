"""Who helped tasks like this one: a similarity together with what donors were measured to do for other targets.

A similarity sees a pair of tasks and nothing else. What a donor did for tasks like the target it may do again, though,
be it help or harm. This is what a zoo with measured transfer can add for a new target, of which nothing was measured:
the nearest-neighbour rule of collaborative filtering.
"""

from __future__ import annotations

import numpy as np

from pituning.graph.known import Known, Target, standardised
from pituning.graph.predictors import DEFAULT_PREDICTOR


def features(known: Known, target: Target) -> np.ndarray:
    """(M, 1), how much each donor is expected to help the target.

    Donor j has the mean place r_kj that it took for the tasks k, weighted by softmax_k z_k, where z are the target's
    similarities in standard deviations from their mean. Places run from −½ (the worst donor of k) to ½ (the best). The
    feature is that history, standardised in the same way, plus z_j; where no task was measured, z_j alone.
    """
    alike = standardised(target.similarities[DEFAULT_PREDICTOR])
    history = weighted_mean(known.places, alike)
    return (alike + standardised(np.nan_to_num(history)))[:, None]


def weighted_mean(values: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """(M,) means of (M, M) values over the rows k that have one, weighted by exp z_k; NaN where none has.

    Args:
        alike: z, (M,); a row whose z is NaN counts for nothing.
    """
    weights = np.nan_to_num(np.exp(alike))[:, None] * np.isfinite(values)
    total = weights.sum(0)
    return np.where(total > 0, (weights * np.nan_to_num(values)).sum(0) / np.where(total > 0, total, 1), np.nan)
