"""Similarity of very many tasks, of which not all pairs are kept: one task's nearest, a few as a matrix, a pair."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import (
    context,
    graph_controls,
    graph_view,
    lens,
    matrix_view,
    own_tasks,
    pair_sentence,
    pin,
    source,
    task_panel,
)
from app.components.graph_shown import GraphView, of_source
from app.components.guard import empty, guarded, plain
from app.components.links import linked_pair, linked_tasks, one_of, to
from app.components.matrix_view import MatrixView
from app.components.pages import GRAPH
from app.components.source import SparseSource
from app.components.words import KINDS, ORDERS, PREDICTORS, SCALES, label
from pituning.graph.build import shorten
from pituning.graph.matrix import order_tasks
from pituning.graph.sparse import sparse_neighbors

MOST_SHOWN = 150
"""Tasks in a matrix: their embeddings are read while somebody waits."""


def graph(whole: SparseSource) -> GraphView | None:
    """The control that puts similarities on the graph in place of a matrix; the graph, where that is wanted."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if not lens.choose():
            return None
        lines = graph_controls.kept_lines(whole.kept)
    return of_source(whole, own=own_tasks.on_graph(whole.kind, whole.names), measured=False, **lines)


def show(whole: SparseSource) -> None:
    """The page of the similarities, from its second row on."""
    titles = {info.name: info.title for info in whole.infos}
    task, other = linked_pair(titles, ("Task", "Other task"), placeholders=("Choose a task", "Compare with another"))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        order, scale = one_of("Order", ORDERS, key="order"), one_of("Values", SCALES, key="scale")
        with st.container(width="stretch"):
            chosen = linked_tasks(
                "Tasks in the matrix", whole.names, format_func=titles.__getitem__,
                placeholder="Those nearest to the task",
                help_text="These in place of the task’s nearest. A lasso on the Map chooses them, too.",
            )  # fmt: skip
    if task is None and len(chosen) < 2:
        empty(
            "No task chosen",
            f"Of {len(titles):,} tasks not all pairs are kept. Choose a task to see its nearest, or several to compare "
            "them all.",
            icon=":material/ads_click:",
        )
        return
    page = st.grid(5, min_column_width=196, gap="medium")
    with page.cell(column_span=3), guarded("The matrix"):
        _matrix(whole, task, other, chosen, order, scale)
    with page.cell(column_span=2):
        if task is not None:
            near = sparse_neighbors(whole.kept, task, whole.kept.tasks.shape[1])
            with st.container(key="nearest"):
                task_panel.neighbours(task, near, titles, on_open=_open_beside)
            st.caption(f"{graph_view.kept_words(whole.kept)} Click one to compare the two.")
            pin.button("neighbours", {"kind": whole.kind, "predictor": whole.predictor, "task": task}, key="nearest")
    if task is not None and other is not None and task != other:
        with guarded("This pair"):
            pair(whole, task, other)
            _links(whole, task, other)


def _open_beside(key: str, names: Sequence[str]) -> None:
    graph_view.open_neighbour(key, names, beside=True)


def _matrix(
    whole: SparseSource, task: str | None, other: str | None, chosen: Sequence[str], order: str, scale: str
) -> None:
    """The tasks that were picked out, or else the chosen one with its nearest, and with the one it is compared with."""
    names = list(chosen)
    if len(names) < 2 and task is not None:
        near = sparse_neighbors(whole.kept, task, whole.kept.tasks.shape[1])
        names = list(dict.fromkeys([task, *(one.task for one in near), *([] if other is None else [other])]))
    if len(names) > MOST_SHOWN:
        st.info(f"The first {MOST_SHOWN} of the {len(names)} tasks are shown.")
        names = names[:MOST_SHOWN]
    few, known = source.few(whole, names)
    if not known:
        st.info(
            f"The pairs of {label(PREDICTORS, whole.predictor)} are not all known here, so there is no matrix: only "
            "what each task is nearest to is kept, and embeddings from which the rest could be computed are not.",
            icon=":material/info:",
        )
        return
    at = order_tasks(few.matrix, few.infos, order)  # type: ignore[arg-type]
    main = few.only([few.names[i] for i in at])
    view = MatrixView(main=main, other=None, whole=few, total=len(whole.infos), order=order, scale=scale)  # type: ignore[arg-type]
    matrix_view.draw(view, (task, other))


def pair(whole: SparseSource, task: str, other: str) -> None:
    """How alike two tasks are, and the place of each among the most similar of the other."""
    kept, known = whole.kept, context.tasks()
    st.header(" – ".join(plain(known[name].title) for name in (task, other)), anchor=False)
    ways = ((task, other), (other, task))
    ranks = {
        (a, b): near.rank for a, b in ways for near in sparse_neighbors(kept, a, kept.tasks.shape[1]) if near.task == b
    }
    pair_sentence.show(whole.kind, (task, other), (task, other), {(b, a): rank for (a, b), rank in ranks.items()},
                       len(kept.names) - 1)  # fmt: skip
    few, computed = source.few(whole, [task, other])
    if not computed:
        st.caption(f"Neither is among the {kept.tasks.shape[1]} tasks most similar to the other; no more are kept.")
        return
    value = float(few.matrix[0, 1])
    away = (value - kept.mean) / (kept.deviation if kept.deviation > 1e-12 else 1.0)
    with st.grid(3, min_column_width=140, gap="small"):
        st.metric(
            "Similarity", f"{value:.3f}".replace("-", "−"),
            help=f"{away:+.1f} standard deviations from the mean of all pairs.".replace("-", "−"),
        )  # fmt: skip
        for a, b in ways:
            rank = str(ranks[a, b]) if (a, b) in ranks else f"> {kept.tasks.shape[1]}"
            st.metric(f"Rank for {plain(shorten(known[a].title))}", f"{rank} of {len(kept.names) - 1:,}")


def _links(whole: SparseSource, task: str, other: str) -> None:
    common = {"kind": label(KINDS, whole.kind), "predictor": label(PREDICTORS, whole.predictor)}
    with st.container(horizontal=True, gap="medium"):
        for name in (task, other):
            st.page_link(
                GRAPH.path, label=f"{plain(context.tasks()[name].title)} in the task graph", icon=GRAPH.icon,
                query_params=to(task=name, **common),
            )  # fmt: skip
