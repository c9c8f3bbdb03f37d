"""Draws measured transfer: what donors did for targets, and whether their similarity predicted it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pituning.errors import ArtefactError
from pituning.figures.transfer import predicted_against_measured, transfer_heatmap
from pituning.figures.words import KINDS, label
from pituning.graph.harm import HARM, harms, points
from pituning.graph.matrix import order_tasks
from pituning.graph.ranking import Interval, grade_targets, interval
from pituning.reports.asked import COLUMN, csv_file, minus, named, source_title, task_of, zoo_of
from pituning.reports.drawn import Drawn, Panel, Table
from pituning.reports.reader import Reader, Zoo
from pituning.tasks.guessing import document
from pituning.workspace.transfer import Transfer

GRADES = {"spearman": "Spearman", "ndcg": "NDCG", "regret1": "Regret@1", "regret3": "Regret@3"}
CLEARLY = 0.5
"""Rank correlation from which an order is called predicted without reserve."""


def _measured(reader: Reader, settings: Mapping[str, Any]) -> tuple[Zoo, Transfer]:
    """Similarities and gains of the same tasks, grouped by family."""
    zoo = zoo_of(reader, settings)
    counts = reader.transfer_shots(zoo.kind)
    if not counts:
        raise ArtefactError(
            f"no transfer has been measured for {zoo.kind} experts; measure it: pituning study transfer "
            f"--kind {zoo.kind}"
        )
    shots = settings.get("shots", counts[-1])
    zoo = zoo.only([zoo.names[i] for i in order_tasks(zoo.matrix, zoo.infos, "family")])
    transfer = reader.transfer(zoo.kind, shots, tuple(zoo.names)) if shots in counts else None
    if transfer is None:
        known = ", ".join(map(str, counts))
        raise ArtefactError(f"no transfer has been measured at {shots} shots for {zoo.kind} experts; choose {known}")
    return zoo, transfer


def _against(transfer: Transfer) -> str:
    base = "the backbone alone" if transfer.shots == 0 else f"a new expert on the same {transfer.shots} shots per class"
    return f"Points above {base}; {transfer.seeds} seed{'s' if transfer.seeds > 1 else ''}."


def draw_transfer(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """What donors did for targets."""
    zoo, transfer = _measured(reader, settings)
    gains = transfer.gains
    known = gains[np.isfinite(gains)]
    titles = [named(info.title) for info in zoo.infos]
    title = "Nothing was measured among these tasks"
    if known.size:
        i, j = np.unravel_index(int(np.nanargmax(gains)), gains.shape)
        title = f"{titles[j]} helped {titles[i]} most: {points(float(gains[i, j]))}"
        if gains[i, j] <= 0:
            title = f"No donor helped any target: at best {points(float(gains[i, j]))}"
    stem = f"transfer-{zoo.kind}-{transfer.shots}-shots"
    return Drawn(
        title=title,
        sentence=f"Of {known.size} pairs {_share(known >= HARM)} gained a point or more and {_share(harms(known))} "
        "lost as much; blue helped, orange did harm."
        if known.size
        else "",
        reading=f"A row is a target, a column the donor whose expert it started from. {_against(transfer)} "
        f"{label(KINDS, zoo.kind)} experts.",
        panels=(
            Panel(
                figure=lambda dark: transfer_heatmap(gains, zoo.infos, letters=COLUMN, dark=dark),
                alt=f"Heat map of what {len(zoo.names)} donors do for each of as many targets, in points",
                stem=stem,
            ),
        ),
        files=(csv_file(f"{stem}.csv", _pairs_csv(reader, zoo, transfer)),),
    )


def draw_prediction(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """Similarity against what donors did."""
    zoo, transfer = _measured(reader, settings)
    target = task_of(settings, "task", zoo.names)
    graded = {name: interval(values) for name, values in grade_targets(zoo.matrix, transfer.gains).items()}
    rows = []
    for name, title in GRADES.items():
        got, digits = graded[name], 1 if name.startswith("regret") else 2
        mean, low, high = (minus(f"{value:.{digits}f}") for value in (got.mean, got.low, got.high))
        rows.append({"Measure": title, "Mean": mean, "95 % interval": f"{low} to {high}"})
    rank_correlation, lost = graded["spearman"], graded["regret3"]
    stem = f"predicted-{zoo.kind}-{zoo.predictor}-{transfer.shots}-shots"
    return Drawn(
        title=_predicted(rank_correlation),
        sentence=_how_well(rank_correlation, lost),
        reading=f"Each point is a pair of target and donor. {_against(transfer)} Measures are means over targets with "
        f"bootstrap intervals; Regret@k counts points lost by following the prediction. {source_title(zoo)}.",
        panels=(
            Panel(
                figure=lambda dark: predicted_against_measured(
                    zoo.matrix, transfer.gains, zoo.infos, target=target, dark=dark
                ),
                alt="Scatter of similarity against measured gain, a point for each target and donor",
                stem=stem,
            ),
        ),
        tables=(Table(title="How well it predicted", frame=pd.DataFrame(rows), stem=f"{stem}-measures"),),
        files=(csv_file(f"{stem}.csv", _pairs_csv(reader, zoo, transfer), label="Pairs as CSV"),),
    )


def _share(where: np.ndarray) -> str:
    return f"{100 * where.mean():.0f} %"


def _predicted(correlation: Interval) -> str:
    """Whether the order of similarities was that of gains."""
    if not correlation.targets:
        return "Whether similarity predicts who helps cannot be told yet"
    how_far = "" if correlation.mean >= CLEARLY else "in part "
    did = f"predicted {how_far}who helps" if correlation.low > 0 else "did not predict who helps"
    return f"Similarity {did}: rank correlation {minus(f'{correlation.mean:.2f}')}"


def _how_well(correlation: Interval, lost: Interval) -> str:
    if not correlation.targets:
        return ""
    low, high, points_lost = (
        minus(f"{value:.{digits}f}") for value, digits in ((correlation.low, 2), (correlation.high, 2), (lost.mean, 1))
    )
    return (
        f"95 % interval {low} to {high}; who tries the three nearest donors loses {points_lost} points against the "
        "best of all."
    )


def _pairs_csv(reader: Reader, zoo: Zoo, transfer: Transfer) -> bytes:
    gains, names = transfer.gains, zoo.names
    guesses = reader.guesses(names)
    guessed = {name: tuple(document(guesses.get(name)).values()) for name in names}
    rows = [
        (
            names[i],
            names[j],
            transfer.alone[i],
            transfer.scores[i, j],
            gains[i, j],
            zoo.matrix[i, j],
            *guessed[names[i]],
        )
        for i, j in zip(*np.nonzero(np.isfinite(gains)), strict=True)
    ]
    columns = ["target", "donor", "alone", "score", "gain", "similarity", "at_random", "largest_class"]
    return pd.DataFrame(rows, columns=columns).round(4).to_csv(index=False).encode()
