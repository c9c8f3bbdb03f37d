"""Draws what a run found: its scores with the verdict, the weights of its donors, its curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pituning.errors import ArtefactError
from pituning.figures.palette import METHOD_LABELS, method_label
from pituning.figures.results import alpha_heatmap, curves, score_bars
from pituning.figures.ribbon import ribbon_words, weight_ribbon
from pituning.figures.search import search_curves
from pituning.figures.shots import shots_curve
from pituning.figures.words import KINDS, METRICS, label
from pituning.registry import unknown
from pituning.reports.asked import named
from pituning.reports.drawn import Drawn, Panel, Table
from pituning.reports.headline import verdict_line
from pituning.reports.reader import Reader, seeds_of
from pituning.reports.usable import Judgement, judge_run
from pituning.reports.verdict import difference, scores
from pituning.runs.records import CurvePoint, Run
from pituning.tasks.guessing import guess_rows
from pituning.tuning.search_curves import searched
from pituning.workspace.layout import DEFAULT_BACKBONE

PI = "pi"
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
    show = settings.get("show", next(iter(SHOWS)))
    if show not in SHOWS:
        raise unknown("show", str(show), list(SHOWS))
    return SHOWS[show](reader, run)


def judged(reader: Reader, run: Run) -> tuple[dict[str, Any], Judgement]:
    """The result of a run with what guessing scores, and what is told of it together with its other seeds.

    Raises:
        ArtefactError: a result is missing or damaged.
    """
    result = reader.result(run)
    guessed = reader.guesses([run.spec.subject]).get(run.spec.subject)
    if not result.get("guessing") and guessed is not None:  # an older run: as the task is now
        result = {**result, "guessing": guessed.to_json()}
    info = reader.tasks().get(run.spec.subject)
    if not result.get("metric") and info is not None:
        result = {**result, "metric": info.metric}
    return result, judge_run(_together(reader, run, result), result.get("guessing"))


def _together(reader: Reader, run: Run, result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The result of a run, first, and those of its other seeds."""
    others = [other for other in seeds_of(run, reader.finished_runs()) if other.id != run.id]
    return [result, *(reader.result(other) for other in others)]


def run_title(reader: Reader, run: Run) -> str:
    """What a run is about: target, kind, shots and seed."""
    known, config = reader.tasks().get(run.spec.subject), run.spec.config
    details = [known.title if known else run.spec.subject]
    details += [label(KINDS, str(config["kind"]))] if "kind" in config else []
    details += [f"{config[key]} {word}" for key, word in (("shots", "shots"),) if key in config]
    details += [f"seed {config['seed']}"] if "seed" in config else []
    details += [run.backbone] if run.backbone != DEFAULT_BACKBONE else []
    return " · ".join(details)


