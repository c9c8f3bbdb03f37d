"""Uploads a table of the user's own: file, names, columns, and what it would become, with errors beside the field."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePath

import pandas as pd
import streamlit as st

from app.components import context
from app.components.examples import gallery
from app.components.guard import plain
from app.components.words import METRICS
from pituning.errors import BadInput
from pituning.tasks.base import Task
from pituning.tasks.files import (
    ColumnMapping,
    ParsedTable,
    TablePreview,
    check_name,
    guess_columns,
    preview_table,
    read_table,
    task_from_table,
)

FILE_TYPES = ["csv", "tsv", "txt", "jsonl", "ndjson", "zip"]
SAMPLE = """text,label
the soup was cold and bland,bad
friendly staff and lovely food,good
i waited an hour for a table,bad
best coffee in town,good"""
ANSWERS = {"Find out": None, "Labels": False, "Free text": True}
SHOWN_PROBLEMS = 50


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """A table that can become a task: everything `task_from_table` wants, and what it would become."""

    name: str
    title: str
    instruction: str
    parsed: ParsedTable
    columns: ColumnMapping
    open_answers: bool | None
    preview: TablePreview

    def make(self) -> Task:
        """The task itself."""
        return task_from_table(
            self.parsed,
            name=self.name,
            title=self.title,
            instruction=self.instruction,
            columns=self.columns,
            open_answers=self.open_answers,
        )


class _Fields:
    """The places beside the fields where their errors are shown."""

    def __init__(self) -> None:
        self.places: dict[str, st.delta_generator.DeltaGenerator] = {}
        self.failed = False

    def place(self, field: str) -> None:
        self.places[field] = st.container()

    def complain(self, error: BadInput, default: str) -> None:
        self.failed = True
        place = self.places.get(error.field or default, self.places[default])
        place.error(plain(str(error)), icon=":material/error:")


def panel() -> Uploaded | None:
    """Draws the form; None until everything in it can be used."""
    fields = _Fields()
    file = st.file_uploader(
        "A table, or a zip with a table and its images",
        type=FILE_TYPES,
        key="upload_file",
        help="CSV, TSV or JSON lines with a column of answers and a column of text, of image names, or both. A column "
        "“split” (train, validation, test) is used when there is one. The file stays on this machine.",
    )
    fields.place("file")
    if file is None:
        with st.expander("What such a file looks like", icon=":material/description:"):
            st.code(SAMPLE, language=None)
            st.caption(
                "One example a line. With images: a zip that holds the table and the pictures, and a column with "
                "the pictures’ file names."
            )
        return None
    data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()[:12]
    try:
        parsed = _parse(data, file.name)
    except BadInput as error:
        fields.complain(error, "file")
        return None
    st.caption(_read_as(parsed))
    names, mapping = st.columns(2, gap="medium")
    with names:
        name, title, instruction = _naming(fields, file.name, digest)
    with mapping:
        columns, open_answers = _columns(fields, parsed, digest)
    preview = _check(fields, parsed, f"{digest} {file.name}", columns, open_answers, name, instruction)
    if preview is not None:
        with fields.places["file"]:
            _problems(parsed, preview)
        _show(preview, instruction)
    if fields.failed or preview is None or preview.problems or columns is None:
        return None
    return Uploaded(
        name=name,
        title=title,
        instruction=instruction,
        parsed=parsed,
        columns=columns,
        open_answers=open_answers,
        preview=preview,
    )


@st.cache_resource(max_entries=4, show_spinner="Reading the file …")
def _parse(data: bytes, filename: str) -> ParsedTable:
    return read_table(data, filename)


@st.cache_resource(max_entries=8, show_spinner="Checking every row …")
def _preview(_parsed: ParsedTable, digest: str, columns: ColumnMapping, open_answers: bool | None) -> TablePreview:
    return preview_table(_parsed, columns, open_answers=open_answers)


def _read_as(parsed: ParsedTable) -> str:
    count = len(parsed.rows)
    details = [f"{count:,} rows", f"{len(parsed.columns)} columns", parsed.encoding]
    if parsed.images is not None:
        details.append("with images")
    return f":material/check_circle: Read {plain(parsed.filename)}: " + ", ".join(details) + "."


def _naming(fields: _Fields, filename: str, digest: str) -> tuple[str, str, str]:
    slug = re.sub(r"[^a-z0-9]+", "-", PurePath(filename).stem.lower()).strip("-")[:60] or "my-task"
    title = st.text_input(
        "Title", value=slug.replace("-", " ").capitalize(), key=f"upload_title_{digest}", max_chars=80,
        help="What people read in lists and in the graph.",
    )  # fmt: skip
    name = st.text_input(
        "Name", value=slug, key=f"upload_name_{digest}", max_chars=60,
        help="What commands and addresses use: lower-case letters, digits and dashes.",
    )  # fmt: skip
    fields.place("name")
    instruction = st.text_input(
        "Instruction",
        placeholder="is this review good or bad?",
        key=f"upload_instruction_{digest}",
        max_chars=300,
        help="Opens every prompt. Say what to do as you would to a person; it is all the backbone knows of the task.",
    )
    fields.place("instruction")
    return name.strip(), title, instruction


def _columns(fields: _Fields, parsed: ParsedTable, digest: str) -> tuple[ColumnMapping | None, bool | None]:
    try:
        guess = guess_columns(parsed)
    except BadInput as error:
        fields.complain(error, "file")
        return None, None
    options = list(parsed.columns)
    answer = st.selectbox(
        "Column with the answer", options, index=options.index(guess.answer), key=f"upload_answer_{digest}",
        help="What the model should say.",
    )  # fmt: skip
    fields.place("answer")
    text = st.selectbox(
        "Column with the text",
        [None, *options],
        index=0 if guess.text is None else options.index(guess.text) + 1,
        format_func=lambda column: "none" if column is None else column,
        key=f"upload_text_{digest}",
        help="What the model reads after the instruction; none for a task on images alone.",
    )
    fields.place("text")
    image = None
    if parsed.images is not None:
        image = st.selectbox(
            "Column with the image names",
            [None, *options],
            index=0 if guess.image is None else options.index(guess.image) + 1,
            format_func=lambda column: "none" if column is None else column,
            key=f"upload_image_{digest}",
            help="File names of pictures inside the zip.",
        )
        fields.place("image")
    kind = st.segmented_control(
        "Answers are", list(ANSWERS), default="Find out", required=True, key=f"upload_answers_{digest}",
        help="Labels: one of a few words, scored as right or wrong. Free text: scored by the words that match.",
    )  # fmt: skip
    return ColumnMapping(text=text, answer=answer, image=image), ANSWERS[kind or "Find out"]


def _check(
    fields: _Fields,
    parsed: ParsedTable,
    digest: str,
    columns: ColumnMapping | None,
    open_answers: bool | None,
    name: str,
    instruction: str,
) -> TablePreview | None:
    try:
        check_name(name)
        if name in context.tasks():
            raise BadInput(f"there is a task {name!r} already; choose another name", field="name")
    except BadInput as error:
        fields.complain(error, "name")
    if not instruction.strip():
        fields.failed = True
        fields.places["instruction"].caption(":material/edit: Say what to do, as in “is this review good or bad?”")
    if columns is None:
        return None
    try:
        return _preview(parsed, digest, columns, open_answers)
    except BadInput as error:
        fields.complain(error, "file")
        return None


def _problems(parsed: ParsedTable, preview: TablePreview) -> None:
    """The rows that cannot be used, with the reasons."""
    if preview.problems:
        rows = len({problem.row for problem in preview.problems})
        st.error(
            f"{rows} {'row' if rows == 1 else 'rows'} of {plain(parsed.filename)} cannot be used; correct or delete "
            f"{'it' if rows == 1 else 'them'} and upload the file again.",
            icon=":material/error:",
        )
        st.dataframe(
            pd.DataFrame(
                [(problem.row, problem.column or "", problem.message) for problem in preview.problems[:SHOWN_PROBLEMS]],
                columns=["Row", "Column", "Problem"],
            ),
            hide_index=True,
            alt="Rows of the file that cannot be used",
        )


def _show(preview: TablePreview, instruction: str) -> None:
    for warning in preview.warnings:
        st.caption(f":orange[:material/warning:] {plain(warning)}")
    with st.container(border=True):
        metric = METRICS[preview.metric].label
        kind = f"{len(preview.labels)} labels" if preview.labels else "open answers"
        sizes = ", ".join(f"{count:,} {split}" for split, count in preview.sizes.items())
        st.markdown(
            f"**As the model will read it** :gray[— {preview.modality}, {kind}, scored by {metric.lower()}; {sizes}]"
        )
        examples, balance = st.columns([3, 2], gap="medium")
        with examples:
            st.caption(
                f"Every prompt opens with “{plain(instruction.strip().lower())}”." if instruction.strip() else ""
            )
            gallery(preview.examples[:4], key="upload-example")
        with balance:
            class_balance(preview.counts, closed=preview.labels is not None)


def class_balance(counts: dict[str, int], *, closed: bool) -> None:
    """How often each answer comes up, as bars in a table."""
    frame = pd.DataFrame({"Answer": list(counts), "Rows": list(counts.values())})
    st.dataframe(
        frame,
        hide_index=True,
        height=min(38 + 35 * len(frame), 320),
        column_config={
            "Rows": st.column_config.ProgressColumn(
                "Rows", format="%d", min_value=0, max_value=max(counts.values(), default=1)
            )
        },
        alt="How often each label comes up" if closed else "The most frequent answers",
    )
