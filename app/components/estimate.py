"""How long a run will take: from runs of this workspace where there are any, else from a measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from pituning.runs.records import Run

START_SECONDS = 12.0
PI_SECONDS = 45.0
"""The candidates that π-tuning chooses from: mixture, single expert, best donor, donors untouched."""

METHOD_SECONDS = {"backbone": 3.0, "single": 2.0, "donor": 2.0, "untouched": 2.0, "full": 30.0}
OTHER_METHOD_SECONDS = 15.0
"""One method with its search over learning rates, 80 steps and 1,000 test examples; a candidate is only tested."""

USUAL_STEPS = 80


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds that one run will take; ``measured`` when runs of this workspace say so."""

    seconds: float
    measured: bool


def work(config: Mapping[str, Any], methods: Sequence[str]) -> float:
    """The seconds that a configuration takes on the machine that the constants were measured on."""
    training = sum(METHOD_SECONDS.get(name, OTHER_METHOD_SECONDS) for name in methods) + PI_SECONDS
    steps = config.get("steps")
    scale = float(steps) / USUAL_STEPS if isinstance(steps, int | float) else 1.0
    return START_SECONDS + training * (0.4 + 0.6 * scale)


def estimate(config: Mapping[str, Any], methods: Sequence[str], past: Sequence[Run]) -> Estimate:
    """The time that a run of this configuration will take, scaled by what earlier runs took against expectation."""
    ratios = []
    for run in past:
        elapsed = run.elapsed()
        if run.state == "done" and run.kind == "tune" and elapsed:
            ratios.append(elapsed / work(run.spec.config, run.spec.config.get("baselines") or methods))
    expected = work(config, methods)
    if not ratios:
        return Estimate(seconds=expected, measured=False)
    return Estimate(seconds=expected * median(ratios[:5]), measured=True)
