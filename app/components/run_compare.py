"""Several runs side by side: what differs in their settings, curves, scores, classes and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from app.components import charts, compare_answers, context, guessing, run_verdict, runs_data
from app.components.guard import empty, guarded, plain, sentence
from app.components.run_curves import MORE, NAMES
from app.components.words import KINDS, METHODS, METRICS, STATES, duration, label
from pituning.errors import BadInput, PiTuningError
from pituning.figures.comparison import LETTERS, compared_curves, compared_scores, methods_of, scores_of
from pituning.figures.palette import method_label
from pituning.reports.verdict import difference
from pituning.runs.records import Run
from pituning.workspace.stories import SEVERAL

PARAM = "compare"
MOST = len(LETTERS)


@dataclass(frozen=True)
class Compared:
    """A run of the comparison: its letter, and its result where there is one that can be read."""

    letter: str
    run: Run
    result: Mapping[str, Any] | None


def wanted() -> list[str]:
    """The runs that the address names."""
    return [name for name in dict.fromkeys(st.query_params.get(PARAM, "").split(",")) if name]


def choose(run_ids: Sequence[str]) -> None:
    """A callback: these runs are compared from now on."""
    st.query_params[PARAM] = ",".join(run_ids)


def switched_on(chosen: Run) -> bool:
    """The switch between one run and several, which is on where the address names runs to compare."""
    named = st.query_params.get(PARAM)
    if named is not None and named != st.session_state.get("runs_compared"):
        st.session_state["runs_compare"] = True  # opened by a link
    on = st.toggle("Compare several", key="runs_compare", help="Two to six runs side by side.")
    if not on:
        st.query_params.pop(PARAM, None)
    elif named is None:
        choose([chosen.id])
    st.session_state["runs_compared"] = st.query_params.get(PARAM)
    return on


def whole_list() -> bool:
    """Whether the settings of all listed runs are shown instead of those that were ticked."""
    views = {"ticked": "Ticked runs", "settings": "Settings of all"}
    view = st.segmented_control(
        "Compare", list(views), format_func=views.__getitem__, default="ticked", required=True, key="compare_view",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    return view == "settings"


def show(runs: Sequence[Run]) -> None:
    """The comparison of the runs that the address names, or how to choose them. ``runs`` are those of the list."""
    chosen = _find(wanted(), runs)
    if len(chosen) < 2:
        empty(
            "Choose two runs or more",
            "Tick the boxes at the left of the table: up to six runs, of one task or of several.",
            icon=":material/compare:",
        )
        return
    if len(chosen) > MOST:
        st.info(f"The first {MOST} of {len(chosen)} runs are compared.")
    compared = [Compared(letter, run, _result(letter, run)) for letter, run in zip(LETTERS, chosen, strict=False)]
    with guarded("The overview"):
        _overview(compared)
    with guarded("The settings"):
        _settings(compared)
    with guarded("The scores"):
        _scores(compared)
    with guarded("The curves"):
        _curves(compared)
    with guarded("The classes"):
        _classes(compared)
    with guarded("The answers"):
        compare_answers.show({one.letter: one.run for one in compared if one.result is not None})


def _find(names: Sequence[str], runs: Sequence[Run]) -> list[Run]:
    known, chosen = {run.id: run for run in runs}, []
    for name in names:
        try:
            chosen.append(known.get(name) or runs_data.queue().get(name))
        except BadInput:
            st.warning(f"The address names the run “{plain(name)}”, which is not in this workspace; it is left out.")
    return chosen


def _result(letter: str, run: Run) -> Mapping[str, Any] | None:
    try:
        return runs_data.result(run)
    except PiTuningError as error:
        st.warning(sentence(error), title=f"The result of run {letter} cannot be read", icon=":material/warning:")
        return None


def _overview(compared: Sequence[Compared]) -> None:
    rows = []
    for one in compared:
        gain = None if one.result is None else difference([one.result], "single")
        elapsed = one.run.elapsed()
        rows.append(
            {
                "Letter": one.letter,
                "Run": runs_data.title(one.run),
                "State": STATES[one.run.state][0],
                "Metric": _metric(one.run),
                method_label("pi"): None if one.result is None else scores_of(one.result).get("pi"),
                guessing.COLUMN: None if one.result is None else guessing.short(one.run.spec.subject, one.result),
                "π minus single": "–" if gain is None else f"{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})",
                "Duration": "" if elapsed is None else duration(elapsed),
            }
        )
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder="–", key="compare_runs",
        column_config={
            "Letter": st.column_config.TextColumn(width=60),
            method_label("pi"): st.column_config.NumberColumn(format="%.1f", help="Test score in points."),
            guessing.COLUMN: guessing.column(),
            "π minus single": st.column_config.TextColumn(help="In points, with a 95 % interval over test examples."),
        },
        alt="The runs that are compared, each with its letter, state and score",
    )  # fmt: skip


def _metric(run: Run) -> str:
    info = context.tasks().get(run.spec.subject)
    return METRICS[info.metric].label if info else ""


def _settings(compared: Sequence[Compared]) -> None:
    st.markdown("**Settings that differ**")
    rows = settings_that_differ([one.run for one in compared])
    if not rows:
        st.caption("None: these runs were started with the same settings.")
        return
    table = [
        {"Setting": name, **{one.letter: value for one, value in zip(compared, values, strict=True)}}
        for name, values in rows.items()
    ]
    st.dataframe(pd.DataFrame(table), hide_index=True, placeholder="–", key="compare_settings",
                 alt="The settings that differ between the runs")  # fmt: skip


def settings_that_differ(runs: Sequence[Run]) -> dict[str, list[str | None]]:
    """By setting, as people write it, its value in each run; settings that are the same everywhere are left out."""
    every = [{**run.spec.defaults(), **run.spec.config} for run in runs]
    names = dict.fromkeys(name for one in every for name in one)
    differing: dict[str, list[str | None]] = {}
    if len({run.kind for run in runs}) > 1:
        differing["Run kind"] = [run.kind for run in runs]
    for name in names:
        values: list[str | None] = [_written(one[name]) if name in one else None for one in every]
        if len(set(values)) > 1:
            differing[name.replace("_", " ").capitalize()] = values
    return differing


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_written, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_written(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not set"}[value]
    return label(KINDS, str(value))


def _scores(compared: Sequence[Compared]) -> None:
    st.header("Scores", anchor=False)
    results = [one.result and run_verdict.with_guessing(one.run, one.result) for one in compared]
    methods = methods_of(results)
    if not methods:
        empty("No scores yet", "None of these runs has a result; scores appear here once one of them is done.",
              icon=":material/bar_chart:")  # fmt: skip
        return
    without = [one.letter for one in compared if one.result is None]
    if without:
        st.caption(f"Without a result: {', '.join(without)}.")
    if len({one.run.spec.subject for one in compared}) > 1:
        st.caption("The runs have different targets: compare a run’s methods with each other, not points between runs.")
    charts.draw(
        compared_scores(results, dark=charts.dark()),
        key="compare_scores",
        alt="Test score of every method of every run with its interval",
        pinned=_pinned(compared, "scores"),
    )
    rows = []
    for method in methods:
        row: dict[str, Any] = {"Method": method_label(method)}
        for one in compared:
            row[one.letter] = _score(one.result or {}, method)
        rows.append(row)
    rows.append(
        {"Method": "Guessing"}
        | {one.letter: one.result and guessing.short(one.run.spec.subject, one.result) for one in compared}
    )
    st.dataframe(pd.DataFrame(rows), hide_index=True, placeholder="–", key="compare_table",
                 alt="Test score of every method of every run")  # fmt: skip
    st.caption("Test scores in points, in brackets 95 % intervals over test examples. Guessing: at random · always the "
               "largest class.")  # fmt: skip


def _pinned(compared: Sequence[Compared], show: str) -> charts.Pinned:
    """Of these runs, for a story."""
    runs = SEVERAL.join(one.run.id for one in compared)
    return "comparison", {"runs": runs, "show": show.replace("_", "-")}


def _score(result: Mapping[str, Any], method: str) -> str | None:
    value = scores_of(result).get(method)
    if value is None:
        return None
    interval = (result.get("intervals") or {}).get(method)
    return f"{value:.1f} ({interval[0]:.1f} to {interval[1]:.1f})" if interval else f"{value:.1f}"


def _curves(compared: Sequence[Compared]) -> None:
    st.header("Curves", anchor=False)
    measured = [runs_data.queue().curves_of(one.run.id) for one in compared]
    titles = {**NAMES, **MORE}
    names = [name for name in titles if any(point.name == name for points in measured for point in points)]
    if not names:
        empty("No curves yet", "None of these runs has done its first steps.", icon=":material/show_chart:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.selectbox("Curve", names, format_func=titles.__getitem__, key="compare_name", width=330)
        order = list(METHODS)
        drawn = {point.series for points in measured for point in points if point.name == name}
        series = sorted(drawn, key=lambda one: (order.index(one) if one in order else len(order), one))
        method = st.selectbox("Method", series, format_func=method_label, key=f"compare_series_{name}", width=200)
    frames = [
        pd.DataFrame(
            [(point.step, point.value) for point in points if point.name == name and point.series == method],
            columns=["step", "value"],
        )
        for points in measured
    ]
    charts.draw(
        compared_curves(frames, title=titles[name], dark=charts.dark()),
        key="compare_curves",
        alt=f"{titles[name]} of {method_label(method)} by step, one line for each run",
        pinned=_pinned(compared, name) if name in NAMES and method == "pi" else None,
    )
    without = [one.letter for one, frame in zip(compared, frames, strict=True) if frame.empty]
    if without:
        st.caption(f"Not measured by {', '.join(without)}.")


def _classes(compared: Sequence[Compared]) -> None:
    st.header("Classes", anchor=False)
    per_class = [(one, (one.result or {}).get("per_class") or {}) for one in compared]
    if not any(classes for _, classes in per_class):
        st.caption("None of these runs has scores of single classes: their answers are open, or they are not done.")
        return
    several = len({one.run.spec.subject for one, classes in per_class if classes}) > 1
    frame = class_table(
        [
            (one.letter, {_class(one.run, name) if several else name: score for name, score in classes.items()})
            for one, classes in per_class
            if classes
        ]
    )
    letters = [column for column in frame.columns if column not in ("Class", "Spread")]
    st.dataframe(
        frame, hide_index=True, placeholder="–", key="compare_classes", height=min(38 + 35 * len(frame), 390),
        column_config={
            "Spread": st.column_config.NumberColumn(format="%.0f", help="Points between the best and the worst run."),
            **{one: st.column_config.ProgressColumn(format="%.0f", min_value=0, max_value=100) for one in letters},
        },
        alt="π-tuning’s score of each class in each run",
    )  # fmt: skip
    without = [one.letter for one, classes in per_class if not classes]
    st.caption(
        "Scores of π-tuning in points; classes with the largest differences first."
        + (f" Without scores of classes: {', '.join(without)}." if without else "")
    )


def _class(run: Run, name: str) -> str:
    """A class where several tasks may have one of that name."""
    info = context.tasks().get(run.spec.subject)
    return f"{info.title if info else run.spec.subject} · {name}"


def class_table(per_class: Sequence[tuple[str, Mapping[str, float]]]) -> pd.DataFrame:
    """Score of each class by run, first where the runs differ most; a class that only one of them has comes last."""
    names = dict.fromkeys(name for _, classes in per_class for name in classes)
    rows = []
    for name in names:
        values = [float(classes[name]) for _, classes in per_class if name in classes]
        rows.append(
            {"Class": name}
            | {letter: float(classes[name]) if name in classes else None for letter, classes in per_class}
            | {"Spread": max(values) - min(values) if len(values) > 1 else None}
        )
    return pd.DataFrame(rows).sort_values("Spread", ascending=False, kind="stable", na_position="last")
