"""Two targets to begin with: one whose relatives helped as measured, and one whose did not. Torch-free."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from pituning.studies.lowshot_scores import PI

ALONE, CHANCE = "single", "placebo"
SHOTS = 16
MOST_LABELS = 4
"""Of such a target: a run on more takes longer than somebody who only looks waits."""


@dataclass(frozen=True, kw_only=True)
class Showcase:
    """What was measured of a target, as means over seeds, in points.

    Args:
        alone: one new expert on the same shots.
        placebo: the same with random parameters of the size of donors, which no relative has a part in.
        tuned: π-tuning.
    """

    target: str
    alone: float
    placebo: float
    tuned: float

    @property
    def margin(self) -> float:
        """What π-tuning has over the better of the two that do without relatives."""
        return self.tuned - max(self.alone, self.placebo)


def showcases(scores: pd.DataFrame, targets: Collection[str]) -> tuple[Showcase | None, Showcase | None]:
    """Of some targets the one with the largest margin, where it is above 0, and the one with the smallest, where not.

    Args:
        scores: of `pituning.studies.lowshot_scores.comparable_scores`.
        targets: that may be chosen; others are left out.
    """
    means = scores[scores["target"].isin(list(targets))].pivot_table(index="target", columns="method", values="score")
    if not {PI, ALONE, CHANCE} <= set(means.columns):
        return None, None
    all_of_them = [
        Showcase(target=str(name), alone=float(row[ALONE]), placebo=float(row[CHANCE]), tuned=float(row[PI]))
        for name, row in means[[PI, ALONE, CHANCE]].dropna().iterrows()
    ]
    ranked = sorted(all_of_them, key=lambda one: (one.margin, one.target))
    best, worst = (ranked[-1], ranked[0]) if ranked else (None, None)
    return (
        best if best is not None and best.margin > 0 else None,
        worst if worst is not None and worst.margin <= 0 else None,
    )
