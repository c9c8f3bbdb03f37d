"""Uploads a table of the user's own: file, names, columns, and what it would become, with errors beside the field."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import pandas as pd
import streamlit as st

from app.components import access, backbone, context, fitting, upload_problems
from app.components.examples import gallery
from app.components.guard import plain
from app.components.upload_columns import Choices, choose_columns, in_the_page, read_options, show_account
from app.components.words import METRICS
from pituning.backbones.prompts import prompt_notes
from pituning.errors import BadInput
from pituning.runs.samples import sample_of
from pituning.tasks.answers import ANSWER_KINDS
from pituning.tasks.base import Task
from pituning.tasks.columns import Guess
from pituning.tasks.files import Table, TableOptions, TablePreview, check_name
from pituning.tasks.mapping import ColumnMapping, account
from pituning.tasks.members import members_in
from pituning.tasks.problems import count_rows
from pituning.tasks.reading.opening import suffixes
from pituning.tasks.saved import name_taken, taken_names
from pituning.tasks.uploads import Upload
from pituning.workspace.layout import free_name

FILE_TYPES = [suffix.lstrip(".") for suffix in suffixes()]
SAMPLE = """text,label
the soup was cold and bland,bad
friendly staff and lovely food,good
i waited an hour for a table,bad
best coffee in town,good"""
ZIPS = """A **zip** may hold

- a table and its pictures, with a column of the pictures’ file names;
- pictures in folders that are named for their classes, such as `cat/1.png` and `dog/1.png`; folders `train` and `test`
  above them are the splits;
