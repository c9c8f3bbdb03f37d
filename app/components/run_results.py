"""What a finished run found: the verdict, the scores beside the baselines, the donors, the best and worst answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import (
    answers_view,
    charts,
    context,
    labelling_result,
    relatives,
    run_predictions,
    run_verdict,
    runs_data,
    study_results,
)
from app.components.examples import answer_badge, picture
from app.components.guard import empty, guarded, plain
from app.components.links import to
from app.components.pages import EXPERTS
from app.components.words import METRICS
from pituning.figures.palette import method_label
from pituning.figures.results import guesses_of, score_bars
from pituning.figures.shots import shots_curve
from pituning.reports.advice import advice
from pituning.reports.reader import seeds_of
from pituning.reports.verdict import difference, scores
from pituning.runs.records import Run
from pituning.tasks.base import SPLITS, Example, Task
from pituning.tasks.metrics import parse_box
from pituning.tuning.config import WITHOUT_DONORS

SIMILARITY_COLUMN = st.column_config.NumberColumn(
    format="%.3f", width=78, help="Of the task embeddings, taken from the shots alone."
)
STABLE_COLUMN = st.column_config.NumberColumn(
    format="%.0f %%", width=88, help="In how many of 100 resamplings of the shots this task stays among the donors."
)
HALF = 50.0
"""Points from which an answer counts as right in the list of answers."""


def show(run: Run) -> None:
    """Verdict, scores and donors of a run that is done."""
    result = runs_data.result(run)
    if result is None:
        empty("No result", "The run is done but left no result; retry it.", icon=":material/error:")
        return
    VIEWS.get(run.kind, _plain)(run)


def _plain(run: Run) -> None:
    """The result as it is, of a kind that has no view of its own."""
    st.json(runs_data.result(run), expanded=False)


def _study(run: Run) -> None:
    result = runs_data.result(run)
    assert result is not None
    study_results.SHOW[run.kind](result)


def _labels(run: Run) -> None:
    labelling_result.show(run)


def _answers(run: Run) -> None:
    answers_view.show(run)


def _tuned(run: Run) -> None:
    """Verdict, scores and donors."""
    kept = runs_data.result(run)
    assert kept is not None
    runs = runs_data.queue().list(states=("succeeded",), kind=run.kind, backbone=run.backbone)
    siblings = seeds_of(run, runs)
    result = run_verdict.with_guessing(run, kept)
    together = [result, *runs_data.results([other for other in siblings if other.id != run.id])]
    run_verdict.show(run_verdict.of(run, together), run, result)
    next_steps(result)
    left, right = side_by_side()
    with left:
        _scores(result, together, run)
    with right:
        _donors(result)


def _tuned_so_far(run: Run, partial: Mapping[str, Any]) -> None:
    """What is there by now: the verdict, the scores as they come, the donors."""
    partial = run_verdict.with_guessing(run, partial)
    if partial.get("score") is not None:
        run_verdict.show(run_verdict.of(run, [partial]), run)
    left, right = side_by_side()
    with left:
        if partial.get("donors") is not None:
            _scores(partial, [partial], run)
    with right:
        if partial.get("donors") and partial.get("score") is None:
            _lenders(partial)


def _awaited(run: Run, result: Mapping[str, Any]) -> list[str]:
    """The methods of a run that goes on whose scores are still to come."""
    if not run.active:
        return []
    asked = {**run.spec.defaults(), **run.spec.config}["baselines"]
    played = [name for name in asked if result.get("donors") != [] or name in WITHOUT_DONORS]
    first = [] if result.get("score") is not None or result.get("mixture_score") is not None else ["pi"]
    return [*first, *(name for name in played if name not in (result.get("baselines") or {}))]


def _lenders(partial: Mapping[str, Any]) -> None:
    """Who lends, before anything is known of the weights."""
    st.markdown("**Whose experts are mixed**")
    donors = list(partial["donors"])
    near = {item["task"]: item["similarity"] for item in partial.get("neighbors") or []}
    confidence = partial.get("confidence") or {}
    st.dataframe(
        pd.DataFrame({
            "Expert": [expert_title(name) for name in donors],
            "Similarity": [near.get(name) for name in donors],
            "Stable rank": [None if name not in confidence else 100 * float(confidence[name] or 0) for name in donors],
        }),
        hide_index=True,
        placeholder="–",
        column_config={"Similarity": SIMILARITY_COLUMN, "Stable rank": STABLE_COLUMN},
        alt="Tasks whose experts are mixed, with similarity and how stable their rank is",
    )  # fmt: skip


VIEWS = {
    "answer": _answers,
    "predict": _labels,
    "relatives": relatives.show,
    "tune": _tuned,
    **dict.fromkeys(study_results.SHOW, _study),
}
"""What is shown of a result, by the kind of run."""

EARLY_VIEWS = {"tune": _tuned_so_far}
"""What is shown of a run that goes on, where it has found something."""


def show_so_far(run: Run) -> None:
    """What a run has found that is not done, if anything."""
    view, partial = EARLY_VIEWS.get(run.kind), runs_data.queue().partial_of(run.id)
    if view is not None and partial is not None:
        view(run, partial)


def next_steps(result: Mapping[str, Any]) -> None:
    """What would help where the run was not worth it."""
    lines = advice(result)
    if lines:
        st.info("\n".join(f"- {line}" for line in lines), title="What would help", icon=":material/lightbulb:")


def side_by_side() -> tuple[DeltaGenerator, DeltaGenerator]:
    """Two places, three fifths and two fifths wide; on a narrow page one below the other."""
    page = st.grid(5, min_column_width=196, gap="medium")
    return page.cell(column_span=3), page.cell(column_span=2)


def _metric(run: Run) -> str:
    info = context.tasks().get(run.spec.subject)
    return METRICS[info.metric].label if info else "Score"


def _scores(result: Mapping[str, Any], together: Sequence[Mapping[str, Any]], run: Run) -> None:
    crossed = int(result.get("crossed") or 0)
    where = "rows that it did not learn from" if result.get("pooled") else "the test split"
    where = f"{int(result['test_examples'])} rows" if crossed else where
    st.markdown(f"**{_metric(run)} on {where}**")
    charts.draw(
        score_bars(result, metric=_metric(run), awaited=_awaited(run, result)),
        key="scores",
        alt="Test score of π-tuning, of every baseline and of guessing, with intervals",
        pinned=("result", {"run": run.id}) if run.state == "succeeded" else None,
    )
    words = "Lines across the bars: 95 % intervals over test examples."
    if crossed:
        words = (
            f"The table is small: these are scores on {int(result['test_examples']) - crossed} rows that the run did "
            f"not learn from and on its {crossed} shots, each answered after a training without it (cross-validation). "
            f"What was chosen was chosen on the shots, which flatters it a little. {words}"
        )
    elif result.get("pooled"):
        words = (
            f"The test split is small, so these are scores on {int(result['test_examples'])} rows, all that the run "
            f"did not learn from. {words}"
        )
    st.caption(words + " The dotted line: the better of the two guesses." * bool(guesses_of(result)))
    if result.get("learning_curve"):
        st.markdown("**Score by number of shots**" + ", on rows that are no shots" * bool(crossed))
        charts.draw(
            shots_curve(result, metric=_metric(run)),
            key="by_shots",
            alt="Score of π-tuning by the number of shots, with intervals, and the scores of methods without training",
            pinned=("result", {"run": run.id, "show": "shots"}) if run.state == "succeeded" else None,
        )
    if len(together) > 1:
        st.markdown(f"**Over {len(together)} seeds**")
        st.dataframe(seeds_table(together), hide_index=True, alt="Mean score of each method over seeds, and π minus it")


def seeds_table(together: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """For each method its mean over seeds, its range, and π minus it with a 95 % interval."""
    rows = []
    every = [scores(result) for result in together]
    for name in every[0]:
        values = [one[name] for one in every if name in one]
        gap = difference(together, name) if name != "pi" else None
        rows.append(
            {
                "Method": method_label(name),
                "Mean": f"{sum(values) / len(values):.1f}",
                "Range": f"{min(values):.1f} to {max(values):.1f}",
                "π minus it": "" if gap is None else f"{gap.mean:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})",
            }
        )
    return pd.DataFrame(rows)


def _donors(result: Mapping[str, Any]) -> None:
    st.markdown("**Whose experts were mixed, and how much each counts**")
    frame = donors_table(result)
    if frame.empty:
        st.caption("No donors took part.")
        return
    st.dataframe(
        frame,
        hide_index=True,
        placeholder="–",
        column_config={
            "Weight": st.column_config.ProgressColumn(
                format="%.0f %%",
                min_value=0,
                max_value=100,
                width=86,
                help="Mean over all places where experts are mixed.",
            ),
            "Similarity": SIMILARITY_COLUMN,
            "Stable rank": STABLE_COLUMN,
        },
        alt="Experts with their mean weight and the confidence of their choice",
    )
    relatives.door(str(result["target"]), str(result["kind"]))
    if result.get("expert"):
        st.page_link(
            EXPERTS.path, label=f"Kept as one ordinary expert: {plain(str(result['expert']))}", icon=EXPERTS.icon,
            query_params=to(expert=f"{result['kind']}/{result['expert']}"),
        )  # fmt: skip


def expert_title(name: str) -> str:
    """What people call an expert of a mixture."""
    tasks = context.tasks()
    return tasks[name].title if name in tasks else {"own": "Its own, new"}.get(name, name)


def donors_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """The experts of the mixture with mean weight and confidence in percent."""
    confidence = result.get("confidence") or {}
    near = {item["task"]: item["similarity"] for item in result.get("neighbors") or []}
    rows: list[dict[str, Any]] = []
    for name, weight in (result.get("weights") or {}).items():
        sure = confidence.get(name) if isinstance(confidence, Mapping) else None
        rows.append(
            {
                "Expert": expert_title(name),
                "Weight": 100 * float(weight),
                "Similarity": near.get(name),
                "Stable rank": None if sure is None else 100 * float(sure),
            }
        )
    columns = ["Expert", "Weight", "Similarity", "Stable rank"]
    return pd.DataFrame(rows, columns=columns).sort_values("Weight", ascending=False, kind="stable")


def predictions(run: Run) -> None:
    """The surest right and wrong answers, and the score of each class."""
    result = runs_data.result(run) or {}
    shown = result.get("predictions") or []
    classes = result.get("per_class") or {}
    if not shown and not classes and not run_predictions.path_of(run).is_file():
        empty("No predictions kept", "This run kept scores only.", icon=":material/rule:")
        return
    task = context.task(run.spec.subject) if shown else None
    left, right = side_by_side()
    with left, st.grid("auto", min_column_width=250, gap="small"):
        for index, item in enumerate(shown[:12]):
            _prediction(item, by_uid(task, item.get("uid")), key=f"prediction-{index}")
    with right:
        if classes:
            st.markdown("**Score of each class**")
            st.dataframe(_classes(classes), hide_index=True, column_config={
                "π-tuning": st.column_config.ProgressColumn(format="%.0f", min_value=0, max_value=100)},
                alt="Score of each class")  # fmt: skip
    with guarded("The table of predictions"):
        run_predictions.show(run, lambda item: _prediction(item, by_uid(task, item["uid"]), key="prediction-chosen"))


def by_uid(task: Task | None, uid: Any) -> Example | None:
    """The example that a uid ``task/test/17`` names, without drawing the others."""
    parts = str(uid).rsplit("/", 2)
    if task is None or len(parts) < 3 or parts[1] not in SPLITS:
        return None
    try:
        example = task.split(parts[1])[int(parts[2])]
    except (IndexError, ValueError):
        return None
    return example if example.uid == uid else None


def _prediction(item: Mapping[str, Any], example: Example | None, *, key: str) -> None:
    answer, prediction = str(item.get("answer", "")), str(item.get("prediction", ""))
    mark = ":green[:material/check: right]" if float(item.get("score", 0)) >= HALF else ":red[:material/close: wrong]"
    verdict = f"{mark} · predicted {answer_badge(prediction)} for {answer_badge(answer)}"
    if parse_box(answer) is not None:
        verdict = f"{mark} · pink is the true place, blue the answer"
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=key):
        if example is not None and example.image is not None:
            st.image(picture(example.image, answer, prediction), width=96, alt=f"{example.text} {answer}".strip())
        with st.container(gap="xsmall"):
            if item.get("text"):
                st.markdown(plain(str(item["text"])))
            st.markdown(verdict)


def _classes(classes: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({"Class": list(classes), "π-tuning": [float(value) for value in classes.values()]})
