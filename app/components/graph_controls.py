"""The row above the task graph of the zoo, and its options: what is drawn, by which similarity, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import context, own_tasks, source
from app.components.graph_shown import NEAREST, GraphView, of_source
from app.components.graph_view import downloads
from app.components.links import one_of
from app.components.source import Source, SparseSource
from app.components.words import KINDS, Word, label
from pituning.figures.task_graph import ColourBy
from pituning.graph.directed import BEST
from pituning.graph.layout import CROWD
from pituning.workspace.similarity import NearestSimilarity
from pituning.workspace.transfer import Transfer

MOST_LINES = 20_000

COLOURS: tuple[ColourBy, ...] = ("modality", "community")
LINES = {
    "similarity": Word("Similarity", "Lines join tasks whose embeddings are alike."),
    "transfer": Word("Measured transfer", "Arrows lead from a donor to the target that its expert helped or harmed."),
}
ARROWS = {
    "best": Word("Best", "The donors that help each task most, or harm it least."),
    "worst": Word("Worst", "The donors that harm each task most."),
    "size": Word("Above", "Every effect, good or bad, of at least some size."),
}
SIZES = {
    "data": Word("Data", "The area of a point is in proportion to the task’s training examples."),
    "degree": Word("Degree", "The area of a point is in proportion to its lines."),
}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The row above a graph.

    Args:
        visible: the place of what one sees at once.
        first, options, last: the place of all the rest, which opens on demand: which graph it is, how it is drawn, and
            what can be done with it.
    """

    visible: DeltaGenerator
    first: DeltaGenerator
    options: DeltaGenerator
    last: DeltaGenerator


