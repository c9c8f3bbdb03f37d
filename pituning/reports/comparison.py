"""Draws runs beside each other: their scores, or one curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pituning.errors import ArtefactError
from pituning.figures.comparison import LETTERS, compared_curves, compared_scores
from pituning.figures.palette import method_label
from pituning.registry import unknown
from pituning.reports.asked import listed, named
from pituning.reports.drawn import Drawn, Panel, Table
from pituning.reports.reader import Reader
from pituning.reports.results import CURVES, judged, run_title
from pituning.reports.verdict import scores
from pituning.runs.records import Run
from pituning.workspace.stories import SEVERAL

SCORES = "scores"


def draw_comparison(reader: Reader, settings: Mapping[str, Any]) -> Drawn:
    """The runs that are named, in this order, each with a letter.

    Raises:
        BadInput: one of them is not there.
        ArtefactError: there are fewer than two, or nothing such was measured of them.
    """
    names = [name for name in str(settings.get("runs") or "").split(SEVERAL) if name][: len(LETTERS)]
    if len(names) < 2:
        raise ArtefactError("a comparison needs two runs or more; choose them on the page Runs and pin their chart")
    runs = [reader.queue.get(name) for name in names]
    show = str(settings.get("show", SCORES)).replace("-", "_")
    if show == SCORES:
        return _scores(reader, runs)
    if show not in CURVES:
        raise unknown("show", show, [SCORES, *CURVES])
    return _curve(reader, runs, show)


def _key(reader: Reader, runs: Sequence[Run]) -> str:
    return "; ".join(f"{letter}: {run_title(reader, run)}" for letter, run in zip(LETTERS, runs, strict=False))


def _scores(reader: Reader, runs: Sequence[Run]) -> Drawn:
    results = [judged(reader, run)[0] if run.state == "succeeded" else None for run in runs]
    points = {
        letter: scores(result)["pi"]
        for letter, result in zip(LETTERS, results, strict=False)
        if result is not None and "pi" in scores(result)
    }
    if not points:
        raise ArtefactError("none of these runs has a result")
    ranked = sorted(points, key=lambda letter: -points[letter])
    told = [f"{letter} {points[letter]:.1f}" for letter in ranked[1:]]
    first = f"Run {ranked[0]} scores {points[ranked[0]]:.1f}"
    frame = pd.DataFrame({"Run": list(points), "π-tuning": [f"{value:.1f}" for value in points.values()]})
    return Drawn(
        title=f"{first}, {listed(told)}" if told else first,
        sentence=f"{_key(reader, runs)}.",
        reading="Test scores in points, with 95 % intervals over test examples.",
        panels=(
            Panel(
                figure=lambda dark: compared_scores(results, dark=dark),
                alt="Test score of every method of every run with its interval",
                stem="runs-scores",
            ),
        ),
        tables=(Table(title="Scores of π-tuning", frame=frame, stem="runs-scores"),),
    )


def _curve(reader: Reader, runs: Sequence[Run], name: str) -> Drawn:
    measured = [[one for one in reader.queue.curves_of(run.id) if one.name == name] for run in runs]
    series = "pi" if any(one.series == "pi" for points in measured for one in points) else None
    frames = [
        pd.DataFrame(
            [(one.step, one.value) for one in points if one.series == (series or one.series)],
            columns=["step", "value"],
        )
        for points in measured
    ]
    ends = {
        letter: float(frame.sort_values("step")["value"].iloc[-1])
        for letter, frame in zip(LETTERS, frames, strict=False)
        if not frame.empty
    }
    if not ends:
        raise ArtefactError("none of these runs measured that")
    of = method_label(series) if series else "All methods"
    told = [f"{letter} {value:.2f}" for letter, value in ends.items()]
    return Drawn(
        title=f"{named(CURVES[name])} at the end: {listed(told)}",
        sentence=f"{of}. {_key(reader, runs)}.",
        reading="One line for each run, over the steps of its training.",
        panels=(
            Panel(
                figure=lambda dark: compared_curves(frames, title=CURVES[name], dark=dark),
                alt=f"{CURVES[name]} of {of} by step, one line for each run",
                stem=f"runs-{name.replace('_', '-')}",
            ),
        ),
    )
