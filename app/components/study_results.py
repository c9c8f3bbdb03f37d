"""What a finished run on a whole zoo found, in short, with the page that shows all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app.components import context, guessing
from app.components.links import to
from app.components.pages import GRAPH, TRANSFER
from app.components.words import KINDS, label
from pituning.figures.palette import method_label
from pituning.workspace.shots import shots_name


def _title(name: str) -> str:
    known = context.tasks().get(name)
    return known.title if known else name


def _points(*names: str) -> dict[str, Any]:
    """The columns of scores, and what guessing scores."""
    numbers = {name: st.column_config.NumberColumn(format="%.1f") for name in names}
    return {**numbers, guessing.COLUMN: guessing.column()}


def _zoo(result: Mapping[str, Any]) -> None:
    scores = result["scores"]
    rows = [
        {"Task": _title(name), "Test score": score, guessing.COLUMN: guessing.short(name),
         "Trained": "now" if name in result["trained"] else "before"}
        for name, score in scores.items()
    ]  # fmt: skip
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder="–", column_config=_points("Test score"),
        alt="Test score of the expert of each task",
    )  # fmt: skip
    if result["tasks"]:
        st.page_link(
            GRAPH.path, label=f"The graph of {len(result['tasks'])} tasks", icon=GRAPH.icon, query_params=_kind(result)
        )
    else:
        st.caption("A task graph needs experts of three tasks.")


def _transfer(result: Mapping[str, Any]) -> None:
    rows = [
        {"Target": _title(row["target"]), "Shots": row["shots"], "Alone": row["alone"],
         guessing.COLUMN: guessing.short(row["target"], row),
         "Best donor": _title(row["donor"]), "Gain (points)": row["gain"]}
        for row in result["best"]
    ]  # fmt: skip
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, column_config=_points("Alone", "Gain (points)"),
        alt="For each target its score alone and the donor that helped most",
    )  # fmt: skip
    st.caption(
        "The best of several donors is chosen on the same test examples, so its gain is flattered; the Transfer page "
        "shows all."
    )
    st.page_link(TRANSFER.path, label="All pairs", icon=TRANSFER.icon, query_params=_kind(result))


def _lowshot(result: Mapping[str, Any]) -> None:
    table = pd.DataFrame(result["means"])
    table = pd.DataFrame(
        {"Shots": table["shots"].map(shots_name), "Method": table["method"].map(method_label), "Score": table["score"]}
    )
    st.dataframe(
        table, hide_index=True, column_config=_points("Score"), alt="Mean score of each method over targets and seeds"
    )
    guessed = guessing.mean(map(str, result["targets"]))
    if guessed is not None:
        st.caption(guessing.sentence(guessed))
    st.page_link(TRANSFER.path, label="All methods and targets", icon=TRANSFER.icon, query_params=_kind(result))


def _kind(result: Mapping[str, Any]) -> dict[str, str]:
    return to(kind=label(KINDS, str(result["kind"])))


SHOW: Mapping[str, Callable[[Mapping[str, Any]], None]] = {"zoo": _zoo, "transfer": _transfer, "lowshot": _lowshot}
"""By kind of run."""
