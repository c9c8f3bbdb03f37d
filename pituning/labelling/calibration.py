"""How far a probability can be trusted: temperature scaling, reliability curves and ECE. Torch-free.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017): one number T, fitted on labelled rows that were not
trained on, divides the log scores of all labels. The most likely label stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pituning.errors import BadInput

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures beyond these say that the rows were too few, not that a model is that wrong about itself."""

USUAL = 0.35
"""How far ln T usually is from 0, which is the prior's standard deviation. With it six honest rows cost 0.01 nats a
row on average on new ones (0.07 without), six rows of a model three times too sure still win 0.33, and a hundred rows
give the same T as without it."""

BINS = 10

MOST_BEYOND_CHANCE = 0.05
"""Expected calibration error, beyond what a perfect model would be measured to have on as many rows, from which on a
percentage would mislead."""

FEWEST = 20
"""Measured rows by which a probability is told as a share of right answers; where fewer had about that probability,
those whose probabilities come next are counted with them."""


def temper(log_scores: np.ndarray, temperature: float) -> np.ndarray:
    """(N, L) log probabilities at a temperature, of log scores (N, L) up to a constant of each row."""
    return log_softmax(np.asarray(log_scores, dtype=np.float64) / temperature, axis=1)


def temperature_loss(log_scores: np.ndarray, gold: np.ndarray, temperature: float) -> float:
    """What `fit_temperature` minimises: the mean cross-entropy in nats, with one further row that could be any label,
    and a normal prior on ln T.

    Without that row a dozen rows that all came out right would say that the model is never wrong, and T would fall to
    nothing; Platt (1999) smooths the targets of his sigmoid for the same reason. Without the prior a few rows of which
    one is sure and wrong would say that nothing is known. Among many rows neither counts.

    Args:
        log_scores: (N, L).
        gold: (N,) which label is right.
    """
    tempered = temper(log_scores, temperature)
    count = len(gold)
    right = tempered[np.arange(count), gold].mean()
    prior = (np.log(temperature) / USUAL) ** 2 / 2
    return float((prior - count * right - tempered.mean()) / (count + 1))


def fit_temperature(log_scores: np.ndarray, gold: np.ndarray) -> float:
    """The T between `COLDEST` and `HOTTEST` with the smallest `temperature_loss`.

    Raises:
        BadInput: there are no rows.
    """
    if len(gold) == 0:
        raise BadInput("a temperature needs labelled rows that were not trained on; there are none")
    found = minimize_scalar(
        lambda logarithm: temperature_loss(log_scores, gold, np.exp(logarithm)),
        bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Bin:
    """The rows whose probability lies in a tenth of 0 to 1.

    Args:
        confidence: their mean probability.
        accuracy: the share of them that is right.
    """

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How far probabilities and shares of right answers agree, on some rows.

    Args:
        ece: expected calibration error, 0 to 1: the mean gap between the two, weighted by rows.
        bins: those that have rows, the least sure first.
    """

    rows: int
    ece: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        bins = [{key: round(value, 4) for key, value in asdict(each).items()} for each in self.bins]
        return {"rows": self.rows, "ece": round(self.ece, 4), "bins": bins}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Reliability:
        """Raises KeyError, TypeError or ValueError for what `to_json` did not write."""
        bins = tuple(Bin(int(b["count"]), float(b["confidence"]), float(b["accuracy"])) for b in document["bins"])
        return cls(int(document["rows"]), float(document["ece"]), bins)


def trusted(temperature: float | None, calibration: Mapping[str, Any] | None) -> Reliability | None:
    """How far the probabilities of an expert can be trusted; None where no percentage may be shown.

    One may be shown where a temperature was fitted on held-out rows, and `FEWEST` others or more say that probabilities
    are off by no more than `MOST_BEYOND_CHANCE` and chance.

    Args:
        temperature: of the expert's card.
        calibration: of the same card.
    """
    if temperature is None:
        return None
    after = measured(calibration, "after")
    if after is None or after.rows < FEWEST or after.ece > MOST_BEYOND_CHANCE + ece_by_chance(after):
        return None
    return after


def ece_by_chance(curve: Reliability) -> float:
    """The expected calibration error that a perfect model would be measured to have on as many rows, on average.

    Of few rows in a bin the share that is right differs from its expectation by chance alone: by the mean absolute
    deviation of a binomial, which De Moivre (1730) gave in closed form.
    """
    return sum(_deviation(each.count, each.confidence) for each in curve.bins) / curve.rows


def _deviation(n: int, p: float) -> float:
    """E |X − np| of X ~ Binomial(n, p): 2 k (1 − p) P(X = k) at k = ⌊np⌋ + 1."""
    if not 0 < p < 1:
        return 0.0
    k = min(math.floor(n * p) + 1, n)
    choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return 2 * k * math.exp(choices + k * math.log(p) + (n - k + 1) * math.log1p(-p))


def measured(calibration: Mapping[str, Any] | None, when: str) -> Reliability | None:
    """What a card says was measured ``before`` or ``after`` calibration; None where it does not say so."""
    try:
        return Reliability.from_json((calibration or {})[when])
    except (KeyError, TypeError, ValueError):
        return None


def right_of_hundred(curve: Reliability, probability: float) -> tuple[int, int]:
    """Of a hundred answers with about this probability, how many are right, and by how many measured rows.

    Args:
        probability: 0 to 1.
    """
    rows, right = 0, 0.0
    for each in sorted(curve.bins, key=lambda one: abs(one.confidence - probability)):
        if rows >= FEWEST:
            break
        rows += each.count
        right += each.count * each.accuracy
    return round(100 * right / rows), rows


def reliability(probabilities: Sequence[float] | np.ndarray, right: Sequence[bool] | np.ndarray) -> Reliability:
    """The curve over `BINS` bins of equal width.

    Args:
        probabilities: (N,) of the answers that were given, 0 to 1.
        right: (N,) whether they were right.
    """
    sure, hit = np.asarray(probabilities, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        Bin(int((place == each).sum()), float(sure[place == each].mean()), float(hit[place == each].mean()))
        for each in range(BINS)
        if (place == each).any()
    ]
    gap = sum(each.count * abs(each.confidence - each.accuracy) for each in bins)
    return Reliability(len(sure), gap / len(sure) if len(sure) else 0.0, tuple(bins))
