"""The predictors of gains: what a donor will add to a target's score, in points, one record each. Free of NumPy.

A similarity is a number without a scale. A gain predictor learns from the measured transfer of a zoo what it is worth:
`pituning.graph.calibrated` fits it and gives the interval. docs/architecture.md tells how to add one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pituning.registry import Registry

HISTORY = "history"
EXPECTED = "expected"
"""The gain predictor that pages and runs ask."""


@dataclass(frozen=True, kw_only=True)
class GainRecord:
    """A predictor of gains.

    Args:
        name: what programs call it.
        label: what people read.
        help: one sentence for people.
        path: of a function that takes what is `Known` of a zoo of M donors and a `Target` and gives features (M, F) of
            the donors; NaN for one of which it can say nothing. It never sees the target's own measurements.
        response: what is learned: the gain in ``points``, or its ``share`` of the room that is left to the target.
    """

    name: str
    label: str
    help: str
    path: str
    response: Literal["points", "share"] = "points"


GAIN_PREDICTORS: Registry[GainRecord] = Registry(
    "gain predictor",
    [
        GainRecord(
            name=HISTORY,
            label="History",
            help="The default similarity, and what donors did for the tasks that are most similar to the target.",
            path="pituning.graph.predictors.history:features",
        ),
        GainRecord(
            name=EXPECTED,
            label="Expected gain",
            help="All similarities, what donors did for other tasks, and whether modality, metric and answers agree.",
            path="pituning.graph.predictors.expected:features",
        ),
        GainRecord(
            name="expected-share",
            label="Expected share",
            help="The same, learned on the share of the room left to each target.",
            path="pituning.graph.predictors.expected:features",
            response="share",
        ),
    ],
    group="pituning.gain_predictors",
)
