"""Measured transfer: who helps whom, whether the similarity predicted it, and what runs of this workspace found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components import (
    charts,
    context,
    graph_controls,
    graph_view,
    guessing,
    lens,
    measure,
    reveal,
    runs_data,
    source,
    task_panel,
    whole_rows,
)
from app.components.graph_shown import GraphView, of_source
from app.components.guard import empty, guarded, plain
from app.components.links import linked_pair, set_linked, to
from app.components.pages import NEW_RUN, RUNS, SIMILARITY
from app.components.source import Source, SparseSource
from app.components.words import KINDS, PREDICTORS, label
from pituning.errors import PiTuningError
from pituning.figures.palette import method_label
from pituning.figures.transfer import predicted_against_measured, transfer_heatmap
from pituning.graph.build import shorten
from pituning.graph.harm import HARM, points
from pituning.graph.matrix import order_tasks
from pituning.graph.ranking import grade_targets, interval
from pituning.reports.reader import by_seeds
from pituning.reports.verdict import difference, scores
from pituning.runs.records import Run
from pituning.tasks.guessing import UNKNOWN, document
from pituning.workspace.transfer import Transfer

RANDOM_ORDERS = 100
PAIR = "one_pair"
"""The container of the pair that a click opens."""
MOST_SHOWN = 150
"""Of very many tasks, those in the matrix: their embeddings are read while somebody waits."""

MEASURES = {
    "spearman": (
        "Spearman",
        "Mean over targets of the rank correlation between similarity and gain. 1: the same order.",
    ),
    "ndcg": ("NDCG", "How high the helpful donors are put, the first places counting most. 1 is best."),
    "regret1": ("Regret@1", "Points lost by taking the predicted donor instead of the best one. 0 is best."),
    "regret3": ("Regret@3", "Points between the best donor and the best of the three that are predicted. 0 is best."),
}
ASKED = ("full", "single", "donor", "uniform", "random", "placebo", "backbone")


@dataclass(frozen=True, kw_only=True)
class TransferView:
    """What the controls ask for: similarities and measured transfer of the same tasks in the same order.

    Args:
        known: whether the similarities are known; of very many tasks they are where their embeddings are kept.
        few: whether they are some of very many tasks, of which there is no slide.
        graph: the gains as arrows on the task graph, where they are wanted so in place of a matrix.
    """

    shown: Source
    transfer: Transfer
    known: bool = True
    few: bool = False
    graph: GraphView | None = None


def controls(available: Mapping[str, Sequence[str]]) -> TransferView | None:
    """The row above the matrix; None, and why, where nothing was measured for the chosen kind."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kind, predictor = source.choose(available)
        counts = context.transfer_shots(kind)
        shots = source.choose_shots(counts) if counts else None
        every = source.load_kept(kind, predictor)
        transfer = None if shots is None else context.transfer(kind, shots, tuple(every.names))
        drawn = None
        if transfer is not None and isinstance(every, Source) and lens.choose():
            options = graph_controls.effects(every, transfer)
            options |= graph_controls.arrows(options["gains"])
            drawn = of_source(every, name=f"{kind}-{predictor}-transfer", **options)
    if not counts or shots is None:
        empty(
            "Nothing measured yet",
            f"For {label(KINDS, kind)} experts it has not been measured which donor helps which target.",
            icon=":material/compare_arrows:",
        )
        st.header("Measure transfer between my tasks", anchor=False)
        with guarded("What can be measured"):
            measure.transfer(kind)
        return None
    if transfer is None:
        empty("Nothing measured yet", "None of these tasks was measured.", icon=":material/compare_arrows:")
        return None
    if isinstance(every, SparseSource) and len(transfer.names) > MOST_SHOWN:
        st.info(f"The first {MOST_SHOWN} of {len(transfer.names):,} tasks that were measured are shown.")
        transfer = transfer.only(transfer.names[:MOST_SHOWN])
    whole, known = (every, True) if isinstance(every, Source) else source.few(every, transfer.names)
    at = order_tasks(whole.matrix, whole.infos, "family")
    names = [whole.names[i] for i in at]
    return TransferView(
        shown=whole.only(names), transfer=transfer.only(names), known=known, few=isinstance(every, SparseSource),
        graph=drawn,
    )  # fmt: skip


