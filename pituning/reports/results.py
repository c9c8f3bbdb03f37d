"""Draws what a run found: its scores with the verdict, the weights of its donors, its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pituning.errors import ArtefactError
from pituning.figures.palette import METHOD_LABELS, method_label
from pituning.figures.results import alpha_heatmap, curves, score_bars
from pituning.figures.words import KINDS, METRICS, label
from pituning.registry import unknown
from pituning.reports.drawn import Drawn, Panel, Table
from pituning.reports.reader import Reader, seeds_of
from pituning.reports.usable import judge_run
from pituning.reports.verdict import difference, scores
from pituning.runs.records import Run
from pituning.tasks.guessing import guess_rows
from pituning.workspace.layout import DEFAULT_BACKBONE

SHOWS = ("scores", "weights", "curves")
CURVES = {
    "loss": "Loss on the shots",
    "held_out_loss": "Loss on held-out shots",
    "validation_score": "Score on validation examples",
}


def draw_result(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """A run's result; by default that of the newest run that has one.

    Raises:
        BadInput: there is no such run, or nothing such to show of it.
        ArtefactError: there is no finished run, or its result is damaged.
    """
    finished = reader.finished_runs()
    name = settings.get("run")
    if name is None and not finished:
        raise ArtefactError("no low-shot run has finished yet; start one on the page New run, or with: pituning tune")
    run = reader.queue.get(str(name)) if name is not None else finished[0]
    show = settings.get("show", SHOWS[0])
    if show not in SHOWS:
        raise unknown("show", str(show), list(SHOWS))
    if show == "weights":
        return _weights(reader, run)
    return _curves(reader, run) if show == "curves" else _scores(reader, run, finished)


def run_title(reader: Reader, run: Run) -> str:
    """What a run is about: target, kind, shots and seed."""
    known, config = reader.tasks().get(run.spec.subject), run.spec.config
    details = [known.title if known else run.spec.subject]
    details += [label(KINDS, str(config["kind"]))] if "kind" in config else []
    details += [f"{config[key]} {word}" for key, word in (("shots", "shots"),) if key in config]
    details += [f"seed {config['seed']}"] if "seed" in config else []
    details += [run.backbone] if run.backbone != DEFAULT_BACKBONE else []
    return " · ".join(details)


def _scores(reader: Reader, run: Run, finished: Sequence[Run]) -> Drawn:
    result = reader.result(run)
    info = reader.tasks().get(run.spec.subject)
    metric = METRICS[info.metric].label if info else "Score"
    guessed = reader.guesses([run.spec.subject]).get(run.spec.subject)
    if not result.get("guessing") and guessed is not None:  # an older run: as the task is now
        result = {**result, "guessing": guessed.to_json()}
    together = [result, *(reader.result(other) for other in seeds_of(run, finished) if other.id != run.id)]
    methods = len(scores(result))
    return Drawn(
        title=f"Is it usable? {info.title if info else run.spec.subject}",
        reading=f"{run_title(reader, run)}. {metric} on the test split; lines across the bars are 95 % intervals over "
        f"test examples.{_guess_words(result)}",
        verdict=judge_run(together, result.get("guessing")),
        panels=(
            Panel(
                figure=lambda dark: score_bars(result, metric=metric),
                alt=f"Test score of π-tuning and of {methods - 1} baselines, with intervals",
                stem=f"scores-{run.id}",
            ),
        ),
        tables=(
            Table(title=_over(together), frame=_scores_table(together), stem=f"scores-{run.id}"),
            Table(title="Whose experts were mixed", frame=_donors_table(reader, result), stem=f"donors-{run.id}"),
        ),
    )


def _guess_words(result: Mapping[str, Any]) -> str:
    """What guessing scores."""
    rows = guess_rows(result.get("guessing"))
    return f" To compare: {', '.join(f'{what} scores {points:.1f}' for what, points in rows)}." if rows else ""


def _over(together: Sequence[Mapping[str, Any]]) -> str:
    return "Scores" if len(together) == 1 else f"Scores over {len(together)} seeds"


def _scores_table(together: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    every = [scores(result) for result in together]
    rows = []
    for name in dict.fromkeys(method for one in every for method in one):
        values = [one[name] for one in every if name in one]
        gap = difference(together, name) if name != "pi" else None
        minus = "" if gap is None else f"{gap.mean:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})".replace("-", "−")
        rows.append({"Method": method_label(name), "Mean": f"{np.mean(values):.1f}", "π minus it": minus})
    return pd.DataFrame(rows, columns=["Method", "Mean", "π minus it"])


def _donors_table(reader: Reader, result: Mapping[str, Any]) -> pd.DataFrame:
    weights: Mapping[str, float] = result.get("weights") or {}
    rows = sorted(weights.items(), key=lambda item: -float(item[1]))
    return pd.DataFrame(
        [{"Expert": _expert(reader, name), "Weight": f"{float(weight):.0%}"} for name, weight in rows],
        columns=["Expert", "Weight"],
    )


def _expert(reader: Reader, name: str) -> str:
    known = reader.tasks()
    return known[name].title if name in known else {"own": "Its own, new"}.get(name, name)


def _weights(reader: Reader, run: Run) -> Drawn:
    points = reader.queue.alphas_of(run.id, last=1)
    if not points:
        raise ArtefactError(f"run {run.id} learned no weights; choose another one, or its scores")
    last = points[-1]
    experts = [_expert(reader, name) for name in last.experts]
    rows = [list(row) for row in last.weights]
    frame = pd.DataFrame([[f"{value:.3f}" for value in row] for row in rows], columns=experts)
    frame.insert(0, "Site", list(last.sites), allow_duplicates=True)
    return Drawn(
        title="Whose knowledge, and where?",
        reading=f"{run_title(reader, run)}, step {last.step}. Each row is a place in the network where experts are "
        "mixed; its weights sum to one.",
        panels=(
            Panel(
                figure=lambda dark: alpha_heatmap(list(last.sites), experts, rows),
                alt=f"Heat map of the weights of {len(experts)} experts at {len(rows)} sites",
                stem=f"weights-{run.id}",
                grows=True,
            ),
        ),
        tables=(Table(title="", frame=frame, stem=f"weights-{run.id}"),),
    )


def _curves(reader: Reader, run: Run) -> Drawn:
    order = {name: place for place, name in enumerate(METHOD_LABELS)}
    points = [point for point in reader.queue.curves_of(run.id) if point.name in CURVES]
    if not points:
        raise ArtefactError(f"run {run.id} measured no curves; choose another one, or its scores")
    points.sort(key=lambda point: order.get(point.series, len(order)))
    frame = pd.DataFrame([vars(point) for point in points])
    panels = []
    for name, title in CURVES.items():
        part = frame[frame["name"] == name]
        if not part.empty:
            panels.append(
                Panel(
                    figure=lambda dark, part=part: curves(part),  # type: ignore[misc]
                    alt=f"{title} by training step, one line for each method",
                    stem=f"{name.replace('_', '-')}-{run.id}",
                    title=title,
                )
            )
    return Drawn(title="How the training went", reading=f"{run_title(reader, run)}.", panels=tuple(panels))
