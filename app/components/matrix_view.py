"""The matrix of similarities: its controls, one or two heat maps, and how far two predictors agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components import charts, graph_controls, lens, own_tasks, reveal, source, whole_rows
from app.components.graph_shown import GraphView, of_source
from app.components.guard import guarded
from app.components.links import linked_select, linked_tasks, one_of, set_linked
from app.components.source import Source, SparseSource
from app.components.words import KINDS, ORDERS, PREDICTORS, SCALES, label
from pituning.figures.similarity import similarity_heatmap
from pituning.graph.export import matrix_csv, pairs_csv
from pituning.graph.matrix import (
    Order,
    RankAgreement,
    Scale,
    disagreements,
    on_scale,
    order_tasks,
    rank_agreement,
)

PAIR = "one_pair"
"""The container of the pair that a click opens."""
MOST_SHOWN = 400
"""Tasks; more cells than those of so many are a burden for a browser, and nobody can read them."""

DISAGREEMENTS = 5


@dataclass(frozen=True, kw_only=True)
class MatrixView:
    """What the controls ask for.

    Args:
        main: the similarities that are shown, of the tasks that are shown, in their order.
        other: those beside it, of the same tasks in the same order, or None.
        whole: the similarities of all tasks of which all pairs are at hand.
        total: how many tasks there are.
        graph: the similarities as lines on the task graph, where they are wanted so in place of a matrix.
    """

    main: Source
    other: Source | None
    whole: Source
    total: int
    order: Order
    scale: Scale
    graph: GraphView | None = None


def controls(available: Mapping[str, Sequence[str]]) -> MatrixView | SparseSource:
    """The rows above the matrix; of very many tasks only the first row, and the similarities that it names."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kind, predictor = source.choose(available)
        whole = source.load_kept(kind, predictor)
        if isinstance(whole, SparseSource):
            return whole
        against = _against(available, kind, predictor)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        order, scale, drawn = next(iter(ORDERS)), next(iter(SCALES)), None
        if lens.choose():
            lines = graph_controls.lines(whole.matrix)
            drawn = of_source(whole, own=own_tasks.on_graph(kind, whole.names), measured=False, **lines)
        else:
            order, scale = one_of("Order", ORDERS, key="order"), one_of("Values", SCALES, key="scale")
        with st.container(width="stretch"):
            chosen = linked_tasks(
                "Tasks", whole.names, format_func={info.name: info.title for info in whole.infos}.__getitem__,
                help_text="Only these are shown. A lasso on the Map chooses them, too.",
            )  # fmt: skip
    main, other = (whole, None) if drawn and against is None else _shown(whole, against, chosen)
    at = order_tasks(main.matrix, main.infos, order)  # type: ignore[arg-type]
    names = [main.names[i] for i in at]
    return MatrixView(
        main=main.only(names),
        other=None if other is None else other.only(names),
        whole=whole,
        total=len(whole.infos),
        order=order,  # type: ignore[arg-type]
        scale=scale,  # type: ignore[arg-type]
        graph=drawn,
    )


def _against(available: Mapping[str, Sequence[str]], kind: str, predictor: str) -> Source | None:
    options = {f"{a}.{b}": (a, b) for a, names in available.items() for b in names if (a, b) != (kind, predictor)}
    if not options:
        return None

    def title(name: str) -> str:
        other, way = options[name]
        return label(PREDICTORS, way) if other == kind else f"{label(PREDICTORS, way)} · {label(KINDS, other)}"

    own_kind_first = sorted(options, key=lambda name: options[name][0] != kind)
    with st.container(width=230):
        wanted = linked_select(
            "Compare with", own_kind_first, param="against", format_func=title, placeholder="Nothing",
            help_text="A second matrix beside the first, in the same order, and how far the two agree.",
        )  # fmt: skip
    return None if wanted is None else source.load(*options[wanted])


def _shown(whole: Source, against: Source | None, chosen: Sequence[str]) -> tuple[Source, Source | None]:
    """Of both the tasks that are wanted and that both have, not too many."""
    names = whole.names if against is None else [name for name in whole.names if name in set(against.names)]
    if against is not None and len(names) < len(whole.names):
        st.info(f"{len(whole.names) - len(names)} tasks are missing in the second matrix; they are left out of both.")
    wanted = [name for name in names if name in chosen]
    if len(chosen) == 1:
        st.info("One task alone has no pairs: choose another. Until then, all are shown.")
    elif len(wanted) > 1:
        names = wanted
    if len(names) > MOST_SHOWN:
        st.info(
            f"The first {MOST_SHOWN} of {len(names)} tasks are shown. Choose some, by name or with a lasso on the Map."
        )
        names = names[:MOST_SHOWN]
    return whole.only(names), None if against is None else against.only(names)


