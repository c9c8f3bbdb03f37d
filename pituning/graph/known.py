"""What is known of a zoo and a target before anything is trained on it: similarities, form, measured gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target as its M donors are seen from it.

    Args:
        similarities: by predictor, (M,), any scale; NaN for a donor that it does not know.
        alike: by aspect (modality, metric, form of the answer), (M,) bool, whether the donor has the target's.
    """

    similarities: Mapping[str, np.ndarray]
    alike: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Known:
    """The M tasks of a zoo that are donors of a target, and what they did for one another.

    Args:
        similarities: by predictor, (M, M); row i is how similar the donors are to task i.
        alike: by aspect, (M, M) bool.
        gains: (M, M), points that donor j added to target i; NaN where not measured, and on the diagonal.
        room: (M,) points between what target i scores without a donor and a perfect score; NaN where not measured.
    """

    similarities: Mapping[str, np.ndarray]
    alike: Mapping[str, np.ndarray]
    gains: np.ndarray
    room: np.ndarray

    def __len__(self) -> int:
        return len(self.gains)

    def target(self, i: int) -> Target:
        """Task i as a target of the others: what `without` i knows nothing of but this."""
        return Target(
            similarities={name: np.delete(matrix[i], i) for name, matrix in self.similarities.items()},
            alike={name: np.delete(matrix[i], i) for name, matrix in self.alike.items()},
        )

    def without(self, i: int) -> Known:
        """The same without task i, neither as a target nor as a donor."""
        kept = np.delete(np.arange(len(self)), i)
        square = np.ix_(kept, kept)
        return Known(
            similarities={name: matrix[square] for name, matrix in self.similarities.items()},
            alike={name: matrix[square] for name, matrix in self.alike.items()},
            gains=self.gains[square],
            room=self.room[kept],
        )

    @property
    def measured(self) -> np.ndarray:
        """(M,) bool, the tasks that were targets of two donors or more."""
        return np.isfinite(self.gains).sum(1) > 1

    @cached_property
    def places(self) -> np.ndarray:
        """(M, M) `places` of the gains of each target."""
        return places(self.gains)


def places(values: np.ndarray) -> np.ndarray:
    """Places within each row (..., M): −½ the smallest, ½ the largest, ties in the middle; NaN where a value is NaN."""
    known = np.isfinite(values)
    ranks = stats.rankdata(np.where(known, values, np.inf), axis=-1)  # those that are not known come last
    many = known.sum(-1, keepdims=True)
    return np.where(known & (many > 1), (ranks - 1) / np.maximum(many - 1, 1) - 0.5, np.nan)


def standardised(values: np.ndarray) -> np.ndarray:
    """(M,) in standard deviations from the mean; zeros where all are alike. NaN stays so and counts for nothing."""
    known = values[np.isfinite(values)]
    deviation = known.std() if known.size else 0.0
    if deviation > 1e-12:
        return (values - known.mean()) / deviation
    return np.where(np.isfinite(values), 0.0, np.nan)
