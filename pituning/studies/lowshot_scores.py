"""Scores of the low-shot study, the guarded methods included, and the paired gains of one over another. Torch-free.

What is measured is unguarded. A guarded method is the candidate that `pituning tune` would choose by the held-out
losses (`pituning.tuning.config.guard`), so nothing is trained for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pituning.tuning.config import CANDIDATES, CONTROLS, MIXTURE, guard

PI = "pi"
FEWER = "pi-fewer"
"""π-tuning without the candidate that the guarded controls lack: the first donor continued."""

GUARDED: Mapping[str, tuple[str, ...]] = {
    PI: CANDIDATES,
    FEWER: (MIXTURE, "single", "untouched"),
    **{f"pi-{control}": (control, "single", f"{control}-untouched") for control in CONTROLS},
}
"""Guarded methods by what each chooses from; a control's mixture takes the place of the predicted donors'."""

RESAMPLES = 2000
"""Bootstrap samples behind each interval."""
TOLERATED = 1.0
"""Points below the single expert that count as no harm."""


def lowshot_scores(frame: pd.DataFrame, shots: int) -> pd.DataFrame:
    """One row per target, seed and method at one number of shots, guarded methods last.

    Args:
        frame: rows as `pituning.workspace.lowshot.read_lowshot` reads them.

    Returns:
        Columns ``target, seed, method, score, chosen``; ``chosen`` is the candidate that a guarded method is, else
        empty. A guarded method is left out where a candidate is missing. The backbone alone was measured once and
        stands for every seed.
    """
    rows = frame[(frame["shots"] == shots) & (frame["method"] != "backbone")]
    pairs = rows[["target", "seed"]].drop_duplicates()
    alone = frame.loc[(frame["shots"] == 0) & (frame["method"] == "backbone"), ["target", "method", "score"]]
    if shots == 0:
        pairs = frame.loc[frame["shots"] == 0, ["target", "seed"]].drop_duplicates()
    columns = ["target", "seed", "method", "score", "chosen"]
    parts = [alone.merge(pairs, on="target"), rows]
    frames = [part.assign(chosen="")[columns] for part in parts]
    scores = rows.pivot(index=["target", "seed"], columns="method", values="score")
    losses = rows.pivot(index=["target", "seed"], columns="method", values="held_out_loss")
    counts = rows.groupby(["target", "seed"])["held_out"].max()
    for method, candidates in GUARDED.items():
        if not set(candidates) <= set(scores.columns) or shots == 0:
            continue
        made: list[tuple[Any, ...]] = []
        for place in scores[list(candidates)].dropna().index:
            held, points = losses.loc[place], scores.loc[place]
            known = {name: None if np.isnan(held[name]) else float(held[name]) for name in candidates}
            chosen = guard(known, int(counts.loc[place]))
            made.append((*place, method, points[chosen], chosen))
        frames.append(pd.DataFrame(made, columns=columns))
    return pd.concat(frames, ignore_index=True)


def comparable_scores(frame: pd.DataFrame, shots: int) -> pd.DataFrame:
    """`lowshot_scores` on the targets and seeds that π-tuning has."""
    scores = lowshot_scores(frame, shots)
    return comparable(scores, scores)


def comparable(frame: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``frame`` on the targets and seeds that π-tuning has in ``scores``; all of them where it has none.

    In a table that is not complete yet, methods would otherwise be averaged over different targets and seeds.
    """
    places = scores.loc[scores["method"] == PI, ["target", "seed"]]
    return frame if places.empty else frame.merge(places, on=["target", "seed"])


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over targets of means over seeds, in points, with its 95 % interval.

    Args:
        by_target: the mean over seeds of each target.
        seeds: how many seeds each target has at least.
    """

    mean: float
    low: float
    high: float
    by_target: Mapping[str, float]
    seeds: int

    @property
    def wins(self) -> int:
        """Targets whose mean is above 0."""
        return sum(value > 0 for value in self.by_target.values())

    @property
    def harmless(self) -> int:
        """Targets whose mean is at least −1."""
        return sum(value >= -TOLERATED for value in self.by_target.values())

    @property
    def worst(self) -> tuple[str, float]:
        """The target with the smallest mean."""
        return min(self.by_target.items(), key=lambda item: item[1])


def mean_score(scores: pd.DataFrame, method: str) -> Estimate | None:
    """The score of a method; None where it was not measured."""
    values = _values(scores, method)
    return _estimate(values) if len(values) else None


def paired_gain(scores: pd.DataFrame, method: str, over: str) -> Estimate | None:
    """What a method gains over another on the targets and seeds that both have; None where there are none."""
    difference = paired_differences(scores, method, over)
    return _estimate(difference) if len(difference) else None


def paired_differences(scores: pd.DataFrame, method: str, over: str) -> pd.Series:
    """What a method gains over another, by target and seed, where both were measured."""
    return (_values(scores, method) - _values(scores, over)).dropna()


def two_level_bootstrap(values: Sequence[np.ndarray], *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a mean over targets of means over seeds.

    Targets are drawn with replacement and then, within each that was drawn, its seeds: both could have been others
    (Davison and Hinkley, 1997, section 3.8).

    Args:
        values: for each target its seeds' values, (seeds,).
    """
    counts = np.array([len(each) for each in values])
    padded = np.zeros((len(values), counts.max()))
    for row, each in zip(padded, values, strict=True):
        row[: len(each)] = each
    rng = np.random.default_rng([seed, len(values)])
    targets = rng.integers(0, len(values), (RESAMPLES, len(values)))  # (R, T)
    drawn = (rng.random((*targets.shape, padded.shape[1])) * counts[targets][..., None]).astype(int)  # (R, T, S)
    taken = np.arange(padded.shape[1]) < counts[targets][..., None]
    means = (padded[targets[..., None], drawn] * taken).sum(axis=2) / counts[targets]
    low, high = np.percentile(means.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _values(scores: pd.DataFrame, method: str) -> pd.Series:
    rows = scores[scores["method"] == method]
    return rows.set_index(["target", "seed"])["score"]


def _estimate(values: pd.Series) -> Estimate:
    groups = {str(name): part.to_numpy(dtype=float) for name, part in values.groupby(level="target")}
    means = {name: float(part.mean()) for name, part in groups.items()}
    low, high = two_level_bootstrap(list(groups.values()))
    return Estimate(
        mean=float(np.mean(list(means.values()))),
        low=low,
        high=high,
        by_target=means,
        seeds=min(len(part) for part in groups.values()),
    )