def choose(view: TransferView) -> tuple[str | None, str | None]:
    """Target and donor, which are kept in the address; a click in the matrix sets both."""
    return linked_pair({info.name: info.title for info in view.shown.infos}, ("Target", "Donor"))


def matrix(view: TransferView, chosen: tuple[str | None, str | None]) -> None:
    """The heat map of gains; a click on a cell chooses its pair."""
    gains = view.transfer.gains
    figure = transfer_heatmap(gains, view.shown.infos, chosen=chosen, dark=charts.dark())
    with st.container(width=charts.MATRIX_WIDTH):
        charts.draw_to_choose(
            figure, key="transfer_matrix", on_choice=_choose,
            alt=f"Heat map of what {len(view.shown.infos)} donors do for each of as many targets, in points",
            pinned=None if view.few else ("transfer", _pinned(view)),
        )  # fmt: skip
    _facts(view, "cell of the matrix to see its pair below")


def on_graph(view: TransferView) -> tuple[str | None, str | None]:
    """The gains as arrows on the task graph with what is known of the chosen target or pair; and which these are."""
    assert view.graph is not None
    chosen = lens.show(view.graph, partial(choose, view), partial(_beside, view))
    _facts(view, "task to see its donors, an arrow to see its pair")
    return chosen


def _beside(view: TransferView, target: str | None, donor: str | None) -> None:
    """Of a target its best donors and whom it helps, of a pair what the one did for the other."""
    titles = {info.name: info.title for info in view.shown.infos}
    if target is None or donor is not None:
        pair(view, target, donor)
    else:
        st.header(plain(titles[target]), anchor=False)
        opens = partial(graph_view.open_neighbour, beside=True)
        task_panel.transfer(view.shown.kind, target, titles, shots=view.transfer.shots, on_open=opens)


def _facts(view: TransferView, click: str) -> None:
    """What the gains come to, with a button to download them."""
    gains = view.transfer.gains
    known = gains[np.isfinite(gains)]
    against = "the backbone alone" if view.transfer.shots == 0 else "a new expert on the same shots"
    seeds = f"{view.transfer.seeds} seed{'s' if view.transfer.seeds > 1 else ''}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"Points above {against}; {seeds}. {(known >= HARM).mean():.0%} of {known.size} pairs gain a point or "
            f"more, {(known <= -HARM).mean():.0%} lose as much.{_above_guessing(view)} Click a {click}.",
            width="stretch",
        )
        st.download_button(
            "Download CSV", lambda: _csv(view), file_name=f"transfer-{view.shown.kind}-{view.transfer.shots}-shots.csv",
            mime="text/csv", icon=":material/download:", key="transfer_download", on_click="ignore",
            help="A row for each pair: target, donor, score alone, score with the donor, gain, similarity, "
            "and what guessing scores.",
        )  # fmt: skip


def _above_guessing(view: TransferView) -> str:
    """How many targets are no better alone than by guessing; a gain on those says little."""
    guesses = guessing.several(view.transfer.names)
    alone = {name: float(value) for name, value in zip(view.transfer.names, view.transfer.alone, strict=True)}
    known = [name for name in guesses if np.isfinite(alone[name])]
    below = [name for name in known if alone[name] <= guesses[name].best]
    if not known:
        return ""
    return f" Alone, {len(below)} of {len(known)} targets score no better than guessing."


def _csv(view: TransferView) -> bytes:
    names, transfer = view.shown.names, view.transfer
    guesses = {name: document(guessed) for name, guessed in guessing.several(names).items()}
    rows = [
        {
            "target": names[i], "donor": names[j], "alone": transfer.alone[i], "score": transfer.scores[i, j],
            "gain": transfer.gains[i, j], "similarity": view.shown.matrix[i, j] if view.known else None,
            "at_random": guesses.get(names[i], UNKNOWN)["chance"],
            "largest_class": guesses.get(names[i], UNKNOWN)["largest"],
        }
        for i in range(len(names))
        for j in range(len(names))
        if np.isfinite(transfer.gains[i, j])
    ]  # fmt: skip
    return pd.DataFrame(rows).round(4).to_csv(index=False).encode()


