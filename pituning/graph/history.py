"""Who helped tasks like this one: a similarity together with what donors were measured to do for other targets.

A similarity sees a pair of tasks and nothing else. What a donor did for tasks like the target it may do again, though,
be it help or harm. This is what a zoo with measured transfer can add for a new target, of which nothing was measured:
the nearest-neighbour rule of collaborative filtering.
"""

from __future__ import annotations

import numpy as np
from scipy import stats


def with_history(similarity: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """How much each donor is expected to help each target, judged without any measurement of the target.

    For target i, donor j has the mean place r_kj that it took for the other targets k, weighted by softmax_k z_ik,
    where z_i are the similarities of i in standard deviations from their mean. Places run from −½ (the worst donor of
    k) to ½ (the best); i itself is not a donor there. The result is that history, standardised in the same way, plus
    z_ij.

    Args:
        similarity: S (N, N).
        gains: (N, N), points that donor j added to target i; NaN where not measured, and on the diagonal.

    Returns:
        (N, N) float64, 0 on the diagonal; where no other target was measured, the similarity alone.
    """
    n = len(gains)
    combined = np.zeros((n, n))
    for i in range(n):
        others = [k for k in range(n) if k != i]
        alike = _standardised(similarity[i, others])
        places = np.array([_places(gains[k, others]) for k in others]).reshape(len(others), len(others))
        weights = np.exp(alike)[:, None] * np.isfinite(places)
        total = weights.sum(0)
        history = (weights * np.nan_to_num(places)).sum(0) / np.where(total > 0, total, 1)
        combined[i, others] = alike + _standardised(history)
    return combined


def _places(gains: np.ndarray) -> np.ndarray:
    """(M,) places of the donors of one target in [−½, ½], ties in the middle; NaN where not measured."""
    known = np.isfinite(gains)
    places = np.full(len(gains), np.nan)
    if known.sum() > 1:
        places[known] = (stats.rankdata(gains[known]) - 1) / (known.sum() - 1) - 0.5
    return places


def _standardised(values: np.ndarray) -> np.ndarray:
    """Values in standard deviations from their mean; zeros where they are all alike."""
    deviation = values.std() if values.size else 0.0
    return (values - values.mean()) / deviation if deviation > 1e-12 else np.zeros_like(values, dtype=float)
