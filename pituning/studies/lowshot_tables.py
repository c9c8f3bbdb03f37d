"""Of what the tables of the low-shot study are made: estimates in words, and methods under other settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pituning.figures.palette import method_label
from pituning.studies.lowshot_scores import Estimate, mean_score, paired_gain
from pituning.tuning.config import CONTROLS, MIXTURE, is_trained

COMPARED = (
    "backbone", "single", "full", "bitfit", "donor", "donor-untouched", "untouched", "uniform", "lorahub", *CONTROLS
)  # fmt: skip
"""What π-tuning is compared with, as it is: without a guard of its own."""

OTHERWISE = " otherwise"
"""Marks a method with other settings where both are in one table."""


def plain_otherwise(
    usual: pd.DataFrame, scores: pd.DataFrame, same: Sequence[str] = ()
) -> dict[str, dict[str, Any] | None]:
    """By method the ``gain`` and the ``mixture_gain`` of `otherwise`."""
    return {
        name: {"gain": plain(gain, gains=True), "mixture_gain": plain(over, gains=True)}
        for name, gain, over in otherwise(usual, scores, same)
    }


def otherwise(
    usual: pd.DataFrame, scores: pd.DataFrame, same: Sequence[str] = ()
) -> list[tuple[str, Estimate | None, Estimate | None]]:
    """Each trained method's gain over itself with usual settings, and the mixture's over it without them.

    Args:
        same: methods whose rows are the usual ones: they gain nothing over themselves.
    """
    both = pd.concat([scores.assign(method=scores["method"] + OTHERWISE), usual])
    return [
        (
            name,
            None if name in same else paired_gain(both, name + OTHERWISE, name),
            None if name == MIXTURE else paired_gain(scores, MIXTURE, name),
        )
        for name in (MIXTURE, *COMPARED)
        if is_trained(name) and name in set(scores["method"])
    ]


def other_table(usual: pd.DataFrame, scores: pd.DataFrame, gained: str, usually: str, same: Sequence[str] = ()) -> str:
    """The same in words, and what the mixture gains over each method with usual settings, where both were measured.

    Args:
        gained: the head of the column of gains.
        usually: of the last one.
    """
    before_it = usual.merge(scores[["target", "seed", "method"]], on=["target", "seed", "method"])
    rows = []
    for name, gain, over in otherwise(usual, scores, same):
        compared = gain or over
        where = "–" if compared is None else f"{len(compared.by_target)}, {compared.seeds}"
        before = None if over is None else paired_gain(before_it, MIXTURE, name)
        rows.append(
            [method_label(name), where, gain_and_interval(gain), gain_and_interval(over), gain_and_interval(before)]
        )
    return table(["method", "targets, seeds", gained, "mixture gains over it", usually], rows)


ACROSS = ("single", "full", "placebo")
"""What the mixture is compared with at every number of shots, and with every kind of experts."""


def across_table(head: str, measured: Mapping[str, pd.DataFrame]) -> str:
    """Scores of the mixture and of what it is compared with, and what it gains, in a row for each of several studies.

    Args:
        head: of the first column.
        measured: scores by what stands there.
    """
    shown = (*ACROSS[:2], MIXTURE, *ACROSS[2:])
    header = [head, "targets, seeds", *map(method_label, shown), *(f"mixture − {name}" for name in ACROSS)]
    rows = []
    for name, scores in measured.items():
        ours = scores[scores["method"] == MIXTURE]
        seeds = ours.groupby("target")["seed"].nunique()
        means = [mean_score(scores, method) for method in shown]
        gains = [paired_gain(scores, MIXTURE, method) for method in ACROSS]
        rows.append([
            name, f"{len(seeds)}, {seeds.max() if len(seeds) else 0}",
            *("–" if mean is None else f"{mean.mean:.1f}" for mean in means), *map(gain_and_interval, gains),
        ])  # fmt: skip
    return table(header, rows)


def plain_across(measured: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """What the mixture gains over each of `ACROSS`, by what stands in the first column."""
    return {
        name: known({method: plain(paired_gain(scores, MIXTURE, method), gains=True) for method in ACROSS})
        for name, scores in measured.items()
    }


def plain(estimate: Estimate | None, *, gains: bool = False) -> dict[str, Any] | None:
    """An estimate as JSON has it.

    Args:
        gains: it is of gains: with how many targets won, and the worst.
    """
    if estimate is None:
        return None
    figures: dict[str, Any] = {name: round(getattr(estimate, name), 4) for name in ("mean", "low", "high")}
    figures |= {"targets": len(estimate.by_target), "seeds": estimate.seeds}
    if gains:
        figures |= {"wins": estimate.wins, "worst": round(estimate.worst[1], 4), "worst_target": estimate.worst[0]}
    return figures


def known(figures: dict[str, dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """Those that there are."""
    return {name: value for name, value in figures.items() if value is not None}


def mean_and_interval(estimate: Estimate | None) -> str:
    """A score in words."""
    return "–" if estimate is None else f"{estimate.mean:.1f} ({estimate.low:.1f} to {estimate.high:.1f})"


def gain_and_interval(estimate: Estimate | None) -> str:
    """A gain in words, with its sign."""
    return "–" if estimate is None else f"{estimate.mean:+.1f} ({estimate.low:+.1f} to {estimate.high:+.1f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
