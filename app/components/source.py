"""Which similarities a page shows: the kind of expert and the predictor, in the address under the names people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.components import context
from app.components.words import KINDS, PREDICTORS, label
from pituning.tasks.registry import TaskInfo


def choose(found: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """The controls for kind and predictor. ``found`` has the predictors that are there for each kind."""
    kind = st.segmented_control(
        "Expert kind", list(found), format_func=lambda name: label(KINDS, name), required=True,
        default=next(iter(found)), key="kind", bind="query-params",
        help="Which kind of expert the task embeddings are of. "
        + " ".join(f"**{KINDS[name].label}**: {KINDS[name].help}" for name in found),
    )  # fmt: skip
    kind = kind if kind in found else next(iter(found))
    predictor = st.selectbox(
        "Similarity", found[kind], format_func=lambda name: label(PREDICTORS, name), key="predictor",
        bind="query-params", width=190,
        help="  \n".join(f"**{PREDICTORS[name].label}**: {PREDICTORS[name].help}" for name in found[kind]),
    )  # fmt: skip
    return kind, predictor


def choose_shots(counts: Sequence[int]) -> int:
    """At which of the measured numbers of shots; the same choice on every page."""
    chosen = st.segmented_control(
        "Shots", counts, format_func=lambda count: f"{count} shots" if count else "None", required=True,
        default=counts[-1], key="shots", bind="query-params",
        help="How many examples per class the donor is trained on before it is tested. None: the donor’s expert "
        "answers the target as it is.",
    )  # fmt: skip
    return counts[-1] if chosen is None else chosen


@dataclass(frozen=True, kw_only=True)
class Source:
    """Similarities with what is known of their tasks, which are all in the workspace."""

    kind: str
    predictor: str
    infos: tuple[TaskInfo, ...]
    matrix: np.ndarray
    replicates: np.ndarray

    @property
    def names(self) -> list[str]:
        return [info.name for info in self.infos]

    @property
    def title(self) -> str:
        return f"{label(KINDS, self.kind)} · {label(PREDICTORS, self.predictor)}"

    def only(self, names: Sequence[str]) -> Source:
        """The same for some of the tasks, in the given order."""
        at = [self.names.index(name) for name in names]
        return Source(
            kind=self.kind,
            predictor=self.predictor,
            infos=tuple(self.infos[i] for i in at),
            matrix=self.matrix[np.ix_(at, at)],
            replicates=self.replicates[:, at][:, :, at],
        )


def load(kind: str, predictor: str) -> Source:
    """The similarities of a kind and predictor.

    Raises:
        ArtefactError: they have not been made or are damaged.
    """
    zoo = context.similarity(kind, predictor)
    known = context.tasks()
    at = [i for i, name in enumerate(zoo.names) if name in known]  # a task may have been removed since
    whole = len(at) == len(zoo.names)
    return Source(
        kind=kind,
        predictor=predictor,
        infos=tuple(known[zoo.names[i]] for i in at),
        matrix=zoo.matrix if whole else zoo.matrix[np.ix_(at, at)],
        replicates=zoo.replicates if whole else zoo.replicates[:, at][:, :, at],
    )