def _choose(points: list[dict[str, Any]]) -> None:
    names = points[-1].get("customdata")
    if isinstance(names, list | tuple) and len(names) == 2:
        set_linked(task=str(names[0]), other=str(names[1]))
        reveal.ask(PAIR)


def pair(view: TransferView, target: str | None, donor: str | None) -> None:
    """What one donor did for one target, beside what was predicted."""
    names = view.shown.names
    if target is None or donor is None or target == donor:
        empty(
            "No pair chosen", "Click a cell or an arrow, or choose a target and a donor.", icon=":material/ads_click:"
        )
        return
    i, j = names.index(target), names.index(donor)
    gain = view.transfer.gains[i, j]
    infos = {info.name: info for info in view.shown.infos}
    if not np.isfinite(gain):
        empty("Not measured", "This pair has not been measured.", icon=":material/compare_arrows:")
        return
    others = [k for k in range(len(names)) if k != i and np.isfinite(view.transfer.gains[i, k])]
    place = 1 + sum(view.transfer.gains[i, k] > gain for k in others)
    similarity_rank = 1 + sum(view.shown.matrix[i, k] > view.shown.matrix[i, j] for k in others)
    back = view.transfer.gains[j, i]
    cards = st.grid(4, min_column_width=190, gap="small")
    figures = (
        ("Alone", _score(view.transfer.alone[i]), "without a donor"),
        ("With this donor", _score(view.transfer.scores[i, j]), points(gain)),
        (
            "Measured rank",
            f"{place} of {len(others)}",
            f"by similarity {similarity_rank}" if view.known else "by gain",
        ),
        (
            "The other way",
            points(back) if np.isfinite(back) else "–",
            f"what {shorten(infos[target].title)} does for it",
        ),
    )
    for title, value, note in figures:
        with cards.cell(), st.container(border=True, height="stretch", gap="xsmall"):
            st.metric(title, value)
            st.caption(plain(note))
    words = guessing.words(target)
    if words:
        st.caption(words)
    with st.container(horizontal=True, gap="medium"):
        st.page_link(
            SIMILARITY.path, label="Why these two are alike", icon=SIMILARITY.icon,
            query_params=to(task=target, other=donor),
        )  # fmt: skip
        st.page_link(
            NEW_RUN.path, label=f"Tune {plain(infos[target].title)}", icon=NEW_RUN.icon, query_params=to(task=target)
        )


def _pinned(view: TransferView) -> dict[str, Any]:
    """What a story needs to know of it."""
    return {"kind": view.shown.kind, "predictor": view.shown.predictor, "shots": view.transfer.shots}


def _score(value: float) -> str:
    return f"{value:.1f}"


def prediction(view: TransferView, predictors: Sequence[str], target: str | None) -> None:
    """Similarity against gain, and how every predictor of the kind does."""
    if not view.known:
        st.caption("How alike these tasks are is not known here: their embeddings are not kept.")
        return
    page = st.grid(5, min_column_width=280, gap="medium")  # the table needs 600 pixels: on a laptop it goes below
    with page.cell(column_span=3):
        st.markdown(f"**{view.shown.title}** :gray[against the measured gain]")
        charts.draw(
            predicted_against_measured(
                view.shown.matrix, view.transfer.gains, view.shown.infos, target=target, dark=charts.dark()
            ),
            key="predicted",
            alt="Scatter of similarity against measured gain, a point for each target and donor",
            pinned=None if view.few else ("prediction", {**_pinned(view), "task": target}),
        )
    with page.cell(column_span=2):
        st.markdown("**Which similarity predicts the gain?**")
        st.dataframe(
            _grades(view, predictors),
            hide_index=True,
            column_config={
                title: st.column_config.TextColumn(title, help=help_text) for title, help_text in MEASURES.values()
            },
            alt="Rank correlation, NDCG and regret of each predictor with intervals",
        )
        st.caption(
            "Mean over targets; in brackets the 95 % bootstrap interval over targets. “Random order”: the mean over "
            f"{RANDOM_ORDERS} random orders."
        )


