"""The step of a new run that says whose experts join: predicted, with reasons and expected gain, or chosen by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from app.components import context, donor_columns, evidence, own_tasks, relatives
from app.components.evidence import Evidence
from app.components.guard import guarded, plain
from app.components.target import Target
from app.components.words import PREDICTORS, label
from pituning.graph.calibrated import LEVEL
from pituning.graph.donor_gains import MOST_HELPFUL, DonorGains
from pituning.graph.harm import points
from pituning.graph.predict import Neighbor, neighbors
from pituning.graph.sparse import sparse_neighbors
from pituning.workspace.similarity import NearestSimilarity

WAYS = {"predicted": "Predicted from the shots", "expected": "Those expected to help", "chosen": "Chosen by me"}
MOST_DONORS = 8


@dataclass(frozen=True, kw_only=True)
class Donors:
    """How many donors, 0 for as many as are expected to help, and who: ``names`` is None when the run predicts them."""

    count: int
    names: tuple[str, ...] | None


def choose(target: Target, kind: str, shots: int) -> Donors | None:
    """Draws the step; None when there is nobody to choose. ``shots``: how many of each class the run will have."""
    candidates = [name for name in context.zoo().expert_dirs(kind) if name != target.name]
    if not candidates:
        st.error(
            "There are no experts of this kind to use as donors; make them with "
            f"`{context.zoo().command('zoo build')}`, or choose another "
            "kind.",
            icon=":material/error:",
        )
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        way = st.segmented_control(
            "Donors are", list(WAYS), format_func=WAYS.__getitem__, default="predicted", required=True,
            key="donors_way",
            help="Predicted: the run embeds the shots and takes the most similar tasks. Those expected to help: as "
            f"many as the measured transfer between other tasks speaks for, none to {MOST_HELPFUL}. Either way the run "
            "sees nothing of the target but the shots.",
        )  # fmt: skip
        most = min(MOST_DONORS, len(candidates))
        count = st.slider(
            "Number of donors", 1, most, min(3, most), key="donors_count", disabled=way != "predicted", width=170,
            help="More donors bring more knowledge and more noise; three is a good start.",
        )  # fmt: skip
    if _complaints(target.name, kind):
        return None
    near = _near(target.name, kind, candidates, count)
    own = None
    if not near and target.uploaded is None:
        own = own_tasks.ranked(target.name, kind)
        near = [] if own is None else [item for item in own.near if item.task in candidates]
    if not near:
        with guarded("Its relatives"):
            relatives.offer(target, kind, shots, count)
    known = None
    readable = False
    with guarded("The measured transfer"):  # the form works without it
        known, readable = evidence.measured(target.name, kind), True
    gains = None
    if readable:  # of the same table
        with guarded("The expected gains"):
            asked = own is not None and own.expected.shots is not None  # then its rows have told already
            gains = own.expected if own is not None and asked else context.expected_gains(kind, target.name, shots)
    if way == "expected":
        helpful = _expected(near, gains, len(candidates), kind, count, known)
        if helpful and readable:
            evidence.tell(known, target, kind, helpful, by_hand=False)
        evidence.tell_past_harm(target.name)
        return Donors(count=0, names=None)
    expected = [item.task for item in near[:count]]
    if way == "chosen":
        titles = {name: info.title for name, info in context.tasks().items()}
        names = st.multiselect(
            "Donors", [*candidates, *_imported(target.name, kind, candidates)], default=expected,
            max_selections=MOST_DONORS, key=f"donors_{target.name}_{kind}",
            format_func=lambda name: titles.get(name, name), placeholder="Choose one or more tasks",
        )  # fmt: skip
        _reasons([item for item in near if item.task in names], len(candidates), kind, count, known, gains)
        if readable:
            evidence.tell(known, target, kind, names, by_hand=True)
        evidence.tell_past_harm(target.name)
        if not names:
            st.caption(":orange[:material/edit:] Choose at least one donor.")
            return None
        return Donors(count=len(names), names=tuple(names))
    if near:
        _reasons(near[:count], len(candidates), kind, count, known, gains)
        st.caption(
            "Expected from the task graph. The run predicts once more, from the shots alone, and may choose others: "
            "of a new task it knows nothing else."
            if own is None
            else "Ranked by a few of its rows. The run predicts once more from its shots, and may choose others."
        )
        if own is not None:
            relatives.door(target.name, kind)
        if gains is not None and gains.reason is not None and readable:
            st.caption(f":material/help: Ranked by similarity alone; no gain is predicted: {plain(gains.reason)}.")
    else:
        st.caption(
            f":material/model_training: This task is new, so its relatives are not known yet. The run embeds its shots "
            f"first and takes the {count} most similar of {len(candidates)} tasks; you will see them as it goes."
        )
    if readable:
        evidence.tell(known, target, kind, expected, by_hand=False)
    evidence.tell_past_harm(target.name)
    return Donors(count=count, names=None)


def _imported(name: str, kind: str, candidates: Sequence[str]) -> list[str]:
    """Experts that somebody imported under a name of their own: they lend where they are chosen by hand."""
    return [
        entry.name
        for entry in context.experts()
        if entry.kind == kind and entry.origin == "imported" and entry.problem is None
        and entry.task != name and entry.name not in candidates
    ]  # fmt: skip


def _complaints(name: str, kind: str) -> bool:
    """Says which experts are damaged or belong to another backbone; a run reads all of its kind and would fail."""
    unusable = context.unusable_experts(kind, name) if context.backbone_ready() else {}
    for donor, reason in unusable.items():
        st.error(plain(reason), title=f"The expert “{plain(donor)}” cannot be used", icon=":material/broken_image:")
    return bool(unusable)


def _predictor(kind: str) -> str | None:
    predictors = context.available().get(kind) or []
    return "probe" if "probe" in predictors else next(iter(predictors), None)


def _near(name: str, kind: str, candidates: Sequence[str], count: int) -> list[Neighbor]:
    """All candidates that the graph knows, nearest first; none for a task that it does not know."""
    predictor = _predictor(kind)
    if predictor is None:
        return []
    with guarded("The prediction of donors"):
        similarity = context.kept_similarity(kind, predictor)
        if isinstance(similarity, NearestSimilarity):
            known = name in similarity.names
            nearest = sparse_neighbors(similarity, name, similarity.tasks.shape[1]) if known else []
            return [item for item in nearest if item.task in candidates]
        if name in similarity.names:
            others = len(similarity.names) - 1
            ranked = neighbors(similarity.matrix, similarity.names, name, others)
            top = neighbors(
                similarity.matrix, similarity.names, name, min(count, others), replicates=similarity.replicates
            )
            sure = {item.task: item for item in top}
            return [sure.get(item.task, item) for item in ranked if item.task in candidates]
    return []


def _expected(
    near: Sequence[Neighbor], gains: DonorGains | None, candidates: int, kind: str, count: int, known: Evidence | None
) -> list[str]:
    """Shows who is expected to help, as far as the graph tells before the run looks at the shots, and names them."""
    if gains is None or gains.reason is not None:
        why = "the measurements cannot be read" if gains is None or gains.reason is None else plain(gains.reason)
        st.caption(
            f":material/help: Which donors will help is not known before the run: {why}. The run predicts "
            "again from the shots; if it cannot either, the three most similar tasks are its donors."
        )
        return []
    helpful = [item for name in gains.helpful() for item in near if item.task == name]
    if helpful:
        _reasons(helpful, candidates, kind, count, known, gains)
        st.caption("Expected from the task graph. The run predicts once more, from the shots alone.")
    else:
        st.caption(
            f":material/trending_flat: None of {len(gains.gains)} tasks is expected to help, so the run "
            "tunes a single expert."
        )
    return [item.task for item in helpful]


def _reasons(
    near: Sequence[Neighbor],
    candidates: int,
    kind: str,
    count: int,
    known: Evidence | None,
    gains: DonorGains | None,
) -> None:
    if not near:
        return
    tasks = context.tasks()
    columns: dict[str, Any] = {
        "Donor": [tasks[item.task].title if item.task in tasks else item.task for item in near],
        "Modality": [tasks[item.task].modality if item.task in tasks else "" for item in near],
        "Rank": [f"{item.rank} of {candidates}" for item in near],
        **donor_columns.columns(near, None if gains is None else gains.gains),
    }
    if known is not None:
        measured = [known.gains.get(item.task) for item in near]
        columns["Measured"] = [None if gain is None else points(gain) for gain in measured]
    st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        placeholder="–",
        column_config={
            **donor_columns.config(
                similarity=f"Cosine of the task embeddings ({label(PREDICTORS, _predictor(kind) or '')}).",
                stable=f"In how many of 100 resamplings of the examples this task is among the {count} nearest.",
                gain=_learned_from(gains),
            ),
            "Modality": st.column_config.TextColumn(width=108),
            "Rank": st.column_config.TextColumn(width=62),
            "Measured": st.column_config.TextColumn(width=82, help=None if known is None else known.help_text),
        },
        alt="Donors with the reasons for them",
    )  # fmt: skip


def _learned_from(gains: DonorGains | None) -> str:
    if gains is None or not gains.gains:
        return ""
    return (
        f"Points over a new expert with the same budget, and in brackets the {LEVEL:.0%} interval. Learned from what "
        f"donors did for {gains.targets} other tasks with {gains.shots} shots per class; nothing measured of this task "
        "is used."
    )
