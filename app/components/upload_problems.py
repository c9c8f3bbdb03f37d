"""Rows of an uploaded table that cannot be used: all of them named, and left out where somebody says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from app.components.guard import plain
from pituning.tasks.files import RowProblem, TableOptions, TablePreview
from pituning.tasks.problems import SkippedRows, count_rows, in_order

TABLE_HEIGHT = 285
"""Pixels; there may be a thousand rows."""


def settle(preview: TablePreview, options: TableOptions, digest: str) -> tuple[TablePreview, TableOptions]:
    """Both as they are when the rows are left out, where somebody said so of these very rows; else as they came.

    Args:
        digest: of the upload.
    """
    rows = _rows(preview)
    if not rows or not _places(rows) <= st.session_state.get(_key(digest), frozenset()):
        return preview, options
    count = count_rows(preview.problems) + preview.missing
    skipped = SkippedRows(rows=preview.skipped.rows + count, named=in_order([*preview.skipped.named, *rows]))
    without = replace(preview, problems=(), missing=0, unanswered=(), skipped=skipped)
    return without, replace(options, skip_bad_rows=True)


def show(preview: TablePreview, filename: str, digest: str) -> None:
    """The rows that stand in the way, with a button that leaves them out; or those that are left out.

    Args:
        preview: as `settle` gives it.
    """
    rows = _rows(preview)
    if rows:
        count = count_rows(preview.problems) + preview.missing
        them = "it" if count == 1 else "them"
        st.error(
            f"Skip {them}, or correct {them} in the file and upload it again.",
            title=f"{_counted(count)} of {plain(filename)} cannot be used", icon=":material/error:",
        )  # fmt: skip
        _table(rows, count)
        st.button(
            f"Skip {'this row' if count == 1 else f'these {count:,} rows'}", icon=":material/playlist_remove:",
            key=f"upload_skip_{digest}", on_click=_skip, args=(digest, _places(rows)),
            help="The task is made without them; its card keeps their number and the reasons.",
        )  # fmt: skip
    elif preview.skipped.rows:
        count = preview.skipped.rows
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(
                f":orange[:material/playlist_remove:] **{_counted(count)} {'is' if count == 1 else 'are'} left out**; "
                "the task’s card will name them."
            )
            if st.session_state.get(_key(digest)):
                st.button("Take back", icon=":material/undo:", key=f"upload_unskip_{digest}", type="tertiary",
                          on_click=_skip, args=(digest, frozenset()))  # fmt: skip
        with st.expander("Which rows", icon=":material/list:"):
            _table(preview.skipped.named, count)


def _rows(preview: TablePreview) -> tuple[RowProblem, ...]:
    return in_order([*preview.problems, *preview.unanswered])


def _places(rows: Sequence[RowProblem]) -> frozenset[tuple[str, int]]:
    return frozenset(row.place for row in rows)


def _key(digest: str) -> str:
    return f"upload_skipped_{digest}"


def _skip(digest: str, places: frozenset[tuple[str, int]]) -> None:
    st.session_state[_key(digest)] = places


def _counted(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _table(rows: Sequence[RowProblem], count: int) -> None:
    frame = pd.DataFrame(
        [(row.file or "", row.row, row.column or "", row.message) for row in rows],
        columns=["File", "Row", "Column", "Problem"],
    )
    if not frame["File"].any():
        frame = frame.drop(columns="File")
    st.dataframe(
        frame, hide_index=True, height=min(TABLE_HEIGHT, 38 + 35 * len(frame)),
        column_config={"Row": st.column_config.NumberColumn(format="%d", width=70, help="As a spreadsheet counts."),
                       "Problem": st.column_config.TextColumn(width="large")},
        alt="Rows of the file that cannot be used, with the reasons",
    )  # fmt: skip
    if count > count_rows(rows):
        st.caption(f"The first {count_rows(rows):,} of {count:,}.")
