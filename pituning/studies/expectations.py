"""What every predictor expects of every pair of a zoo, each target left out of all that is learned. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from pituning.graph.calibrated import LEAST_TARGETS, fit
from pituning.graph.known import Known, Target, standardised
from pituning.graph.predictors import DEFAULT_PREDICTOR
from pituning.graph.predictors.gains import EXPECTED, GAIN_PREDICTORS, HISTORY, GainRecord
from pituning.workspace.layout import DEFAULT_BACKBONE, embedded_data
from pituning.workspace.zoo import Zoo

BASE_RATE = "random"
"""Expects the same of every donor: what a probability of harm must beat."""


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """As `pituning.graph.calibrated.Expected`, of target i and donor j: (N, N), NaN on the diagonal."""

    gain: np.ndarray
    low: np.ndarray
    high: np.ndarray
    harm: np.ndarray


def reference_zoo() -> Zoo | None:
    """The embedded suite's zoo, on which transfer was measured between most tasks; None where no data ship."""
    data = embedded_data()
    return None if data is None else Zoo.at(data / "zoos" / DEFAULT_BACKBONE)


CARRIED = "carried"
"""Expected gain as it was learned on the embedded suite, with nothing fitted on the zoo that it is graded on."""


def expectations(known: Known, elsewhere: Known | None = None) -> dict[str, Expectations]:
    """What each gain predictor expects, and each similarity alone, and nothing at all (`BASE_RATE`); by name.

    Each target's expectations are learned from the other targets. Where these are fewer than `LEAST_TARGETS`,
    similarities, history and base rate are calibrated elsewhere, and expected gain is `CARRIED` alone.

    Args:
        elsewhere: what the embedded suite's zoo knows by the same similarities; None leaves out what would need it.
    """
    few = known.measured.sum() <= LEAST_TARGETS
    if few and elsewhere is None:
        return {}
    learned_from = elsewhere if few else None
    nothing = GainRecord(name=BASE_RATE, label="", help="", path=f"{__name__}:no_features")
    found = {BASE_RATE: _expectations(nothing, known, learned_from)}
    for name in known.similarities:
        alone = GainRecord(name=name, label="", help="", path=f"{__name__}:standardised_similarity")
        calibrated = None if learned_from is None else _by_one(learned_from, name)
        found[name] = _expectations(alone, _by_one(known, name), calibrated)
    if DEFAULT_PREDICTOR in known.similarities:
        learned = [name for name in GAIN_PREDICTORS if not few or name == HISTORY]
        found |= {name: _expectations(GAIN_PREDICTORS[name], known, learned_from) for name in learned}
        if elsewhere is not None:
            found[CARRIED] = _expectations(GAIN_PREDICTORS[EXPECTED], known, elsewhere)
    return found


def no_features(known: Known, _target: Target) -> np.ndarray:
    """(M, 0)."""
    return np.zeros((len(known), 0))


def standardised_similarity(_known: Known, target: Target) -> np.ndarray:
    """(M, 1), in standard deviations from the mean of the target's donors."""
    (values,) = target.similarities.values()
    return standardised(values)[:, None]


def _by_one(known: Known, name: str) -> Known:
    return replace(known, similarities={name: known.similarities[name]})


def _expectations(record: GainRecord, known: Known, learned_from: Known | None) -> Expectations:
    n = len(known)
    filled: Mapping[str, np.ndarray] = {field.name: np.full((n, n), np.nan) for field in fields(Expectations)}
    fitted = None if learned_from is None else fit(record, learned_from)
    for i in range(n):
        others = known.without(i)
        expected = (fitted or fit(record, others)).expect(others, known.target(i))
        for name, matrix in filled.items():
            matrix[i, np.arange(n) != i] = getattr(expected, name)
    return Expectations(**filled)
