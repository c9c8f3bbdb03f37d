"""What a result means, in one sentence: did the donors' knowledge help, or would anything have?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy import stats

Outcome = Literal["transfer", "helped", "regularisation", "none", "harm", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """π minus a baseline, in points of the metric, with its 95 % interval. ``seeds`` it was measured over."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def positive(self) -> bool:
        return self.low > 0

    @property
    def negative(self) -> bool:
        return self.high < 0

    def __str__(self) -> str:
        words = f"{self.mean:+.1f} points (95 % interval {self.low:+.1f} to {self.high:+.1f})"
        return words.replace("-", "−")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome with a title and an explanation, both for people."""

    outcome: Outcome
    title: str
    text: str


def scores(result: Mapping[str, Any]) -> dict[str, float]:
    """The test score of every method of a result, ``pi`` first."""
    values = {"pi": result.get("score"), **(result.get("baselines") or {})}
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}


def difference(results: Sequence[Mapping[str, Any]], baseline: str) -> Difference | None:
    """π minus ``baseline``, paired by seed; None when no result has both.

    Two or more seeds: Student's t over the seeds' differences. One seed: the run's own paired bootstrap over test
    examples.
    """
    measured = [(scores(result), result) for result in results]
    measured = [(both, result) for both, result in measured if "pi" in both and baseline in both]
    gains = [both["pi"] - both[baseline] for both, _ in measured]
    if not gains:
        return None
    mean, count = sum(gains) / len(gains), len(gains)
    if count == 1:
        paired = (measured[0][1].get("gains") or {}).get(baseline) or {"low": mean, "high": mean}
        return Difference(mean=mean, low=float(paired["low"]), high=float(paired["high"]), seeds=1)
    deviation = math.sqrt(sum((gain - mean) ** 2 for gain in gains) / (count - 1))
    half = float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return Difference(mean=mean, low=mean - half, high=mean + half, seeds=count)


def judge(results: Sequence[Mapping[str, Any]]) -> Verdict:
    """Whether the donors helped, from the comparison with a single expert and with placebo donors."""
    single, placebo = difference(results, "single"), difference(results, "placebo")
    if single is None:
        return Verdict(
            outcome="unknown",
            title="No verdict without a single expert to compare with",
            text="Run again with the baseline “single expert”; only against it can a gain be told.",
        )
    caution = (
        " One seed only: the interval covers the test rows, not which shots were drawn. Add seeds to be sure."
        if single.seeds == 1
        else f" Measured over {single.seeds} seeds."
    )
    if all(result.get("donors") == [] for result in results):
        return Verdict(
            outcome="none",
            title="No donor was expected to help",
            text="By the transfer that this zoo has measured, no expert was expected to help this target, so none was "
            f"mixed in: π-tuning is the single expert.{caution}",
        )
    if all(result.get("chosen") == "single" for result in results):
        return Verdict(
            outcome="none",
            title="The donors were left out",
            text="On held-out shots, the target’s own expert alone did better than any mixture with the donors. "
            f"The guard against harm therefore chose it, and π-tuning equals the single expert.{caution}",
        )
    luck = " (one seed)" if single.seeds == 1 else ""
    against = f"Against a single expert trained on the same shots: {single}."
    if single.negative:
        return Verdict(
            outcome="harm",
            title=f"The donors did harm{luck}",
            text=f"{against} Prefer the single expert here, or other donors.{caution}",
        )
    if not single.positive:
        return Verdict(
            outcome="none",
            title=f"No clear effect{luck}",
            text=f"{against} The interval includes zero: the donors neither clearly helped nor harmed.{caution}",
        )
    if placebo is None:
        return Verdict(
            outcome="helped",
            title=f"It helped; why is open{luck}",
            text=f"{against} Without placebo donors beside it, transfer cannot be told from regularisation.{caution}",
        )
    control = f"Against placebo donors (random parameters of the same size): {placebo}."
    if placebo.positive:
        return Verdict(
            outcome="transfer",
            title=f"Transfer: the donors’ knowledge helped{luck}",
            text=f"{against} {control} Both intervals lie above zero.{caution}",
        )
    return Verdict(
        outcome="regularisation",
        title=f"Regularisation: it helped, but so did placebo{luck}",
        text=f"{against} {control} What helped is having several experts, not what these donors know.{caution}",
    )