def draw(view: MatrixView, chosen: tuple[str | None, str | None]) -> None:
    """The heat map, or two side by side; a click on a cell chooses its pair."""
    if view.other is None:
        with st.container(width=charts.MATRIX_WIDTH):
            _heatmap(view.main, view, chosen, key="matrix")
    else:
        beside = st.grid(2, min_column_width=430, gap="medium")
        for number, each in enumerate((view.main, view.other)):
            with beside.cell():
                st.markdown(f"**{each.title}**")
                _heatmap(each, view, chosen, key=f"matrix_{number}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_reading(view), width="stretch")
        names = view.main.names
        if view.other is None:
            made = partial(matrix_csv, names, on_scale(view.main.matrix, view.scale))
        else:
            both = {
                f"{each.kind}.{each.predictor}": on_scale(each.matrix, view.scale) for each in (view.main, view.other)
            }
            made = partial(pairs_csv, names, both)
        st.download_button(
            "Download CSV", made, file_name=f"{_stem(view)}.csv", mime="text/csv", icon=":material/download:",
            key="matrix_download", on_click="ignore", help="What is shown: these tasks, in this order, on this scale.",
        )  # fmt: skip


def _stem(view: MatrixView) -> str:
    shown = [view.main] if view.other is None else [view.main, view.other]
    return "-".join(["similarity", *(f"{each.kind}-{each.predictor}" for each in shown), view.scale])


def _reading(view: MatrixView) -> str:
    count = len(view.main.infos)
    tasks = f"{count} tasks" if count == view.total else f"{count} of {view.total:,} tasks"
    along = "" if view.scale == "raw" else " Compare values within a row only, among the tasks shown."
    return f"{tasks}. {SCALES[view.scale].help}{along} Click a cell to see its pair below."


def _heatmap(shown: Source, view: MatrixView, chosen: tuple[str | None, str | None], *, key: str) -> None:
    figure = similarity_heatmap(shown.matrix, shown.infos, scale=view.scale, chosen=chosen, dark=charts.dark())
    of = {"kind": shown.kind, "predictor": shown.predictor, "order": view.order, "scale": view.scale}
    scale = SCALES[view.scale].label.lower()
    charts.draw_to_choose(
        figure, key=key, on_choice=_choose,
        alt=f"Heat map of the similarities of {len(shown.infos)} tasks, {shown.title}, {scale}",
        pinned=("similarity", of) if len(view.whole.infos) == view.total else None,  # a slide shows all pairs
    )  # fmt: skip


def _choose(points: list[dict[str, Any]]) -> None:
    """A click on a cell: its row is the task, its column the other one."""
    names = points[-1].get("customdata")
    if isinstance(names, list | tuple) and len(names) == 2:
        choose_pair(str(names[0]), str(names[1]))


def choose_pair(task: str, other: str) -> None:
    """Makes two tasks the chosen pair."""
    set_linked(task=task, other=other)
    reveal.ask(PAIR)


def agreement(view: MatrixView) -> None:
    """How far the two predictors agree, and where they do not."""
    if view.other is None:
        return
    with guarded("The agreement of the two"):
        st.header("How far do the two agree?", anchor=False)
        names = sorted(view.main.names)  # the order on the screen must not change what is drawn at random
        first, second = view.main.only(names), view.other.only(names)
        agreed = _agreement(_key(first, second), first.matrix, second.matrix)
        page = st.grid(2, min_column_width=430, gap="medium")
        with page.cell():
            _numbers(agreed)
        with page.cell():
            _where_not(view)


def _key(*both: Source) -> tuple[Any, ...]:
    return (*(each.title for each in both), *both[0].names, *(float(np.sum(each.matrix**2)) for each in both))


@st.cache_resource(max_entries=32, show_spinner=False)
def _agreement(key: tuple[Any, ...], _first: np.ndarray, _second: np.ndarray) -> RankAgreement:
    return rank_agreement(_first, _second)


def _numbers(agreed: RankAgreement) -> None:
    with st.container(horizontal=True, gap="large"):
        _correlation(
            "Over all pairs", agreed.pairs, agreed.pairs_interval,
            "Spearman’s rank correlation of the two similarities over all pairs of tasks. 1: the same order of pairs, "
            "0: no relation, −1: the opposite order.",
        )  # fmt: skip
        _correlation(
            "Within each task", agreed.targets, agreed.targets_interval,
            "Mean over tasks of Spearman’s rank correlation within a task’s row: do the two name the same neighbours?",
        )  # fmt: skip
    st.caption(
        "Spearman’s ρ, with a 95 % bootstrap interval: the tasks are drawn anew 1,000 times, since pairs that "
        "share a task are not independent."
    )


def _correlation(title: str, value: float | None, interval: tuple[float, float] | None, help_text: str) -> None:
    with st.container(width=230, gap="xxsmall"):
        st.metric(title, "–" if value is None else f"ρ = {_signed(value)}", help=help_text)
        if interval is not None:
            st.caption(f"{_signed(interval[0])} to {_signed(interval[1])}")
        else:
            st.caption("too few tasks for an interval" if value is not None else "one of them does not vary")


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _where_not(view: MatrixView) -> None:
    """The pairs whose places differ most; a click on one chooses it."""
    assert view.other is not None
    rows = disagreements(view.main.matrix, view.other.matrix, DISAGREEMENTS)
    infos = view.main.infos
    pairs = [(infos[row.i].name, infos[row.j].name) for row in rows]
    count = len(infos) * (len(infos) - 1) // 2
    st.markdown(f"**Where they differ most** :gray[· rank among {count} pairs]")
    table: dict[str, Any] = {"Pair": [f"{infos[row.i].title} – {infos[row.j].title}" for row in rows]}
    places = ([round(row.first) for row in rows], [round(row.second) for row in rows])
    table |= dict(zip(_short_titles(view.main, view.other), places, strict=True))
    whole_rows.draw(
        pd.DataFrame(table), key="disagreements", on_select=lambda marked: _open_row(pairs, marked),
        alt="Pairs of tasks whose ranks differ most between the two predictors",
    )  # fmt: skip


def _short_titles(first: Source, second: Source) -> tuple[str, str]:
    """What tells the two apart."""
    if first.kind == second.kind:
        return label(PREDICTORS, first.predictor), label(PREDICTORS, second.predictor)
    if first.predictor == second.predictor:
        return label(KINDS, first.kind), label(KINDS, second.kind)
    return first.title, second.title


def _open_row(pairs: list[tuple[str, str]], marked: list[int]) -> None:
    if marked and marked[0] < len(pairs):
        choose_pair(*pairs[marked[0]])
