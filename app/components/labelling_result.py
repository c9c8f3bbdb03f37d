"""What became of a run that labels: how far it is, then its rows, the least sure first, and the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from pandas.api.types import is_numeric_dtype

from app.components import awaited, certainty, context, runs_data
from app.components.guard import empty, plain
from pituning.labelling.calibration import trusted
from pituning.runs.records import Run

PARAM = "run"
ROWS = 200
"""How many rows are shown; the file has all."""

CHUNK = 5_000
"""Rows in memory at a time; each may have a text of 100,000 characters."""

MOST_DOWNLOAD = 256 * 2**20
"""Bytes; a server holds whatever a browser downloads in memory."""

MOST_CELL = 1_000
MOST_ANSWERS = 8
ORDERS = {"least": "Least sure first", "most": "Most sure first", "file": "As in the file"}


def follow() -> None:
    """The run that the address names, redrawn on a timer until it is done."""
    run = awaited.addressed(PARAM, "run")
    if run is not None and run.kind == "predict":
        awaited.follow(run, LABELS)


def show(run: Run) -> None:
    """Counts, rows and files of a run that is done."""
    result = runs_data.result(run)
    path = context.workspace().run_dir(run.id) / "answers.csv"
    if result is None or not path.is_file():
        empty("No labels", "The run is done but its file is gone; retry it.", icon=":material/error:")
        return
    own = result["own_columns"]
    curve = trusted(result["temperature"], result["calibration"])
    st.header(f"{result['rows']:,} rows of {plain(result['file'])}", anchor=False)
    with st.container(horizontal=True, gap="large"):
        if curve is not None and result["mean_probability"] is not None:
            mean = certainty.percent(result["mean_probability"])
            st.metric("Mean probability", mean, help=certainty.column_help(curve))
            if len(result["counts"]) != 2 or result["below_half"]:  # one of two labels is always at least half sure
                st.metric("Less than half sure", f"{result['below_half']:,}")
        if result["unread"]:
            st.metric("Could not be read", f"{result['unread']:,}", help=plain("; ".join(result["problems"][:5])))
        if result["cut"]:
            st.metric("Cut", f"{result['cut']:,}", help="Prompts that were longer than the backbone reads.")
    summary = _summary(result, calibrated=curve is not None)
    if summary:
        st.caption(summary)
    if curve is None:
        st.caption(
            ":material/info: Not calibrated: rows are in the order of the expert’s own scores, which the file has. "
            "They say which rows it is surer of, not how many of its answers are right."
        )
    with st.container(horizontal=True, gap="small"):
        large = path.stat().st_size > MOST_DOWNLOAD
        st.download_button("Download all rows", path.read_bytes, file_name=_named(result["file"], "labelled"),
                           mime="text/csv", icon=":material/download:", key="label_download", type="primary",
                           on_click="ignore", disabled=large,
                           help=f"It has more than {MOST_DOWNLOAD // 2**20} MiB: copy runs/{run.id}/{path.name} out of "
                           "the workspace." if large else None)  # fmt: skip
        st.download_button(
            "Download the least sure", lambda: least_sure(path, own).to_csv(index=False).encode(),
            file_name=_named(result["file"], "to-check"), mime="text/csv", icon=":material/checklist:",
            key="label_download_least", on_click="ignore",
            help=f"The {ROWS} rows about which the expert is least sure. Correct their answers by hand, add them to "
            "the examples of the task, and tune again: no other rows teach it more.",
        )  # fmt: skip
    order = st.segmented_control("Order", list(ORDERS), format_func=ORDERS.__getitem__, default="least", required=True,
                                 key="label_order", label_visibility="collapsed")  # fmt: skip
    frame = _shown(str(path), run.finished or 0.0, own, order or "least").copy()
    shares = list(own["probabilities"])
    config: dict[str, Any] = {}
    if curve is None:
        frame = frame.drop(columns=[own["probability"], *shares], errors="ignore")
    else:
        frame[shares] = 100 * frame[shares]
        config = {column: st.column_config.NumberColumn(format="%.1f %%") for column in shares}
        config[own["probability"]] = st.column_config.ProgressColumn(
            format="%.0f %%", min_value=0, max_value=100, help=certainty.column_help(curve)
        )
    frame = frame.apply(lambda cells: cells if is_numeric_dtype(cells) else cells.str.slice(0, MOST_CELL))
    first = [own["answer"], *([] if curve is None else [own["probability"]])]
    hidden = [*first, *([] if result["unread"] else [result["columns"][-1]])]
    st.dataframe(frame[[*first, *(column for column in frame if column not in hidden)]], hide_index=True,
                 column_config=config, alt="Rows with their answers")  # fmt: skip
    if len(frame) < result["rows"]:
        st.caption(f"{len(frame)} of {result['rows']:,} rows; the file has all.")


def _summary(result: Mapping[str, Any], *, calibrated: bool) -> str:
    """How often which answer was given, and how many are wrong if the probabilities hold."""
    counts = sorted(result["counts"].items(), key=lambda pair: -pair[1])
    read = result["rows"] - result["unread"]
    said: list[str] = []
    if 2 * len(counts) <= read:  # else they are texts, of which each is its own
        said = [f"{plain(answer)} {count:,}" for answer, count in counts[:MOST_ANSWERS]]
        if len(counts) > MOST_ANSWERS:
            said.append(f"{len(counts) - MOST_ANSWERS} other answers")
    if read and result["mean_probability"] is not None and calibrated:
        wrong = round(read * (1 - result["mean_probability"]))
        said.append(f"about {wrong:,} of the {read:,} are wrong, if the probabilities hold")
    return " · ".join(said)


def least_sure(path: Path, own: Mapping[str, Any], rows: int = ROWS, *, largest: bool = False) -> pd.DataFrame:
    """The rows about which the expert is least sure, or most, whatever the size of the file."""
    found = pd.DataFrame()
    for chunk in _chunks(path, own):
        both = pd.concat([found, chunk]) if len(found) else chunk
        found = both.sort_values(own["probability"], ascending=not largest, kind="stable").head(rows)
    return found


def _chunks(path: Path, own: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    """The file in pieces; only our probabilities are read as numbers, everything else as it is written."""
    numbers = set(own["probabilities"])
    text = {column: str for column in pd.read_csv(path, nrows=0).columns if column not in numbers}
    empty_cells = {column: [""] for column in numbers}
    yield from pd.read_csv(path, chunksize=CHUNK, dtype=text, keep_default_na=False, na_values=empty_cells)


@st.cache_data(max_entries=8, show_spinner="Sorting …")
def _shown(path: str, finished: float, own: Mapping[str, Any], order: str) -> pd.DataFrame:
    if order == "file":
        return next(_chunks(Path(path), own)).head(ROWS)
    return least_sure(Path(path), own, largest=order == "most")


def _named(file: str, what: str) -> str:
    return f"{Path(file).stem or 'rows'}-{what}.csv"


LABELS = awaited.Awaited(
    key="label", what="The labels", none="There are no labels", resumes=True, show=show,
    meanwhile="You can go on meanwhile: the address of this page leads back, and so does the run’s page.",
    stopped="It was stopped. What had been labelled is kept.",
)  # fmt: skip
