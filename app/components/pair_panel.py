"""Two tasks and how alike they are: by every predictor, from both sides, part by part of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components import charts, context, pair_sentence, source
from app.components.guard import empty, guarded, plain
from app.components.links import linked_pair, one_of, to
from app.components.pages import GRAPH
from app.components.source import Source
from app.components.words import KINDS, MODALITY_ICONS, PREDICTORS, Word, label
from pituning.errors import PiTuningError
from pituning.figures.similarity import part_bars
from pituning.graph.build import shorten
from pituning.graph.matrix import PairView, view_pair
from pituning.graph.zoo_parts import Part
from pituning.tasks.registry import TaskInfo
from pituning.workspace.transfer import Transfer

NEAR = 3
PARTS = {
    "layer": Word("By layer", "Each layer of the network alone."),
    "module": Word("By module", "The same module of all layers together, such as the queries of self-attention."),
}
SIMILARITY_HELP = (
    "By the predictor that is chosen above. SD: standard deviations from the mean of all pairs. The interval is a 95 % "
    "bootstrap interval over the examples behind the embeddings."
)


def choose(whole: Source) -> tuple[str | None, str | None]:
    """The chosen pair, which is kept in the address; a click in the matrix sets it, too."""
    return linked_pair({info.name: info.title for info in whole.infos}, ("Task", "Other task"))


def show(
    whole: Source, predictors: Sequence[str], task: str | None, other: str | None, *, beside_graph: bool = False
) -> None:
    """Everything about the pair, or what to do to see it.

    Args:
        beside_graph: where the task graph is on the page: then one sentence comes first, and the parts of the network
            are one level deeper.
    """
    if task is None or other is None or task == other:
        text = "A task is exactly like itself: choose two different ones." if task and task == other else (
            "Click a cell of the matrix, or choose two tasks by name."
        )  # fmt: skip
        empty("No pair chosen", text, icon=":material/ads_click:")
        return
    infos = {info.name: info for info in whole.infos}
    a, b = infos[task], infos[other]
    pair = view_pair(whole.matrix, whole.names.index(task), whole.names.index(other), whole.replicates, top=NEAR)
    _heading(a, b)
    if beside_graph:
        ranks = {(other, task): pair.rank, (task, other): pair.rank_back}
        pair_sentence.show(whole.kind, whole.names, (task, other), ranks, len(infos) - 1, predictor=whole.predictor)
    _numbers(a, b, pair, len(infos) - 1, narrow=beside_graph)
    if beside_graph:
        with guarded("The measured transfer"):
            _measured(whole, a, b, narrow=True)
        deeper = st.expander(
            "Where they are alike, and by every predictor", icon=":material/layers:", key="pair_deeper",
            on_change="rerun",
        )  # fmt: skip
        if deeper.open:
            with deeper:
                with guarded("The parts"):
                    _parts(whole, task, other)
                with guarded("The other predictors"):
                    _predictors(whole, predictors, a, b)
        return
    page = st.grid(2, min_column_width=430, gap="medium")
    with page.cell(), guarded("The parts"):
        _parts(whole, task, other)
    with page.cell():
        with guarded("The measured transfer"):
            _measured(whole, a, b)
        with guarded("The other predictors"):
            _predictors(whole, predictors, a, b)
    with st.container(horizontal=True, gap="medium"):
        for info in (a, b):
            st.page_link(
                GRAPH.path,
                label=f"{plain(info.title)} in the task graph",
                icon=GRAPH.icon,
                query_params=to(
                    task=info.name, kind=label(KINDS, whole.kind), predictor=label(PREDICTORS, whole.predictor)
                ),
            )


def _heading(a: TaskInfo, b: TaskInfo) -> None:
    st.header(f"{plain(a.title)} – {plain(b.title)}", anchor=False)
    shared = [family for family in a.families if family in b.families]
    with st.container(horizontal=True, gap="xsmall"):
        for modality in dict.fromkeys((a.modality, b.modality)):
            st.badge(plain(modality), icon=MODALITY_ICONS.get(modality), color="blue")
        if a.modality != b.modality:
            st.badge("across modalities", icon=":material/swap_horiz:", color="violet")
        for family in shared:
            st.badge(plain(family), icon=":material/account_tree:", color="gray", help="A family of both.")


def _numbers(a: TaskInfo, b: TaskInfo, pair: PairView, others: int, *, narrow: bool) -> None:
    cards = st.grid(2, min_column_width=180, gap="small") if narrow else st.grid(3, min_column_width=220, gap="small")
    with cards.cell(column_span="all" if narrow else 1), st.container(border=True, height="stretch", gap="xsmall"):
        st.metric("Similarity", _signed(pair.similarity, 3), help=SIMILARITY_HELP)
        notes = [f"{_signed(pair.standardised, 1, plus=True)} SD"]
        if pair.low is not None and pair.high is not None:
            notes.append(f"interval {_signed(pair.low, 2)} to {_signed(pair.high, 2)}")
        st.caption(" · ".join(notes))
    seen = ((a, b, pair.rank, pair.confidence), (b, a, pair.rank_back, pair.confidence_back))
    for one, two, place, confidence in seen:
        with cards.cell(), st.container(border=True, height="stretch", gap="xsmall"):
            st.metric(
                f"Rank for {plain(shorten(one.title))}", f"{place} of {others}",
                help=f"The rank of {plain(two.title)} among the tasks most similar to {plain(one.title)}.",
            )  # fmt: skip
            st.caption(
                "no resampling of examples for this predictor"
                if confidence is None
                else f"in its top {NEAR} in {100 * confidence:.0f} % of resamplings"
            )


def _signed(value: float, digits: int, *, plus: bool = False) -> str:
    return f"{value:{'+' if plus else ''}.{digits}f}".replace("-", "−")


def _parts(whole: Source, task: str, other: str) -> None:
    """Where in the network the two are alike."""
    part: Part = "module" if one_of("Where they are alike", PARTS, key="parts") == "module" else "layer"
    parts = context.parts(whole.kind, whole.predictor, part)
    names = context.similarity(whole.kind, whole.predictor).names
    if not parts or task not in names or other not in names:
        st.caption("Only what is measured from Fisher embeddings that are kept can be told part by part.")
        return
    i, j = names.index(task), names.index(other)
    off = ~np.eye(len(names), dtype=bool)
    values = {name: float(matrix[i, j]) for name, matrix in parts.items()}
    usual = {name: float(matrix[off].mean()) for name, matrix in parts.items()}
    most = max(values, key=lambda name: values[name] - usual[name])
    charts.draw(
        part_bars(values, usual, unit=f"Similarity in the {part}", dark=charts.dark()),
        key="pair_parts",
        alt=f"Similarity of the two tasks in each of {len(values)} {part}s; furthest above the mean pair in {most}",
        pinned=(
            "parts",
            {"kind": whole.kind, "predictor": whole.predictor, "task": task, "other": other, "part": part},
        ),
    )


def _measured(whole: Source, a: TaskInfo, b: TaskInfo, *, narrow: bool = False) -> None:
    """What was predicted for each as a donor of the other, and what was measured."""
    counts = context.transfer_shots(whole.kind)
    transfer = context.transfer(whole.kind, counts[-1], tuple(whole.names)) if counts else None
    ways = () if transfer is None else (_way(whole, transfer, a, b), _way(whole, transfer, b, a))
    rows = [row for row in ways if row]
    if not rows or transfer is None:
        st.markdown("**Predicted and measured**")
        st.caption(
            f"It has not been measured yet whether {label(KINDS, whole.kind)} experts of these two help each other."
        )
        return
    shots = f"{transfer.shots} shots" if transfer.shots else "no training on the target"
    st.markdown(f"**Predicted and measured** :gray[· {shots}]")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="pair_measured",
        column_config={
            "Donor → target": st.column_config.TextColumn(width=160 if narrow else None),
            "Gain": st.column_config.NumberColumn(
                format="%+.1f",
                width=64,
                help="Points of the target’s metric with the donor, less without. Negative: harm.",
            ),
            "Measured": st.column_config.TextColumn(width=90, help="The donor’s rank among all by measured gain."),
            "Predicted": st.column_config.TextColumn(width=90, help="Its rank among the same by similarity."),
        },
        alt="Measured gain and predicted place of each task as a donor of the other",
    )


def _way(whole: Source, transfer: Transfer, donor: TaskInfo, target: TaskInfo) -> dict[str, Any] | None:
    """One direction; None where it was not measured."""
    i, j = transfer.names.index(target.name), transfer.names.index(donor.name)
    gains = transfer.gains[i]
    if not np.isfinite(gains[j]):
        return None
    known = [k for k in range(len(transfer.names)) if k != i and np.isfinite(gains[k])]
    places = [1 + sum(values[k] > values[j] for k in known) for values in (gains, whole.matrix[i])]
    return {
        "Donor → target": f"{shorten(donor.title)} → {shorten(target.title)}",
        "Gain": float(gains[j]),
        "Measured": f"{places[0]} of {len(known)}",
        "Predicted": f"{places[1]} of {len(known)}",
    }


def _predictors(whole: Source, predictors: Sequence[str], a: TaskInfo, b: TaskInfo) -> None:
    """What every predictor of this kind says of the pair."""
    st.markdown(f"**By every predictor** :gray[· {label(KINDS, whole.kind)}]")
    rows = []
    for predictor in predictors:
        try:
            each = whole if predictor == whole.predictor else source.load(whole.kind, predictor)
        except PiTuningError:
            continue  # it shows when it is chosen
        if a.name in each.names and b.name in each.names:
            pair = view_pair(each.matrix, each.names.index(a.name), each.names.index(b.name))
            rows.append(
                {
                    "Predictor": label(PREDICTORS, predictor),
                    "Similarity": pair.similarity,
                    "SD": pair.standardised,
                    "Rank for first": pair.rank,
                    "Rank for second": pair.rank_back,
                }
            )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="pair_predictors",
        column_config={
            "Similarity": st.column_config.NumberColumn(format="%.3f"),
            "SD": st.column_config.NumberColumn(format="%+.1f", help="Standard deviations from the mean of all pairs."),
            **{
                f"Rank for {place}": st.column_config.NumberColumn(
                    help=f"Rank of the other task among those most similar to {plain(info.title)}, 1 the nearest."
                )
                for place, info in (("first", a), ("second", b))
            },
        },
        alt="Similarity and ranks of the pair by each predictor",
    )
