"""All rows that a run was scored on: what it predicted for each, to sort, to filter and to download."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app.components import context, whole_rows
from app.components.guard import plain
from pituning.figures.palette import method_label
from pituning.runs.records import Run
from pituning.tuning.predictions import FIXED, PREDICTIONS, PROBABILITY, read_predictions

HALF = 50.0
ROW, MOST_ROWS = 35, 10
SHOWN = {"all": "All", "wrong": "Wrong", "right": "Right"}
OTHERS = "_prediction"
"""How the columns of the other methods end."""


def path_of(run: Run) -> Path:
    """Where the table of a run is; runs of before there was one have none."""
    return context.workspace().run_dir(run.id) / PREDICTIONS


def rows(run: Run) -> list[dict[str, Any]] | None:
    """Every row of the table of a run as ``uid``, ``text``, ``answer``, ``prediction``, ``score`` and ``loss``.

    None where the run has no table.

    Raises:
        ArtefactError: it is damaged.
    """
    path = path_of(run)
    if not path.is_file():
        return None
    frame = _read(str(path), path.stat().st_mtime)[list(FIXED)].rename(columns={"row": "uid"})
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def show(run: Run, draw: Callable[[Mapping[str, Any]], None]) -> None:
    """The table with a button to download it; a row that is chosen is drawn above it, with its picture.

    Args:
        draw: what draws one row, given ``uid``, ``text``, ``answer``, ``prediction`` and ``score``.
    """
    path = path_of(run)
    if not path.is_file():
        return
    frame = _read(str(path), path.stat().st_mtime)
    wrong = int((frame["score"] < HALF).sum())
    st.markdown(f"**All {len(frame):,} rows** :gray[· {wrong:,} wrong]")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Rows", list(SHOWN), format_func=SHOWN.__getitem__, default="all", required=True,
            key="predictions_shown", label_visibility="collapsed",
        )  # fmt: skip
        st.download_button(
            "Download CSV", path.read_bytes, file_name=f"{run.id}-predictions.csv", mime="text/csv",
            icon=":material/download:", key="predictions_download", on_click="ignore",
            help="Each row with its true answer, the predictions of every method, score, loss and, where they are "
            "calibrated, probabilities.",
        )  # fmt: skip
    shown = ordered(frame, str(kind))
    if shown.empty:
        st.caption("There is no such row.")
        return
    place, key = st.container(), f"predictions-{run.id}-{kind}"
    chosen = whole_rows.draw(
        _columns(shown), key=key, placeholder="–",
        height=ROW * (min(len(shown), MOST_ROWS) + 1) + 3,
        column_config={
            "": st.column_config.TextColumn(width=36),
            "Probability": st.column_config.ProgressColumn(
                format="percent", min_value=0, max_value=1, width=120,
                help="Calibrated probability of the prediction.",
            ),
            "Score": st.column_config.NumberColumn(format="%.0f", width=64, help="Points of the metric, 0 to 100."),
            "Loss": st.column_config.NumberColumn(format="%.2f", width=64, help="−log p of the true answer."),
            "Text": st.column_config.TextColumn(width="large"),
        },
        alt="All scored rows with their true answers and predictions",
    )  # fmt: skip
    if chosen and chosen[0] < len(shown):
        row = shown.iloc[chosen[0]]
        with place:
            draw({"uid": row["row"], **{name: row[name] for name in ("text", "answer", "prediction", "score")}})
            st.caption(plain(str(row["row"])))
    else:
        place.caption("Wrong answers first, the most confident at the top. Click a row to see it whole.")


@st.cache_data(max_entries=8, show_spinner=False)
def _read(path: str, _changed: float) -> pd.DataFrame:
    return read_predictions(Path(path))


def ordered(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of a kind of `SHOWN`: wrong ones first, the worst of them at the top, as the loss says."""
    right = frame["score"] >= HALF
    if kind != "all":
        frame = frame[right if kind == "right" else ~right]
    return frame.assign(_right=right).sort_values(["_right", "loss"], ascending=[True, False]).drop(columns="_right")


def _columns(frame: pd.DataFrame) -> pd.DataFrame:
    """What is shown of the table, under the names that people read."""
    columns = {
        "": frame["score"].ge(HALF).map({True: "✓", False: "✕"}),
        "True answer": frame["answer"],
        "Prediction": frame["prediction"],
    }
    if PROBABILITY in frame:
        columns["Probability"] = frame[PROBABILITY]
    if not frame["score"].isin((0.0, 100.0)).all():
        columns["Score"] = frame["score"]
    columns["Loss"] = frame["loss"]
    if frame["text"].any():
        columns["Text"] = frame["text"]
    for name in frame.columns:
        if name.endswith(OTHERS):
            columns[method_label(name.removesuffix(OTHERS))] = frame[name]
    return pd.DataFrame(columns)