def _grades(view: TransferView, predictors: Sequence[str]) -> pd.DataFrame:
    measured = float(np.nansum(view.transfer.scores**2))
    key = (context.backbone(), view.shown.kind, view.transfer.shots, *view.shown.names, measured)
    return _graded(key, tuple(predictors), view)


@st.cache_data(max_entries=16, show_spinner="Evaluating the predictors …")
def _graded(key: tuple[Any, ...], predictors: tuple[str, ...], _view: TransferView) -> pd.DataFrame:
    gains, names = _view.transfer.gains, _view.shown.names
    grades: dict[str, dict[str, np.ndarray]] = {}
    for predictor in predictors:
        try:
            each = source.load_kept(_view.shown.kind, predictor)
            known = set(names) <= set(each.names)
            if known and isinstance(each, SparseSource):
                each, known = source.few(each, names)
        except PiTuningError:
            continue  # it shows when it is chosen
        if known and isinstance(each, Source):
            grades[label(PREDICTORS, predictor)] = grade_targets(each.only(names).matrix, gains, measures=MEASURES)
    rng = np.random.default_rng(0)
    drawn = [grade_targets(rng.random(gains.shape), gains, measures=MEASURES) for _ in range(RANDOM_ORDERS)]
    grades["Random order"] = {name: np.mean([one[name] for one in drawn], axis=0) for name in MEASURES}
    rows = []
    for predictor, measured in grades.items():
        row: dict[str, Any] = {"Predictor": predictor}
        for name, (title, _) in MEASURES.items():
            got = interval(measured[name])
            digits = 1 if name.startswith("regret") else 2
            row[title] = f"{got.mean:.{digits}f} ({got.low:.{digits}f} to {got.high:.{digits}f})".replace("-", "−")
        rows.append((interval(measured["spearman"]).mean, row))
    return pd.DataFrame([row for _, row in sorted(rows, key=lambda pair: -np.nan_to_num(pair[0], nan=-2))])


def results(runs: Sequence[Run]) -> None:
    """Every finished low-shot run of this workspace, seeds together: a row opens its newest run."""
    rows, first = [], []
    for together in by_seeds(runs):
        measured = runs_data.results(together)
        if not measured:
            continue
        config = together[0].spec.config
        gain = difference(measured, "single")
        every = [scores(one) for one in measured]
        row: dict[str, Any] = {
            "Target": runs_data.about(together[0])[0],
            "Kind": label(KINDS, str(config.get("kind", "lora"))),
            "Shots": config.get("shots", 16),
            "Seeds": len(measured),
            guessing.COLUMN: guessing.short(together[0].spec.subject, measured[0]),
            "π minus single": "–" if gain is None else f"{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})",
            method_label("pi"): float(np.mean([one["pi"] for one in every if "pi" in one])),
        }
        for method in ASKED:
            values = [one[method] for one in every if method in one]
            row[method_label(method)] = float(np.mean(values)) if values else None
        rows.append(row)
        first.append(together[0].id)
    if not rows:
        empty(
            "No low-shot results yet",
            "When a run is done, its methods are compared here, over all seeds, with links to the runs.",
            icon=":material/table_chart:",
        )
        st.page_link(NEW_RUN.path, label="Start a run", icon=NEW_RUN.icon, query_params=to())
        return
    table = pd.DataFrame(rows)
    chosen = whole_rows.draw(
        table, placeholder="–", key="low_shot",
        column_config={
            name: st.column_config.NumberColumn(format="%.1f")
            for name in table.columns
            if name not in ("Target", "Kind", "Shots", "Seeds", "π minus single", guessing.COLUMN)
        }
        | {guessing.COLUMN: guessing.column()},
        alt="Test scores of all methods for each target, kind and number of shots",
    )  # fmt: skip
    st.caption(
        "Test scores in points, mean over seeds. Brackets: 95 % interval, over seeds where there are several, "
        "else over test examples. Choose a row for its runs."
    )
    if chosen and chosen[0] < len(first):
        st.page_link(RUNS.path, label="Open its newest run", icon=RUNS.icon, query_params=to(run=first[chosen[0]]))