- tables that are named train, validation and test;
- boxes as COCO or VOC keep them, questions as VQA does, or a data set that was saved to disk."""
HUB_COMMANDS = """pituning tasks add hub:OWNER/NAME --instruction "what is it?"
pituning tasks catalogue
pituning tasks add catalogue:sst2"""
SHOWN_TEXTS, SHOWN_IMAGES = 4, 6


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """A table that can become a task, and what it would become."""

    name: str
    title: str
    instruction: str
    upload: Upload
    columns: ColumnMapping
    options: TableOptions
    preview: TablePreview

    def keep(self) -> Path:
        """Makes the task and saves it into the workspace: where it is then."""
        return self.upload.keep(
            self.columns, self.options, context.workspace(),
            name=self.name, title=self.title, instruction=self.instruction,
        )  # fmt: skip


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
        place.error(plain(in_the_page(str(error))), icon=":material/error:")


def panel() -> Uploaded | None:
    """Draws the form; None until everything in it can be used."""
    fields = _Fields()
    warning = st.container()
    file = access.uploader(
        "A table, or a zip: of tables, of a table and its pictures, or of a folder for each class",
        type=FILE_TYPES,
        key="upload_file",
        help="A table with a column of answers and columns of text, of image names, or both. A column “split” (train, "
        "validation, test) is used when there is one. A folder goes up as a zip. The file stays on this machine.",
    )
    fields.place("file")
    if file is None:
        with warning:
            backbone.warn_beyond("file")
        with st.expander("What such a file looks like", icon=":material/description:"):
            st.code(SAMPLE, language=None)
            st.caption("One example a line; in Excel, one in each row of a sheet.")
            st.markdown(ZIPS)
        with st.expander("A data set of the Hugging Face hub", icon=":material/cloud_download:"):
            st.caption(
                "It is added from a terminal, as it may be large; afterwards it is among the tasks of this workspace. "
                "The paper’s 20 data sets have names of their own."
            )
            st.code(HUB_COMMANDS, language="bash", wrap_lines=True)
        return None
    upload = Upload(filename=file.name, data=file.getvalue(), options=read_options())
    digest = hashlib.sha256(upload.data + repr((upload.filename, upload.options)).encode()).hexdigest()[:12]
    try:
        table, guess = _look(upload, digest)
    except BadInput as error:
        fields.complain(error, "file")
        return None
    names, mapping = st.columns(2, gap="medium")
    with names:
        read_as = st.container()
        name, title, instruction = _naming(fields, table, file.name, digest)
    with mapping:
        choices = choose_columns(upload, table, guess, digest, fields.place, fields.complain)
    checked = _check(fields, upload, digest, choices, name, instruction)
    if checked is None or choices is None:
        return None
    preview, options = checked
    read_as.caption(_read_as(table, preview))
    with fields.places["file"]:
        upload_problems.show(preview, table.filename, digest)
    with names:
        show_account(account(table, choices.columns, _reasons(choices)))
    _show(preview, instruction, [*preview.warnings, *_prompt_notes(preview, choices.columns, instruction)])
    with warning:
        fitting.recommend_for(preview.modality)
    sample = _sample(preview, title, instruction)
    if sample is not None:
        fitting.untrained(sample, preview.guessing, upload=digest)
    if fields.failed or preview.problems or preview.missing:
        return None
    return Uploaded(
        name=name,
        title=title,
        instruction=instruction,
        upload=upload,
        columns=choices.columns,
        options=options,
        preview=preview,
    )


@st.cache_resource(max_entries=4, show_spinner="Reading the file …")
def _look(_upload: Upload, digest: str) -> tuple[Table, Guess]:
    return _upload.look()


@st.cache_resource(max_entries=8, show_spinner="Checking every row …")
def _preview(
    _upload: Upload, digest: str, columns: ColumnMapping, _options: TableOptions, options: str
) -> TablePreview:
    return _upload.preview(columns, _options)


def _read_as(table: Table, preview: TablePreview) -> str:
    rows = sum(preview.sizes.values()) + count_rows(preview.problems) + preview.missing + preview.skipped.rows
    details = [table.form, f"{rows:,} rows", f"{len(table.columns)} columns"]
    if table.encoding is not None:
        details.append(table.encoding)
    if table.images is not None:
        details.append("with images")
    return f":material/check_circle: Read {plain(table.filename)}: " + plain(", ".join(details)) + "."


def _naming(fields: _Fields, table: Table, filename: str, digest: str) -> tuple[str, str, str]:
    slug = re.sub(r"[^a-z0-9]+", "-", PurePath(filename).stem.lower()).strip("-")[:60].strip("-") or "my-task"
    title = st.text_input(
        "Title", value=slug.replace("-", " ").capitalize(), key=f"upload_title_{digest}", max_chars=80,
        help="What people read in lists and in the graph.",
    )  # fmt: skip
    key = f"upload_name_{digest}"
    if key not in st.session_state:
        st.session_state[key] = free_name(slug, context.tasks())
    name = st.text_input(
        "Name", key=key, max_chars=60, help="What commands and addresses use: lower-case letters, digits and dashes.",
    )  # fmt: skip
    if name != slug and name == free_name(slug, context.tasks()):
        st.caption(f"There is a task “{slug}” already.")
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


def _check(
    fields: _Fields, upload: Upload, digest: str, choices: Choices | None, name: str, instruction: str
) -> tuple[TablePreview, TableOptions] | None:
    """What the table would become, and how; None where that cannot be said."""
    try:
        check_name(name)
        if name in taken_names(context.workspace()):
            raise name_taken(name, context.workspace())
    except BadInput as error:
        fields.complain(error, "name")
    if not instruction.strip():
        fields.failed = True
        fields.places["instruction"].caption(":material/edit: Say what to do, as in “is this review good or bad?”")
    if choices is None:
        return None
    if choices.guess.instruction and not instruction.strip():
        fields.places["instruction"].caption(f"The file says: “{plain(choices.guess.instruction)}”")
    try:
        preview = _preview(upload, digest, choices.columns, choices.options, repr(choices.options))
        preview, options = upload_problems.settle(preview, choices.options, digest)
    except BadInput as error:
        fields.complain(error, "file")
        return None
    if preview.unfit is not None:
        fields.complain(BadInput(preview.unfit, field="answer"), "file")
    if preview.missing:
        rows = f"{preview.missing:,} {'row has' if preview.missing == 1 else 'rows have'}"
        fields.failed = True  # the rows themselves are told beside the file
        fields.places["missing"].caption(f":orange[:material/warning:] {rows} no answer; choose what becomes of them.")
    return preview, options


def _reasons(choices: Choices) -> dict[str, tuple[str, str]]:
    """Why the columns that are not read are not: because they were set aside, or because nobody chose them."""
    guessed = choices.guess.account
    unread = {use.column: (use.role, use.why) for use in guessed if use.role in ("ignored", "instruction")}
    return {use.column: ("ignored", "it is not chosen") for use in guessed} | unread


def _prompt_notes(preview: TablePreview, columns: ColumnMapping, instruction: str) -> list[str]:
    """What the chosen backbone would lose of the prompts of the first rows."""
    name, workspace = context.backbone(), context.workspace()
    if name not in workspace.backbone_names():
        return []
    prompts = [f"{instruction} {example.text}".strip() for example in preview.examples]
    members = members_in(instruction, columns)
    return prompt_notes(workspace.backbone_dir(name), prompts, name=name, members=members)


def _sample(preview: TablePreview, title: str, instruction: str) -> Task | None:
    """Three of its rows, to ask a backbone about; None while nobody has said what to do with them."""
    if not instruction.strip() or preview.problems:
        return None
    return sample_of(preview.examples[: fitting.ROWS], instruction=instruction, modality=preview.modality,
                     metric=preview.metric, labels=preview.labels, title=title)  # fmt: skip


def _show(preview: TablePreview, instruction: str, notes: Sequence[str]) -> None:
    for warning in notes:
        st.caption(f":orange[:material/warning:] {plain(in_the_page(warning))}")
    with st.container(border=True):
        metric = METRICS[preview.metric].label
        kind = f"{len(preview.labels)} labels" if preview.labels else ANSWER_KINDS[preview.kind].label.lower()
        sizes = ", ".join(f"{count:,} {split}" for split, count in preview.sizes.items())
        st.markdown(
            f"**As the model will read it** :gray[— {preview.modality}, {kind}, scored by {metric.lower()}; {sizes}]"
        )
        examples, balance = st.columns([3, 2], gap="medium")
        with examples:
            st.caption(f"Every prompt opens with “{plain(instruction.strip())}”." if instruction.strip() else "")
            shown = SHOWN_TEXTS if preview.modality == "language" else SHOWN_IMAGES
            gallery(preview.examples[:shown], key="upload-example")
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
