"""Graphs of tables from elsewhere: choosing, importing and deleting one, its controls, and what stands beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components import access, context, deleted, graph_controls, graph_view, runs_data, task_panel
from app.components.graph_shown import GraphView
from app.components.guard import empty, plain, say, sentence
from app.components.links import linked_select, one_of, set_linked
from app.components.words import MODALITY_ICONS, Word
from pituning.errors import BadInput, PiTuningError
from pituning.graph.build import UNKNOWN_MODALITY
from pituning.graph.info import NodeInfo
from pituning.graph.layout import CROWD
from pituning.reports.affinity import infos_of, similarity_of, strongest
from pituning.runs.removal import remove_table
from pituning.runs.roles import Role
from pituning.tasks.affinity_tables import read_upload
from pituning.workspace.affinities import (
    Affinity,
    Rows,
    affinity_names,
    affinity_path,
    load_affinity,
    save_affinity,
)

ABOUT = (
    "Each point is a task of a table that was imported; the thicker a line, the larger its value. Tasks with large "
    "values between them stand close together."
)
SHOWN = 5
ROWS = {
    "target": Word("Receives", "Each row tells what its task receives from the tasks of the columns."),
    "source": Word("Gives", "Each row tells what its task gives to the tasks of the columns."),
}
WAYS = {
    "mean": Word("Undirected", "Lines show the mean of both directions."),
    "directed": Word("Directed", "Arrows from the task that gives to the one that receives."),
}
SIZES = {
    "equal": Word("Equal", "All points are of one size."),
    "degree": Word("Degree", "The area of a point is in proportion to its lines."),
}
FILE_TYPES = ["csv", "tsv", "txt", "json", "jsonl", "parquet", "arrow"]
SAMPLE_SQUARE = """task,depth,normals,edges
depth,,0.81,0.32
normals,0.77,,0.40
edges,0.25,0.31,"""
SAMPLE_LONG = """source,target,value
normals,depth,0.81
edges,depth,0.32"""


def there_are() -> bool:
    """Whether any was imported."""
    return bool(affinity_names(context.workspace()))


def choose() -> str | None:
    """The table whose graph is shown, where there are any; None is the zoo."""
    names = affinity_names(context.workspace())
    if not names:
        graph_view.forget("graph")
        return None
    return linked_select(
        "Graph", names, param="graph", format_func=str, placeholder="The zoo of this workspace",
        on_change=graph_view.forget, help_text="The tasks of this workspace, or a table that was imported.",
    )  # fmt: skip


def upload() -> None:
    """The door for another table."""
    with st.expander("Import a table", icon=":material/upload_file:"):
        st.markdown("Any table of task affinity becomes a graph of its own, kept in this workspace.")
        number = st.session_state.setdefault("affinity_number", 0)
        file = access.uploader(
            "A table as CSV", type=FILE_TYPES, key=f"affinity_file_{number}",
            help="With the names of the tasks in the header and in the first column, or long, with the columns source, "
            "target and value; also as TSV, JSON, Parquet or Arrow. The file stays on this machine.",
        )  # fmt: skip
        if file is None:
            st.caption("Square, or one pair a row; an empty cell is not known.")
            st.code(SAMPLE_SQUARE, language=None)
            st.code(SAMPLE_LONG, language=None)
            return
        rows = one_of("A row of a square table", ROWS, key="affinity_rows", bind=False)
        try:
            affinity = _read(file.getvalue(), file.name, "source" if rows == "source" else "target")
        except BadInput as error:
            st.error(sentence(error), icon=":material/error:")
            return
        st.caption(_facts(affinity))
        for note in affinity.notes:
            st.caption(f":orange[:material/warning:] {plain(note)}")
        name = st.text_input("Name", _slug(file.name), key=f"affinity_name_{number}_{file.name}", max_chars=60)
        access.button("Import it", type="primary", icon=":material/add:", key="affinity_import", on_click=_keep,
                      args=(name, affinity))  # fmt: skip


@st.cache_resource(max_entries=2, show_spinner="Reading the file …")
def _read(data: bytes, filename: str, rows: Rows) -> Affinity:
    return read_upload(data, filename, rows)


def _facts(affinity: Affinity) -> str:
    count = len(affinity.names)
    known = int(np.isfinite(affinity.values[~np.eye(count, dtype=bool)]).sum())
    ways = "symmetric" if affinity.symmetric else "a value for each direction"
    return f"{count:,} tasks, {known:,} of {count * (count - 1):,} values known, {ways}."


def _slug(file_name: str) -> str:
    stem = re.sub("[^a-z0-9]+", "-", PurePath(file_name).stem.lower()).strip("-")
    return stem[:60].strip("-") or "table"


def _keep(name: str, affinity: Affinity) -> None:
    try:
        access.actor().require(Role.RUNNER, "import tables")
        save_affinity(context.workspace(), name.strip(), affinity)
    except PiTuningError as error:
        say("The table was not imported", error)
        return
    st.session_state["affinity_number"] += 1
    graph_view.forget("task", "other")
    set_linked(graph=name.strip())
    st.toast(f"The table {plain(name)} has been imported.", icon=":material/add:")


def delete(name: str) -> None:
    """The door that a table leaves by."""
    with st.expander("Delete this table", icon=":material/delete:"):
        st.markdown(f"The table **{plain(name)}** goes into the bin and can be restored for {deleted.days()}.")
        access.button("Delete it", role=Role.ADMIN, icon=":material/delete_forever:", type="primary",
                      key="affinity_delete", on_click=_delete_now, args=(name,))  # fmt: skip


def _delete_now(name: str) -> None:
    try:
        deleted.remember(remove_table(runs_data.queue(), name).entry)
        graph_view.forget("graph", "task", "other")
    except PiTuningError as error:
        say("That did not work", error)


def load(name: str) -> Affinity:
    """A table, read once.

    Raises:
        ArtefactError: it is damaged.
    """
    path = affinity_path(context.workspace(), name)
    return _load(str(path), path.stat().st_mtime if path.exists() else 0.0, name)


@st.cache_resource(max_entries=8, show_spinner="Reading the table …")
def _load(path: str, stamp: float, name: str) -> Affinity:
    return load_affinity(context.workspace(), name)


def controls(name: str, whole: Affinity, places: graph_controls.Bar) -> GraphView:
    """The controls of the graph of a table."""
    shown = strongest(whole)
    matrix, known = similarity_of(shown)
    with places.visible:
        way = "mean" if shown.symmetric else one_of("Direction", WAYS, key="way")
        colour_by = graph_controls.colour()
    with places.options:
        options: dict[str, Any] = (
            graph_controls.lines(matrix, known) if way == "mean" else graph_controls.arrows(shown.values)
        )
        size = one_of("Size", SIZES, key="points") if len(shown.names) <= CROWD else None
        view = GraphView(
            name=name,
            infos=infos(shown.names),
            matrix=matrix,
            replicates=np.zeros((0, *matrix.shape)),
            known=known,
            gains=shown.values if way == "directed" else None,
            gain_unit="",
            sizes="degree" if size == "degree" else None,
            colour_by=colour_by,
            outlined=graph_controls.outlined(),
            **options,
        )
        graph_view.downloads(view)
    if len(shown.names) < len(whole.names):
        st.info(
            f"The {len(shown.names)} tasks with the strongest ties of all {len(whole.names):,} are drawn; the others "
            "can be found by name."
        )
    return view


def infos(names: Sequence[str]) -> list[NodeInfo]:
    """What is known of tasks by their names."""
    return infos_of(names, context.tasks())


def panel(whole: Affinity, task: str | None, other: str | None) -> None:
    """The chosen task of a table, the chosen pair, or how to choose one."""
    if task is None:
        empty(
            "No task chosen",
            "Click a point of the graph, or find a task by name, to see what is nearest to it. Click a line to see the "
            "values of a pair.",
            icon=":material/ads_click:",
        )
    elif other is None:
        _task(whole, task)
    else:
        _pair(whole, task, other)


def _task(whole: Affinity, name: str) -> None:
    titles = {info.name: info.title for info in infos(whole.names)}
    (info,) = infos([name])
    st.header(plain(info.title))
    if info.modality == UNKNOWN_MODALITY:
        st.caption("Only the table names this task: what it works on is not known.")
    else:
        st.badge(plain(info.modality), icon=MODALITY_ICONS.get(info.modality), color="blue")
    i = whole.names.index(name)
    ways: list[tuple[str, np.ndarray]] = [("Nearest", whole.mean[i])]
    if not whole.symmetric:
        ways = [("Receives most from", whole.values[i]), ("Gives most to", whole.values[:, i])]
    for number, (title, row) in enumerate(ways):
        values = row.copy()
        values[i] = np.nan
        task_panel.gains_table(
            title, f"{title}: no value is known.", values, whole.names, titles, column="Value", most=SHOWN,
            key=task_panel.table_key(f"affinity-{number}"),
            on_open=lambda key, names: graph_view.open_neighbour(key, names, beside=True),
        )  # fmt: skip


def _pair(whole: Affinity, task: str, other: str) -> None:
    a, b = (info.title for info in infos([task, other]))
    st.header(f"{plain(a)} – {plain(b)}", anchor=False)
    i, j = whole.names.index(task), whole.names.index(other)
    rows = []
    for giver, taker, source, target in ((a, b, i, j), (b, a, j, i)):
        value, values = whole.values[target, source], whole.values[target]
        rivals = [k for k in range(len(whole.names)) if k != target and np.isfinite(values[k])]
        place = 1 + sum(values[k] > value for k in rivals)
        known = bool(np.isfinite(value))
        rows.append(
            {
                "Source → target": f"{giver} → {taker}",
                "Value": float(value) if known else None,
                "Rank": f"{place} of {len(rivals)}" if known else None,
            }
        )
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder="–", key="affinity_pair",
        column_config={
            "Value": st.column_config.NumberColumn(format="%.4g"),
            "Rank": st.column_config.TextColumn(help="Of the source among all sources of this target, 1 the largest."),
        },
        alt="The values of the pair in both directions",
    )  # fmt: skip
    st.caption("A dash: the table holds no value.")
    st.button(f"Only {plain(a)}", icon=":material/arrow_back:", key="pair_close", type="tertiary",
              on_click=graph_view.forget, args=("other",))  # fmt: skip
