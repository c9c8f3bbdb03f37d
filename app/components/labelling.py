"""Labelling rows: which expert, which file, and the run in the queue that does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.components import access, charts, context, expert_table, guessing, labelling_result, runs_data
from app.components.guard import plain, say
from app.components.links import linked_select
from app.components.words import KINDS, METRICS, label
from pituning.errors import BadInput, PiTuningError
from pituning.experts.card import ExpertCard
from pituning.experts.catalogue import ExpertEntry
from pituning.figures.reliability import reliability_figure
from pituning.labelling.calibration import measured, trusted
from pituning.labelling.inputs import reading_of
from pituning.labelling.rows import all_rows, look
from pituning.labelling.sources import keep_upload
from pituning.reports.calibration import reliability_curves
from pituning.runs.configs import PredictRun
from pituning.runs.roles import Role
from pituning.runs.spec import RunSpec
from pituning.tasks.base import Task
from pituning.tasks.columns import ColumnMapping
from pituning.tasks.reading import Row, Table, as_text
from pituning.tasks.reading.opening import suffixes

PRIORITY = 5
"""Somebody waits for these, though not as for an answer."""

SHOWN = 5
SAMPLES = 3
FILE_TYPES = [suffix.lstrip(".") for suffix in suffixes()]
COLUMNS = {"every": "Every label", "top": "The three likeliest", "answer": "The answer alone"}
TOP = 3


def usable(entries: Sequence[ExpertEntry]) -> list[ExpertEntry]:
    """The experts that can label, those that runs of this workspace made first, the newest of them on top."""
    able = [one for one in entries if one.problem is None and one.task in context.tasks()]
    return sorted(able, key=lambda one: (one.origin not in ("tuned", "trained"), -(one.made or 0.0), one.id))


def form(experts: Sequence[ExpertEntry]) -> ExpertEntry | None:
    """The expert, the file and the button."""
    known = {one.id: one for one in experts}
    name = linked_select(
        "Expert", list(known), param=expert_table.PARAM, default=next(iter(known)),
        format_func=lambda one: _named(known[one]),
        help_text="Those that runs of this workspace made come first.",
    )  # fmt: skip
    if name is None:
        return None
    entry = known[name]
    task = context.task(str(entry.task))
    st.caption(f"It was trained to answer “{plain(task.instruction)}” with {_answers(task.labels)}.")
    file = access.uploader(
        "Rows without labels", type=FILE_TYPES, key="label_file",
        help="A table in any common form, a zip of a table with its images, or a zip of images alone. Its columns come "
        "back as they are, with the answers beside them. The file stays on this machine.",
    )  # fmt: skip
    if file is None:
        _sample(task)
        return entry
    try:
        table, rows = _open(file.getvalue(), file.file_id, file.name)
        reading = _reading(entry, table)
        if reading is None:
            return entry
        _preview(table, rows, reading)
    except PiTuningError as error:
        say("This file cannot be labelled", error)
        return entry
    columns = "answer"
    if task.labels is not None:
        offered = [one for one in COLUMNS if one != "top" or len(task.labels) > TOP]
        columns = st.segmented_control(
            "Columns with probabilities of", offered, format_func=COLUMNS.__getitem__, default="every",
            required=True, key="label_columns",
        ) or "every"  # fmt: skip
    if access.button("Label them", icon=":material/label:", type="primary", key="label_start"):
        _start(entry, file, reading, columns)
    why_not = access.why_not(Role.RUNNER)
    if why_not is not None:
        st.caption(f":material/lock: {why_not}")
    return entry


def _named(entry: ExpertEntry) -> str:
    name = () if entry.name == entry.task else (entry.name,)
    return " · ".join((expert_table.title(entry), *name, label(KINDS, entry.kind)))


def _answers(labels: Sequence[str] | None) -> str:
    if labels is None:
        return "free text"
    named = [plain(one) for one in labels[:6]]
    if len(labels) > 6:
        return f"one of {len(labels)} labels ({', '.join(named)} …)"
    return " or ".join(part for part in (", ".join(named[:-1]), named[-1]) if part)


def _sample(task: Task) -> None:
    """What can be uploaded for a task."""
    with st.expander("What such a file looks like", icon=":material/description:"):
        if task.modality == "vision":
            st.caption(
                "A zip of pictures. Or a zip of pictures and a table, with a column of the pictures’ file names."
            )
            return
        texts = [one.text or "" for one in task.split("test")[:SAMPLES]]
        lines = pd.DataFrame({"text": texts}).to_csv(index=False).strip()
        if task.modality == "language":
            st.code(lines, language=None, wrap_lines=True)
            st.caption("One row to label in each line. It may have more columns; they come back as they are.")
        else:
            st.caption("A zip of pictures and a table, with one column of text and one of the pictures’ file names.")


@st.cache_resource(max_entries=4, show_spinner="Reading the file …")
def _open(_data: bytes, file_id: str, name: str) -> tuple[Table, int]:
    return look(_data, name)


def _reading(entry: ExpertEntry, table: Table) -> ColumnMapping | None:
    """The columns that are read; where those of the task are not there, they are asked for."""
    task = context.task(str(entry.task))
    try:
        return reading_of(task, table)
    except BadInput as error:
        if error.field == "file":
            raise
        st.warning(plain(str(error).partition(": name the column")[0]) + ". Choose the column.", icon=":material/help:")
    texts: list[str] = []
    image = None
    if task.modality != "vision":
        key = f"label_text_{entry.id}_{table.filename}"
        texts = st.multiselect("Columns with the text", table.columns, key=key)
    if task.modality != "language":
        key = f"label_image_{entry.id}_{table.filename}"
        image = st.selectbox("Column with the image", table.columns, index=None, key=key)
    if (task.modality != "vision" and not texts) or (task.modality != "language" and image is None):
        return None
    return reading_of(task, table, texts=texts, image=image)


def _preview(table: Table, count: int, reading: ColumnMapping) -> None:
    """The first rows, and what becomes of their columns."""
    rows = []
    for row in all_rows(table):
        if isinstance(row, Row):
            rows.append({column: as_text(row.cells.get(column))[:200] for column in table.columns})
        if len(rows) == SHOWN:
            break
    read = [*reading.texts, *([] if reading.image is None else [reading.image])]
    others = len(table.columns) - len(read)
    kept = "" if not others else "; the other column is kept" if others == 1 else f"; {others} other columns are kept"
    size = f"{count:,} {'row' if count == 1 else 'rows'}"
    st.caption(f":material/check_circle: {plain(table.form)}, {size}: it reads {', '.join(map(plain, read))}{kept}.")
    for note in table.notes:
        st.caption(f":material/info: {plain(note)}")
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="The first rows of the file")


def _start(entry: ExpertEntry, file: Any, reading: ColumnMapping, columns: str) -> None:
    try:
        queue = runs_data.queue()
        queue.actor.require(Role.RUNNER, "label rows")  # before the file is kept
        source = keep_upload(file.getvalue(), file.name, context.workspace())
        config = PredictRun(
            expert=entry.name, kind=entry.kind, source=source, text_columns=reading.texts, image_column=reading.image,
            probabilities=columns == "every", top=TOP if columns == "top" else None, backbone=context.backbone(),
        )  # fmt: skip
        run_id = queue.submit(RunSpec.of("predict", config), priority=PRIORITY)
        runs_data.wake()
    except PiTuningError as error:
        say("It could not be started", error)
        return
    st.query_params[labelling_result.PARAM] = run_id
    st.rerun()


def how_sure(entry: ExpertEntry) -> None:
    """Its score beside chance, and how far its probabilities can be trusted."""
    card = entry.card
    if card is None:
        return
    points = card.scores.get("test")
    with st.container(horizontal=True, gap="large"):
        if points is not None:
            metric = context.tasks()[card.task].metric
            st.metric(METRICS[metric].label, f"{points:.1f}", help="Points of the metric on the test split, 0 to 100.")
        if card.temperature is not None:
            st.metric("Temperature", f"{card.temperature:.2f}", help="Above 1: it was too sure of itself.")
    if points is not None:
        st.caption(guessing.words(card.task))
    st.caption(calibration_words(card))
    curves = reliability_curves(card.calibration)
    if curves:
        charts.draw(reliability_figure(curves), key="reliability", savable=False,
                    alt="How often answers are right, by how sure they are, before and after calibration",
                    pinned=("calibration", {"kind": entry.kind, "expert": entry.name}))  # fmt: skip


def calibration_words(card: ExpertCard) -> str:
    """How well its probabilities are calibrated, in a sentence."""
    if card.temperature is None:
        return (
            "Not calibrated, so rows are put in order without percentages: the model’s own scores may be far too sure. "
            "Experts that are tuned from now on, or trained where there is a validation split, are calibrated on "
            "held-out examples."
        )
    before, after = (measured(card.calibration, when) for when in ("before", "after"))
    if before is None or after is None:
        return "Calibrated, but how well was not measured: rows are put in order, without percentages."
    rows = plain(str(card.calibration.get("rows")))
    error = f"off by {100 * after.ece:.1f} points on average (ECE); {100 * before.ece:.1f} without calibration"
    if trusted(card.temperature, card.calibration) is None:
        return (
            f"Calibrated on {rows} held-out examples, which was not enough: on {after.rows:,} test rows its "
            f"probabilities are still {error}. So rows are put in order, without percentages."
        )
    return f"Calibrated on {rows} held-out examples. On {after.rows:,} test rows its probabilities are {error}."
