"""Many runs at once: their settings beside their scores, and which settings the scores depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components import charts, context, runs_data
from app.components.guard import empty
from app.components.words import KINDS, PREDICTORS, label
from pituning.errors import PiTuningError
from pituning.figures.palette import METHOD_LABELS
from pituning.figures.run_settings import importance_bars, parallel_settings
from pituning.reports.verdict import difference
from pituning.runs.records import Run
from pituning.studies.importance import LEAST_RUNS, Importances, importances, varied_settings

SCORES = {"score": "Score", "gain": "Gain over single expert"}
LEAST = 3
"""Fewer lines show no pattern."""
PERFORMANCE = ("processes", "checkpointing", "accumulate", "dtype", "quantize", "learning_curve")
"""Settings that change how long a run takes, not what it finds."""


def show(runs: Sequence[Run]) -> None:
    """Parallel coordinates of all tunings among ``runs`` that are done, and the importance of their settings."""
    done = [(run, result) for run in runs if run.kind == "tune" and (result := _result(run)) is not None]
    which = st.segmented_control(
        "Measure", list(SCORES), format_func=SCORES.__getitem__, default="score", required=True, key="settings_score",
        help="Score: test score of π-tuning in points. Gain: that minus a single expert on the same shots.",
    )  # fmt: skip
    scored = [(run, value) for run, result in done if (value := _value(result, str(which))) is not None]
    if len(scored) < LEAST:
        empty("Too few runs", f"This needs at least {LEAST} finished tunings with a score; the list has {len(scored)}.",
              icon=":material/tune:")  # fmt: skip
        return
    settings, scores = varied_settings([_settings(run) for run, _ in scored]), [value for _, value in scored]
    if settings.empty:
        empty("Nothing varies", "All of these runs have the same settings.", icon=":material/tune:")
        return
    if "target" in settings and which == "score":
        st.caption("These runs have different targets, whose scores are of different scales; compare gains, or filter "
                   "by the axis of the target.")  # fmt: skip
    tried = _importances(settings, tuple(scores)) if len(scores) >= LEAST_RUNS else None
    if tried is not None:
        settings = settings[[one.setting for one in tried.settings]]
    charts.draw(
        parallel_settings(
            settings, scores, score_title=SCORES[str(which)], title_of=_title, value_of=_value_label,
            dark=charts.dark(),
        ),
        key=f"settings_lines_{which}", savable=False,
        alt=f"Parallel coordinates of {len(scores)} runs: {', '.join(map(_title, settings.columns))}, and the score",
    )  # fmt: skip
    st.caption(f"{len(scores)} runs, a line each; the darker, the higher the score. Drag along an axis to keep only "
               "the lines that cross there, drag an axis’s name to move it.".replace(
                   "darker", "brighter" if charts.dark() else "darker"))  # fmt: skip
    _importance(tried, len(scores))
    with st.expander("The same as a table", icon=":material/table:", key="settings_table"):
        table = settings.map(lambda value: _value_label(value) if isinstance(value, str) else value)
        table = table.rename(columns=_title).assign(**{SCORES[str(which)]: scores})
        table.insert(0, "Run", [runs_data.title(run) for run, _ in scored])
        st.dataframe(table.sort_values(SCORES[str(which)], ascending=False), hide_index=True,
                     alt="Settings and score of each run")  # fmt: skip


def _importance(tried: Importances | None, count: int) -> None:
    st.markdown("**Which settings matter**")
    if tried is None:
        st.caption(f":material/help: This needs at least {LEAST_RUNS} runs; there are {count}. With fewer, what seems "
                   "to matter is mostly chance.")  # fmt: skip
        return
    if tried.explained <= 0:
        st.caption(f":material/help: The settings of these {count} runs do not predict the scores of runs left out (R² "
                   f"{tried.explained:.2f}): which of them matters cannot be told.".replace("-", "−"))  # fmt: skip
        return
    charts.draw(
        importance_bars(
            [_title(one.setting) for one in tried.settings],
            [one.share for one in tried.settings],
            [one.spread for one in tried.settings],
        ),
        key="settings_importance",
        alt="Importance of each setting, with its standard deviation over folds",
    )  # fmt: skip
    st.caption(
        f"Permutation importance of a random forest, cross-validated over {count} runs; it explains "
        f"{tried.explained:.0%} of the variance of scores left out. Grey: within one standard deviation of nothing. "
        "Settings that changed together share their importance, and one may stand for another."
    )


@st.cache_data(max_entries=16, show_spinner="Comparing settings …")
def _importances(settings: pd.DataFrame, scores: tuple[float, ...]) -> Importances | None:
    try:
        return importances(settings, scores)
    except PiTuningError:
        return None


def _result(run: Run) -> Mapping[str, Any] | None:
    try:
        return runs_data.result(run)
    except PiTuningError:  # said where that run is shown
        return None


def _value(result: Mapping[str, Any], which: str) -> float | None:
    if which == "gain":
        gain = difference([result], "single")
        return None if gain is None else gain.mean
    score = result.get("score")
    return float(score) if isinstance(score, int | float) else None


def _settings(run: Run) -> dict[str, Any]:
    every = {**run.spec.defaults(), **run.spec.config}
    return {name: value for name, value in every.items() if name not in PERFORMANCE}


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _value_label(value: str) -> str:
    """A task's title, a kind's or a predictor's label; a list of methods by their labels."""
    known = context.tasks()
    if value in known:
        return known[value].title
    words = [METHOD_LABELS.get(part, part) for part in value.split(", ")]
    return (
        label(KINDS, value) if value in KINDS else label(PREDICTORS, value) if value in PREDICTORS else ", ".join(words)
    )