def _scores(reader: Reader, run: Run) -> Drawn:
    result, judgement = judged(reader, run)
    together = _together(reader, run, result)
    metric, methods = _metric(reader, run), len(scores(result))
    return Drawn(
        title=verdict_line(result, judgement),
        sentence=f"{_subject(reader, run)}. {_first_sentence(judgement.donors.title)}",
        reading=f"{run_title(reader, run)}. {metric} on {_tested_on(result)}; lines across the bars are 95 % intervals "
        f"over test examples.{_guess_words(result)}",
        verdict=judgement,
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


def _metric(reader: Reader, run: Run) -> str:
    info = reader.tasks().get(run.spec.subject)
    return METRICS[info.metric].label if info else "Score"


def _tested_on(result: Mapping[str, Any]) -> str:
    if result.get("crossed"):
        return "rows that it did not learn from and, by cross-validation, on its shots"
    return "rows that it did not learn from" if result.get("pooled") else "the test split"


def _subject(reader: Reader, run: Run) -> str:
    """The task and how many shots, which a slide has to say once."""
    info, shots = reader.tasks().get(run.spec.subject), run.spec.config.get("shots")
    title = named(info.title if info else run.spec.subject)
    return f"{title}, {shots} shots per class" if isinstance(shots, int) and shots else title


def _first_sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _by_shots(reader: Reader, run: Run) -> Drawn:
    result, _ = judged(reader, run)
    points = result.get("learning_curve") or []
    if len(points) < 2:
        raise ArtefactError(f"run {run.id} has no learning curve; choose another one, or its scores")
    first, last = points[0], points[-1]
    change = last["score"] - first["score"]
    did = "rises" if change > 0 else "falls" if change < 0 else "stays the same"
    frame, where = pd.DataFrame(points), _tested_on({**result, "crossed": 0})  # shots have no part in it
    return Drawn(
        title=f"{last['score']:.1f} with {last['shots']} shots per class, {first['score']:.1f} with {first['shots']}",
        sentence=f"{_subject(reader, run)}: the score {did} by {abs(change):.1f} points with more shots.",
        reading=f"{run_title(reader, run)}. {_metric(reader, run)} on {where}, with 95 % intervals.",
        panels=(
            Panel(
                figure=lambda dark: shots_curve(result, metric=_metric(reader, run)),
                alt="Score of π-tuning by the number of shots, with intervals and what methods without training score",
                stem=f"by-shots-{run.id}",
            ),
        ),
        tables=(Table(title="", frame=frame, stem=f"by-shots-{run.id}"),),
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
    means = [float(np.mean([row[i] for row in rows])) for i in range(len(experts))]
    most = max(range(len(experts)), key=means.__getitem__)
    equal = 1 / len(experts)
    return Drawn(
        title=f"{named(experts[most])} has the largest weight: {100 * means[most]:.0f} % of the mixture",
        sentence=f"{_subject(reader, run)}. Equal weights would be {100 * equal:.0f} %; the furthest from that at any "
        f"place is {100 * max((value for row in rows for value in row), key=lambda v: abs(v - equal)):.0f} %.",
        reading=f"{run_title(reader, run)}, step {last.step}. Each row is a place in the network where experts are "
        "mixed; its weights sum to one.",
        panels=(
            Panel(
                figure=lambda dark: alpha_heatmap(list(last.sites), experts, rows),
                alt=f"Heat map of the weights of {len(experts)} experts at {len(rows)} sites",
                stem=f"weights-{run.id}",
            ),
        ),
        tables=(Table(title="", frame=frame, stem=f"weights-{run.id}"),),
    )


def _ribbon(reader: Reader, run: Run) -> Drawn:
    points = reader.queue.alphas_of(run.id)
    if not points:
        raise ArtefactError(f"run {run.id} learned no weights; choose another one, or its scores")
    experts = [_expert(reader, name) for name in points[-1].experts]
    shares = [[float(np.mean(column)) for column in zip(*point.weights, strict=True)] for point in points]
    return Drawn(
        title=ribbon_words([named(name) for name in experts], shares[-1]).rstrip("."),
        sentence=f"{_subject(reader, run)}: mean weight of each expert, over the steps of the training.",
        reading=f"{run_title(reader, run)}. Colours say how far a weight is from an equal share.",
        panels=(
            Panel(
                figure=lambda dark: weight_ribbon([point.step for point in points], experts, shares, dark=dark),
                alt="Mean weight of each expert by step, coloured by how far it is from an equal share",
                stem=f"ribbon-{run.id}",
            ),
        ),
    )


def _search(reader: Reader, run: Run) -> Drawn:
    losses: dict[tuple[float, int], dict[int, float]] = {}
    for point in reader.queue.curves_of(run.id):
        key = searched(point.name)
        if key is not None and point.series == PI:
            losses.setdefault(key, {})[point.step] = point.value
    if not losses:
        raise ArtefactError(f"run {run.id} told nothing of its search for a learning rate; choose its scores")
    rates = sorted({rate for rate, _ in losses})
    lowest = {rate: min(min(one.values()) for key, one in losses.items() if key[0] == rate) for rate in rates}
    best = min(rates, key=lowest.__getitem__)
    return Drawn(
        title=f"Of {len(rates)} learning rates {best:g} reaches the lowest held-out loss: {lowest[best]:.2f}",
        sentence=f"{_subject(reader, run)}: colours are learning rates, dashes are folds of the shots.",
        reading=f"{run_title(reader, run)}. {method_label(PI)}, loss on held-out shots of each training.",
        panels=(
            Panel(
                figure=lambda dark: search_curves(losses, dark=dark),
                alt=f"Held-out loss of {method_label(PI)} by step, a line for each learning rate and fold",
                stem=f"search-{run.id}",
            ),
        ),
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
    return Drawn(
        title=_learned(points),
        sentence=f"{_subject(reader, run)}: one line for each method, over the steps of its training.",
        reading=f"{run_title(reader, run)}.",
        panels=tuple(panels),
    )


def _learned(points: Sequence[CurvePoint]) -> str:
    """How far the loss of π-tuning fell, or whatever was measured of it first."""
    name = points[0].name
    mine = [one for one in points if one.name == name and one.series == PI] or [
        one for one in points if one.name == name and one.series == points[0].series
    ]
    mine = sorted(mine, key=lambda one: one.step)
    what = CURVES[name][:1].lower() + CURVES[name][1:]
    return f"{method_label(mine[0].series)}: the {what} went from {mine[0].value:.2f} to {mine[-1].value:.2f}"


SHOWS: Mapping[str, Callable[[Reader, Run], Drawn]] = {
    "scores": _scores,
    "shots": _by_shots,
    "weights": _weights,
    "ribbon": _ribbon,
    "curves": _curves,
    "search": _search,
}
"""What can be shown of a run, the usual first."""
