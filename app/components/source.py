"""Which similarities a page shows: the kind of expert and the predictor, in the address under the names people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app.components import context
from app.components.words import KINDS, PREDICTORS, label, shots_label
from pituning.reports.reader import NearestZoo, Zoo
from pituning.workspace.similarity import NearestSimilarity


def choose(available: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """The controls for kind and predictor. ``available`` has the predictors that are there for each kind."""
    kind = st.segmented_control(
        "Expert kind", list(available), format_func=lambda name: label(KINDS, name), required=True,
        default=next(iter(available)), key="kind", bind="query-params",
        help="Which kind of expert the task embeddings are of. "
        + " ".join(f"**{KINDS[name].label}**: {KINDS[name].help}" for name in available),
    )  # fmt: skip
    kind = kind if kind in available else next(iter(available))
    predictor = st.selectbox(
        "Similarity", available[kind], format_func=lambda name: label(PREDICTORS, name), key="predictor",
        bind="query-params", width=190,
        help="  \n".join(f"**{PREDICTORS[name].label}**: {PREDICTORS[name].help}" for name in available[kind]),
    )  # fmt: skip
    return kind, predictor


def choose_shots(counts: Sequence[int]) -> int:
    """At which of the measured numbers of shots; the same choice on every page."""
    if 0 in counts and st.query_params.get("shots") == "None":  # what older addresses say
        del st.query_params["shots"]
        st.session_state["shots"] = 0
    chosen = st.segmented_control(
        "Shots", counts, format_func=shots_label, required=True,
        default=counts[-1], key="shots", bind="query-params",
        help="How many examples per class the donor is trained on before it is tested. Zero-shot: the donor’s "
        "expert answers the target as it is.",
    )  # fmt: skip
    return counts[-1] if chosen is None else chosen


class Source(Zoo):
    """Similarities with what is known of their tasks, which are all in the workspace."""

    @property
    def title(self) -> str:
        return f"{label(KINDS, self.kind)} · {label(PREDICTORS, self.predictor)}"


class SparseSource(NearestZoo):
    """The same of very many tasks, of which only the most similar of each are kept."""


def load_kept(kind: str, predictor: str) -> Source | SparseSource:
    """The similarities of a kind and predictor in the form in which they are kept.

    Raises:
        ArtefactError: they have not been made or are damaged.
    """
    kept, known = context.kept_similarity(kind, predictor), context.tasks()
    if not isinstance(kept, NearestSimilarity):
        return Source.of(kept, known, kind, predictor)
    return SparseSource.of(kept, known, kind, predictor)


def few(whole: SparseSource, names: Sequence[str]) -> tuple[Source, bool]:
    """Some tasks of very many with all their pairs, and whether S of them is known; where it is not, it is 0.

    Raises:
        ArtefactError: an embedding is damaged.
    """
    matrix = context.similarity_among(whole.kind, whole.predictor, tuple(names))
    whole_known = not np.isnan(matrix).any()
    known = context.tasks()
    none = np.zeros((0, len(names), len(names)))
    made = Source(
        kind=whole.kind, predictor=whole.predictor, infos=tuple(known[name] for name in names),
        matrix=np.nan_to_num(matrix), replicates=none,
    )  # fmt: skip
    return made, whole_known


def load(kind: str, predictor: str) -> Source:
    """The similarities of a kind and predictor.

    Raises:
        ArtefactError: they have not been made or are damaged.
        BadInput: the tasks are so many that not all pairs are kept.
    """
    return Source.of(context.similarity(kind, predictor), context.tasks(), kind, predictor)
