"""How an uploaded file is read, and which of its columns is what: the fields, and the account of every column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app.components.guard import plain, sentence
from pituning.errors import BadInput
from pituning.tasks.answers import ANSWER_KINDS, parse_label_names
from pituning.tasks.boxes import FORMATS
from pituning.tasks.columns import Guess
from pituning.tasks.mapping import ColumnMapping, ColumnUse
from pituning.tasks.reading import ReadOptions, Table
from pituning.tasks.table_options import TableOptions
from pituning.tasks.uploads import Upload

FIND_OUT = "Detect"
HEADERS = {FIND_OUT: None, "Column names": True, "A row": False}
MISSING = {"Report them": "refuse", "Leave out": "drop", "Take words as labels": "keep"}
BOX_FORMATS = {
    "xyxy": "two corners",
    "xywh": "a corner, width and height",
    "cxcywh": "the middle, width and height",
}

FIELDS = {
    "answer-column": "Column with the answer", "text-columns": "Columns with the text", "template": "Template",
    "box-format": "Boxes are", "label-names": "Names of labels", "answers": "Answers are", "header": "The first row is",
    "no-header": "The first row is", "encoding": "Encoding", "table": "Table",
}  # fmt: skip
"""The fields of the page for the options of ``pituning tasks add``."""

Place = Callable[[str], None]
Complain = Callable[[BadInput, str], None]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the fields say."""

    columns: ColumnMapping
    options: TableOptions
    guess: Guess


def read_options() -> ReadOptions:
    """How the file is to be read, where it does not say so itself."""
    with st.expander("How the file is read", icon=":material/tune:"):
        header = st.segmented_control(
            "The first row is", list(HEADERS), default=FIND_OUT, required=True, key="upload_header"
        )
        encoding = st.text_input(
            "Encoding",
            key="upload_encoding",
            placeholder="utf-8",
            help="Of a text file, such as windows-1252. Only needed where the file is not UTF-8.",
        )
        table = st.text_input(
            "Table",
            key="upload_table",
            placeholder="the only one",
            help="Which file of a zip, or sheet of a workbook, is the table, where there are several.",
        )
    return ReadOptions(
        header=HEADERS[header or FIND_OUT], encoding=encoding.strip() or None, table=table.strip() or None
    )


@st.cache_resource(max_entries=8, show_spinner="Looking at the columns …")
def _guess(_upload: Upload, digest: str, answer: Sequence[str], template: str, image: str | None) -> Guess:
    return _upload.guess(answer=answer, template=template, image=image)


def choose_columns(
    upload: Upload, table: Table, guess: Guess, digest: str, place: Place, complain: Complain
) -> Choices | None:
    """The fields for columns and answers; None where they cannot be used.

    Args:
        table: what the upload is, without its rows.
        guess: of its columns.
        digest: of the upload.
    """
    questions = st.container()
    mapping = _mapping(upload, table, guess, digest, place)
    if mapping == guess.columns:  # nobody has decided yet
        for question in guess.questions:
            questions.warning(plain(in_the_page(question)), icon=":material/help:")
    options = _options(table, mapping, digest, place, complain)
    return None if mapping is None or options is None else Choices(columns=mapping, options=options, guess=guess)


def in_the_page(line: str) -> str:
    """A question or a note in which the options of the command line are called as the fields are."""
    for option, name in FIELDS.items():
        line = re.sub(rf"--{option}\b( labels| 0=…[^ ]*| xyxy)?", f"“{name}”", line)
    return line


def _mapping(upload: Upload, table: Table, guess: Guess, digest: str, place: Place) -> ColumnMapping | None:
    columns = list(table.columns)
    likely = guess.columns
    if len(likely.answers) > 1:
        answer = st.multiselect(
            "Column with the answer", columns, default=list(likely.answers), key=f"upload_answer_{digest}",
            help="Several columns of 0 and 1, or the four of a box; or one.",
        )  # fmt: skip
    else:
        chosen = st.selectbox(
            "Column with the answer", columns, index=columns.index(likely.answers[0]), key=f"upload_answer_{digest}",
            help="What the model should say.",
        )  # fmt: skip
        answer = [chosen]
    place("answer")
    text = st.multiselect(
        "Columns with the text", columns, default=[c for c in likely.texts if c not in answer],
        key=f"upload_text_{digest}", placeholder="none",
        help="What the model reads after the instruction; both for a pair of sentences, none for images alone.",
    )  # fmt: skip
    place("text")
    template = ""
    if len(text) > 1:
        template = st.text_input(
            "Template", key=f"upload_template_{digest}", placeholder=ColumnMapping(text=tuple(text), answer=()).frame,
            help="How the columns become one text, with the names of columns in braces.",
        )  # fmt: skip
        place("template")
    image = None
    if likely.image is not None or table.images is not None:
        image = st.selectbox(
            "Column with the image names", [None, *columns],
            index=0 if likely.image is None else columns.index(likely.image) + 1,
            format_func=lambda column: "none" if column is None else column, key=f"upload_image_{digest}",
            help="File names of pictures inside the zip.",
        )  # fmt: skip
        place("image")
    names = likely.names if tuple(answer) == likely.answers else None
    if not answer:
        return None
    try:
        if template.strip():
            return _guess(upload, digest, answer, template.strip(), image).columns
    except BadInput as error:
        st.error(sentence(error), icon=":material/error:")
        return None
    return ColumnMapping(text=tuple(text), answer=tuple(answer), image=image, names=names, split=likely.split)


def _options(
    table: Table, mapping: ColumnMapping | None, digest: str, place: Place, complain: Complain
) -> TableOptions | None:
    kinds = {FIND_OUT: None} | {record.label: record.name for record in ANSWER_KINDS.values()}
    kind = st.selectbox(
        "Answers are", list(kinds), key=f"upload_answers_{digest}",
        help="  \n".join(f"{record.label}: {record.help}" for record in ANSWER_KINDS.values()),
    )  # fmt: skip
    box_format = None
    if kinds[kind] == "box":
        box_format = st.selectbox(
            "Boxes are", [None, *FORMATS], key=f"upload_box_{digest}",
            format_func=lambda name: FIND_OUT if name is None else f"{BOX_FORMATS[name]} ({name})",
        )  # fmt: skip
    names = st.text_input(
        "Names of labels", key=f"upload_names_{digest}", placeholder="0=bad,1=good",
        help="For labels that the file has as codes: what the model is to say instead.",
    )  # fmt: skip
    place("label_names")
    missing = st.segmented_control(
        "Rows without an answer", list(MISSING), default="Report them", required=True,
        key=f"upload_missing_{digest}",
        help="Rows whose answer is empty or says NaN, null, NA or -, or -1 among classes.",
    )  # fmt: skip
    place("missing")
    try:
        given = parse_label_names(names) if names.strip() else {}
    except BadInput as error:
        complain(error, "label_names")
        return None
    return TableOptions(
        answers=kinds[kind], missing=MISSING[missing or "Report them"], label_names=given, box_format=box_format
    )


def show_account(uses: Sequence[ColumnUse]) -> None:
    """What becomes of every column."""
    st.dataframe(
        pd.DataFrame(
            [(use.column, use.role, use.why.partition("; --")[0]) for use in uses],
            columns=["Column", "Read as", "Because"],
        ),
        hide_index=True,
        alt="What becomes of every column of the file",
    )
