"""Tables whose whole rows can be clicked: Streamlit's own marks a row by its box alone, and a cell by a frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st


def draw(
    frame: pd.DataFrame,
    *,
    key: str,
    on_select: Callable[[list[int]], None] | None = None,
    several: bool = False,
    **options: Any,
) -> list[int]:
    """A table; the rows that are marked.

    Args:
        on_select: a callback for a click anywhere on a row; it gets the rows that are marked after it, none where the
            click took the only mark away.
        several: whether a click adds a row to those that are marked, or takes it out; else it marks this row alone.
        options: of `st.dataframe`.
    """
    st.dataframe(
        frame, hide_index=True, key=key, on_select=partial(_clicked, key, on_select, several),
        selection_mode=("multi-row" if several else "single-row", "single-cell"), **options,
    )  # fmt: skip
    marked = list(st.session_state[key]["selection"]["rows"])
    st.session_state[f"{key}_marked"] = marked
    return marked


def _clicked(key: str, on_select: Callable[[list[int]], None] | None, several: bool) -> None:
    chosen = st.session_state[key]["selection"]
    rows, cells = list(chosen["rows"]), chosen.get("cells")
    if cells:
        # A click on a cell leaves the marks alone. A box that is cleared sends a cell along, which nobody clicked.
        if rows == st.session_state.get(f"{key}_marked", []):
            row = cells[0][0]
            rows = ([one for one in rows if one != row] if row in rows else sorted([*rows, row])) if several else [row]
        st.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    if on_select is not None:
        on_select(rows)
