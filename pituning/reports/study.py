"""Draws the low-shot study: what π-tuning gains over another method on every target, and how all methods did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pituning.errors import ArtefactError
from pituning.experts.kinds import KINDS
from pituning.figures.lowshot import gains_figure
from pituning.figures.palette import method_label
from pituning.graph.info import NodeInfo
from pituning.registry import unknown
from pituning.reports.drawn import Drawn, File, Panel, Table
from pituning.reports.reader import Reader
from pituning.studies.lowshot_scores import (
    PI,
    Estimate,
    mean_score,
    paired_differences,
    paired_gain,
)
from pituning.studies.lowshot_tables import COMPARED
from pituning.tasks.guessing import guess_rows
from pituning.tasks.metrics import Guessing
from pituning.tuning.config import CONTROLS, MIXTURE
from pituning.workspace.lowshot import lowshot_csv, measured_shots, usual_shots
from pituning.workspace.shots import shots_name

REPORTED = (PI, MIXTURE, *COMPARED, *(f"pi-{control}" for control in CONTROLS))
"""In the order of the table."""
AS_IS = "untouched"
USUAL = "single"
"""What π-tuning is compared with where nothing was chosen."""


def comparisons(scores: pd.DataFrame) -> tuple[str, list[str]]:
    """The method that the study is about, and those it can be compared with, the usual one first.

    It is π-tuning; before all its candidates were measured its mixture alone; without shots the donors as they are.
    """
    measured = set(scores["method"])
    ours = next((name for name in (PI, MIXTURE) if name in measured), AS_IS)
    others = [name for name in COMPARED if name in measured and name != ours and ours in measured]
    return ours, sorted(others, key=lambda name: name != USUAL)


def gains_by_target(
    scores: pd.DataFrame, over: str, infos: Mapping[str, NodeInfo], *, chosen: str | None = None, dark: bool = False
) -> go.Figure:
    """The figure of `comparisons`' method over one of the others.

    Raises:
        ValueError: when they were never measured on the same shots.
    """
    ours, _ = comparisons(scores)
    gains, mean_gain = paired_differences(scores, ours, over), paired_gain(scores, ours, over)
    if mean_gain is None:
        raise ValueError(f"{ours} and {over} were never measured on the same shots")
    return gains_figure(
        {str(key): part.tolist() for key, part in gains.groupby(level="target")}, infos,
        mean=(mean_gain.mean, mean_gain.low, mean_gain.high), names=(method_label(ours), method_label(over)),
        chosen=chosen, dark=dark,
    )  # fmt: skip


def methods_table(scores: pd.DataFrame) -> pd.DataFrame:
    """A row for a method: its score and what π-tuning gains over it, with intervals."""
    known = set(scores["method"])
    ours = PI if PI in known else MIXTURE
    rows: list[dict[str, Any]] = []
    for name in REPORTED:
        mean = mean_score(scores, name) if name in known else None
        if mean is not None:
            gain = None if name == ours else paired_gain(scores, ours, name)
            rows.append(
                {
                    "Method": method_label(name),
                    "Score": _text(mean, ".1f"),
                    "π gains": None if gain is None else _text(gain, "+.1f"),
                    "π is better on": None if gain is None else f"{gain.wins} of {len(gain.by_target)}",
                    "Targets": len(mean.by_target),
                    "Seeds": mean.seeds,
                }
            )
    return pd.DataFrame(rows)


def with_guesses(table: pd.DataFrame, guessed: Guessing | None) -> pd.DataFrame:
    """A table of methods and scores with what guessing scores on the same targets below."""
    rows = pd.DataFrame(
        [{"Method": f"{what[:1].upper()}{what[1:]}", "Score": f"{points:.1f}"} for what, points in guess_rows(guessed)]
    )
    return table if rows.empty else pd.concat([table, rows], ignore_index=True)


def draw_study(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """What π-tuning gains on each target; by default over a single expert, at the number of shots at which
    most was measured.

    Raises:
        BadInput: there is no such kind or method, or nobody measured it.
        ArtefactError: nothing has been measured, or the table is damaged.
    """
    kind = KINDS.check(str(settings.get("kind", next(iter(KINDS)))))
    rows = reader.lowshot(kind)
    if rows.empty:
        raise ArtefactError(
            f"the low-shot study has not been made for {kind} experts; make it: pituning study lowshot --kind {kind}"
        )
    counts = measured_shots(rows)
    shots = settings.get("shots", usual_shots(rows))
    if shots not in counts:
        known = ", ".join(map(shots_name, counts))
        raise ArtefactError(f"the low-shot study has no rows at {shots} shots for {kind} experts; choose {known}")
    scores = reader.study_scores(kind, shots)
    ours, others = comparisons(scores)
    if not others:
        raise ArtefactError(
            f"π-tuning has not been compared at {shots_name(shots)} shots yet; go on with: pituning study lowshot"
        )
    over = str(settings.get("over", others[0]))
    if over not in others:
        raise unknown("method", over, others)
    gain = paired_gain(scores, ours, over)
    if gain is None:
        raise ArtefactError(f"{method_label(ours)} and {method_label(over)} were never measured on the same shots")
    name, other, count = method_label(ours), method_label(over), len(gain.by_target)
    seeds = f"{gain.seeds} seed{'s' if gain.seeds > 1 else ''}"
    stem = f"study-{kind}-{shots_name(shots)}-shots"
    infos = reader.tasks()
    guessed = reader.mean_guess(sorted(map(str, scores["target"].unique())))
    means = with_guesses(_means(scores, ours), guessed).fillna("")
    return Drawn(
        title=_found(name, other, gain),
        sentence=f"It is better on {gain.wins} of {count} targets, with "
        f"{f'{shots_name(shots)} shots per class' if shots else 'no shots'} and {seeds}.",
        reading=f"{name} gains {_text(gain, '+.1f')} points over {other[:1].lower()}{other[1:]} and is better on "
        f"{gain.wins} of {count} targets, on the same shots and test examples: "
        f"{shots_name(shots) if shots else 'no'} shots per class, {seeds}. In brackets 95 % intervals over targets and "
        f"seeds. {KINDS[kind].label} experts.{'' if guessed is None else f' To compare: {guessed}.'}",
        panels=(
            Panel(
                figure=lambda dark: gains_by_target(scores, over, infos, dark=dark),
                alt=f"What {name} gains over {other} on each of {count} targets, in points",
                stem=f"{stem}-over-{over}",
            ),
        ),
        tables=(Table(title="All methods, means", frame=means, stem=stem),),
        files=(
            File(
                label="Runs as CSV", name=f"{stem}-runs.csv", mime="text/csv",
                data=lowshot_csv(rows[rows["shots"] == shots]).encode(),
            ),
        ),
    )  # fmt: skip


def _found(name: str, other: str, gain: Estimate) -> str:
    """Whether one method gains over another, over all targets."""
    over = f"{other[:1].lower()}{other[1:]}"
    points = _text(gain, "+.1f")
    if gain.low > 0:
        return f"{name} gains over {over}: {points} points"
    if gain.high < 0:
        return f"{name} loses to {over}: {points} points"
    return f"{name} and {over} cannot be told apart: {points} points"


def _means(scores: pd.DataFrame, ours: str) -> pd.DataFrame:
    """Without intervals, so that it can stand beside the figure."""
    column = "π gains" if ours == PI else "Gain"
    rows = []
    for name in (ours, *(name for name in COMPARED if name != ours)):
        mean, gain = mean_score(scores, name), paired_gain(scores, ours, name)
        if mean is not None and gain is not None:
            ahead = "" if name == ours else f"{gain.mean:+.1f}".replace("-", "−")
            rows.append({"Method": method_label(name), "Score": f"{mean.mean:.1f}", column: ahead})
    return pd.DataFrame(rows)


def _text(estimate: Estimate, form: str) -> str:
    return f"{estimate.mean:{form}} ({estimate.low:{form}} to {estimate.high:{form}})".replace("-", "−")
