"""What stands beside the graph of the zoo: one task, or two and why they are alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.components import communities, context, graph_view, nearest_view, own_tasks, pair_panel, task_panel
from app.components.graph_shown import GraphView
from app.components.guard import empty, guarded, plain
from app.components.links import to
from app.components.pages import SIMILARITY
from app.components.source import Source, SparseSource
from app.components.words import KINDS, PREDICTORS, label


def show(
    view: GraphView, whole: Source | SparseSource, predictors: Sequence[str], task: str | None, other: str | None
) -> None:
    """The chosen task, the chosen pair, or how to choose one."""
    if task is None:
        empty(
            "No task chosen",
            "Click a point of the graph, or find a task by name, to see its examples and its neighbours. Click a line "
            "to see why two tasks are alike.",
            icon=":material/ads_click:",
        )
        communities.show(view)
    elif other is None:
        _task(view, task)
    else:
        _pair(view, whole, predictors, task, other)


def more(whole: Source | SparseSource, task: str | None, other: str | None) -> None:
    """What takes longer to draw, below what `show` says of a task: measured transfer and examples."""
    if task is not None and other is None:
        _details(whole, task)


def _task(view: GraphView, name: str) -> None:
    own, graph = view.own_task(name), view.graph()
    called = graph.nodes[name]["community_name"] if own is None and name in graph else ""
    task_panel.heading(context.tasks()[name], community=called)
    task_panel.use_as_target(name)
    if own is not None:
        own_tasks.where_from(own)
    task_panel.neighbours(
        name, view.near(name), graph_view.titles(), on_open=graph_view.open_neighbour,
        expected=None if own is None else own.expected.gains,
    )  # fmt: skip


def _details(whole: Source | SparseSource, name: str) -> None:
    info, titles = context.tasks()[name], graph_view.titles()
    if name in whole.names:
        with guarded("The measured transfer"):
            known = {one: titles[one] for one in whole.names}
            task_panel.transfer(whole.kind, name, known, on_open=partial(graph_view.open_neighbour, beside=True))
    task_panel.about(info)


def _pair(view: GraphView, whole: Source | SparseSource, predictors: Sequence[str], task: str, other: str) -> None:
    titles = graph_view.titles()
    missing = [name for name in (task, other) if name not in whole.names]
    owned = [one for name in missing if (one := view.own_task(name)) is not None]
    if len(missing) == len(owned) == 1:
        own_tasks.pair(owned[0], other if task == missing[0] else task)
    elif missing:
        empty(
            "Nothing to compare",
            f"{plain(titles[missing[0]])} has no expert in the zoo yet, so its similarities are not known.",
            icon=":material/compare_arrows:",
        )
    else:
        if isinstance(whole, SparseSource):
            nearest_view.pair(whole, task, other)
        else:
            pair_panel.show(whole, predictors, task, other, beside_graph=True)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f"Only {plain(titles[task])}", icon=":material/arrow_back:", key="pair_close", type="tertiary",
            on_click=graph_view.forget, args=("other",),
        )  # fmt: skip
        if not missing:
            st.page_link(
                SIMILARITY.path,
                label="In the similarity matrix",
                icon=SIMILARITY.icon,
                query_params=to(
                    task=task,
                    other=other,
                    kind=label(KINDS, whole.kind),
                    predictor=label(PREDICTORS, whole.predictor),
                ),
            )