def bar() -> Bar:
    """The row above a graph; controls go into its parts."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        visible = st.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content")
        with st.popover("Options", icon=":material/tune:", key="graph_options"):
            return Bar(visible=visible, first=st.container(), options=st.container(), last=st.container())


def _row() -> DeltaGenerator:
    return st.container(horizontal=True, vertical_alignment="bottom", gap="medium")


def zoo(available: Mapping[str, Sequence[str]], places: Bar) -> tuple[GraphView, Source | SparseSource]:
    """The controls of the zoo's graph.

    Args:
        available: the predictors that are there for each kind.
        places: where they go.
    """
    with places.options, _row():
        kind, predictor = source.choose(available)
    whole = source.load_kept(kind, predictor)
    with places.visible:
        # Of very many tasks nobody has measured what each does for each.
        drawn = "similarity" if isinstance(whole, SparseSource) else one_of("Lines show", LINES, key="view")
        colour_by = colour()
    with places.options:
        options: dict[str, Any] = {"k": None, "threshold": None}
        if drawn == "transfer" and isinstance(whole, Source):
            options |= _measured(whole)
        with _row():
            if isinstance(whole, SparseSource):
                options |= kept_lines(whole.kept)
            elif drawn == "similarity":
                options |= lines(whole.matrix)
            elif "gains" in options:
                options |= arrows(options["gains"])
        with _row():
            options |= _sizes(whole) | {"outlined": outlined()}
        view = of_source(
            whole,
            name=f"{kind}-{predictor}{'-transfer' if drawn == 'transfer' else ''}",
            colour_by=colour_by,
            own=own_tasks.on_graph(kind, whole.names),
            **options,
        )
        if view.missing is None:
            downloads(view)
    return view, whole


def _measured(whole: Source) -> dict[str, Any]:
    counts = context.transfer_shots(whole.kind)
    shots = source.choose_shots(counts) if counts else None
    transfer = None if shots is None else context.transfer(whole.kind, shots, tuple(whole.names))
    if transfer is None:
        return {
            "missing": f"For {label(KINDS, whole.kind)} experts it is not measured which donor helps which target. "
            f"Start it on the command line: {context.zoo().command(f'study transfer --kind {whole.kind}')}"
        }
    return effects(whole, transfer)


def effects(whole: Source, transfer: Transfer) -> dict[str, Any]:
    """What was measured between the tasks of the graph, in their order, as options of a `GraphView`."""
    halves = {name: context.gain_intervals(whole.kind, transfer.shots, name) for name in whole.names}
    return {"gains": transfer.only(whole.names).gains, "halves": halves, "shots": transfer.shots}


def colour() -> ColourBy:
    """What the colour of a point tells."""
    chosen = st.segmented_control(
        "Colour", COLOURS, format_func=str.capitalize, required=True, default="modality", key="colour",
        bind="query-params",
        help="Modality: what a task works on. Community: groups with more similarity inside than outside (Louvain).",
    )  # fmt: skip
    return chosen or "modality"


def outlined() -> bool:
    """Whether communities have outlines and names."""
    return st.toggle(
        "Outline communities", True, key="outlines", bind="query-params",
        help="Soft outlines around groups with more similarity inside than outside (Louvain), named by what their "
        "tasks share: planted families, answers, instructions.",
    )  # fmt: skip


def _sizes(whole: Source | SparseSource) -> dict[str, Any]:
    """What the area of a point tells; the points of very many tasks are all alike."""
    if len(whole.infos) > CROWD:
        return {}
    if one_of("Size", SIZES, key="size") == "degree":
        return {"sizes": "degree"}
    sizes = {info.name: float(info.sizes.get("train", 0)) for info in whole.infos}
    return {"sizes": sizes, "size_unit": "training examples"}


def lines(matrix: np.ndarray, known: np.ndarray | None = None) -> dict[str, Any]:
    """Which pairs are joined: the nearest of each task, or all above a threshold.

    Args:
        known: (N, N) which values are known; None where all are.
    """
    count = len(matrix)
    if count < 2:
        return {"k": None, "threshold": None}
    if _line_mode("Above: every pair that is more similar than a threshold.") == "threshold":
        above = np.triu(np.ones_like(matrix, dtype=bool) if known is None else known, k=1)
        chosen = _slider("Similarity of at least", matrix[above], 0.85, key="threshold")
        return {"k": None, "threshold": chosen}
    most = min(8, count - 1)
    return {"k": _count("Nearest shown", most, min(NEAREST, most), key="k"), "threshold": None}


def kept_lines(kept: NearestSimilarity) -> dict[str, Any]:
    """The same where only the most similar of each task are kept."""
    if _line_mode("Above: what is kept and more similar than a threshold.") == "threshold":
        return {"k": None, "threshold": _slider("Similarity of at least", kept.values.ravel(), 0.85, key="threshold")}
    most = min(8, kept.tasks.shape[1])
    return {"k": _count("Nearest shown", most, min(NEAREST, most), key="k"), "threshold": None}


def _line_mode(above: str) -> str | None:
    return st.segmented_control(
        "Lines", ["nearest", "threshold"], format_func={"nearest": "Nearest", "threshold": "Above"}.__getitem__,
        required=True, default="nearest", key="lines", bind="query-params",
        help=f"Nearest: each task to its most similar ones. {above}",
    )  # fmt: skip


def arrows(gains: np.ndarray) -> dict[str, Any]:
    """Which arrows are drawn: those of the best or the worst donors of each task, or all above a size."""
    sizes = np.abs(gains[np.isfinite(gains) & ~np.eye(len(gains), dtype=bool)])
    if not sizes.size:
        return {"k": None, "threshold": None}
    mode = one_of("Arrows", ARROWS, key="arrows")
    if mode == "size":
        return {"k": None, "threshold": _slider("Effect of at least", sizes, 0.9, key="effect")}
    most = min(8, len(gains) - 1)
    count = _count("Into each task", most, min(BEST, most), key="donors_shown")
    return {"k": count, "threshold": None, "worst": mode == "worst"}


def _slider(title: str, values: np.ndarray, start: float, *, key: str) -> float:
    """A threshold between the smallest and the largest value; it starts at a quantile of them.

    Of very many values it begins where `MOST_LINES` are left: a graph of more lines is a blot.
    """
    most = values if len(values) <= MOST_LINES else np.partition(values, len(values) - MOST_LINES)[-MOST_LINES:]
    lowest, highest = float(most.min()), float(most.max())
    spread = highest - lowest
    step = 0.01 if 0.2 <= spread <= 100 else 10.0 ** (math.floor(math.log10(spread)) - 2) if spread > 0 else 0.01
    rounded = math.floor if most is values else math.ceil
    low, high = rounded(lowest / step) * step, math.ceil(highest / step) * step
    if low >= high:
        return lowest
    first = min(max(round(float(np.quantile(most, start)) / step) * step, low), high)
    chosen = st.slider(title, low, high, first, step, format="%.4g", key=key, bind="query-params", width=150)
    return min(max(chosen, low), high)


def _count(title: str, most: int, first: int, *, key: str) -> int:
    if most < 2:
        return 1
    return min(max(st.slider(title, 1, most, first, key=key, bind="query-params", width=150), 1), most)
