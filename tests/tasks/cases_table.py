# ruff: noqa: E501 (a case a line)
"""The table of docs/cases.md: what people bring, what becomes of it, and what should: `python -m tests.tasks.cases_table`.

A row is worked out by the code; that it is what should happen is what tests/tasks/test_cases.py asserts.
"""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from pituning.backbones.prompts import notes_of_task
from pituning.errors import BadInput
from pituning.tasks.adding import TaskPlan
from pituning.tasks.answers import ANSWER_KINDS
from pituning.tasks.base import SPLITS, Task
from pituning.workspace.affinities import parse_affinity
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace
from tests.tasks.cases import CASES, differences, plan, refusal_differences

PAGE = Path(__file__).parents[2] / "docs" / "cases.md"
BEGIN, END = "<!-- cases -->", "<!-- end of cases -->"
LONGEST = 240
"""Characters of an outcome; a message that is longer is cut."""

SHOWN_LABELS = 3
ROLES = {"text": "reads", "pair": "reads", "image": "sees", "answer": "answers", "ignored": "ignores"}

TAKEN = "taken, as it stands"
SECTIONS: dict[str, dict[str, str]] = {
    "Answers": {
        "labels by case and blanks": "one label for each; the note names every spelling and the right reason",
        "labels by case and blanks at once": "the same; both reasons are named",
        "blanks of another width": "the same",
        "a class that only the test split has": "refused, or an offer to leave it out",
        "labels 0 and 1": "taken; a way to give the labels names",
        "labels with names given": "the names are the labels",
        "labels with names beside": "the names are found in the column beside, and this is told",
        "labels 1 and 1.0": "one label, and this is told",
        "-1 among classes": "not a class: told, counted, with a way to leave such rows out",
        "-1 left out": "left out on request",
        "-1 kept": "a class where somebody says so",
        "empty labels": "told, counted, with a way to leave such rows out",
        "empty labels left out": "left out on request",
        "empty texts": "told, with the row, and a way to leave it out",
        "empty texts left out": "left out on request, and named",
        "labels NaN": "missing answers, not a class called nan",
        "labels None kept": "a class where somebody says so",
        "labels null": "as empty labels",
        "several labels as a list": "a task of its own, scored by F1",
        "several labels in columns": "the same; the other reading is offered",
        "one row a class": "free text; the note says that labels need 3 rows each",
        "120 classes": "a closed set, scored by accuracy",
        "uneven labels": "told, with what always answering the largest class scores",
        "truth values first": "the column of two values is the answer",
        "scores": "numbers, scored by their correlation; both sentences are read",
        "five captions an image": "free text; each image is one example with five right answers",
    },
    "Texts": {
        "a running number first": "both sentences are read, the running number is not",
        "premise and hypothesis": "both are read",
        "a template": "the template decides how they become one text",
        "long texts": "taken; how many prompts are cut, and what is lost, is told",
        "a long pair": "the longer text is cut, not the hypothesis at the end",
        "long answers": "refused: no answer has so many characters",
        "emoji": "taken; that the backbone never saw them is told",
        "Chinese": "taken; that the backbone never saw the script is told",
        "invisible characters": "the labels are two; that they differ by what nobody sees is told",
        "special tokens": "taken as text",
        "formulas": "taken as text",
        "each row three times": "taken; copies are counted",
        "one text, two labels": "taken; contradictions are counted",
        "test texts that are training texts": "taken; that the score will flatter is told",
    },
    "Tables as text": {
        "line breaks inside quotes": TAKEN,
        "semicolons": TAKEN,
        "Excel's Unicode text": TAKEN,
        "Windows-1252": "refused; the likely encoding and the option are named",
        "Windows-1252 named": "read by the encoding that is named",
        "a byte order mark": TAKEN,
        "Windows' line ends": TAKEN,
        "old line ends": TAKEN,
        "blanks in the header": TAKEN,
        "capitals in header and suffix": TAKEN,
        "no header": "no row is lost; this is told, with the option for the other reading",
        "no header, said so": "no row is lost",
        "pandas' index": "the running number is not read",
        "two columns of one name": "refused",
        "one column": "refused",
        "quotes that are text": "read as they are, since tab-separated files have no quoting",
        "tabs, label first, no header": "cut at tabs alone; the label is the answer",
    },
    "Excel, JSON, Parquet, Arrow": {
        "an Excel workbook": TAKEN,
        "a workbook with a sheet for each split": "taken; the sheets are the splits",
        "a workbook with several sheets": "refused; --table chooses",
        "a JSON list": TAKEN,
        "JSON by column": TAKEN,
        "JSON by split": "taken; its splits are kept",
        "alpaca": "taken; the file's own instruction is used",
        "prompt and completion": TAKEN,
        "chat": "the user is read, the assistant is the answer",
        "SQuAD": "free text with every right answer",
        "VQA's ten answers": "VQA accuracy over the ten answers",
        "VQA without its images": "refused: the images are not there",
        "Parquet": TAKEN,
        "Parquet from the hub": "taken; labels have the names of its ClassLabel",
        "Arrow": TAKEN,
        "a saved data set": "taken; its splits and the names of its labels are kept",
    },
    "Images, and zips": {
        "a table and images": TAKEN,
        "folders in folders, and a Mac's": TAKEN,
        "backslashes": TAKEN,
        "a README beside": "README and LICENSE are no tables",
        "several tables": "refused; the tables and the option are named",
        "one of several tables": "the one that is named",
        "web addresses": "refused: web addresses are not fetched",
        "a folder for each label": "folders are labels, train and test are splits",
        "metadata in each split": "each table is its folder's split",
        "images of odd kinds": TAKEN,
        "a truncated image": "refused; the image is named",
        "54 million pixels": "refused; the image is named",
        "32 bits per channel": "refused; the image is named",
    },
    "Boxes": {
        "VOC columns": "boxes, in pixels, scored by IoU",
        "VOC columns without images": "refused; the form that is read is shown",
        "VOC files": "boxes, in pixels, scored by IoU",
        "COCO": "boxes, in pixels, scored by IoU",
        "boxes x y width height": "found out, and told",
        "boxes outside of their image": "refused",
        "location tokens": "boxes on the grid of 48",
        "location tokens to 999": "boxes on a grid of 1000, and this is told",
    },
}

AFFINITIES: dict[str, tuple[str, str, str]] = {
    "each way a value of its own": (",a,b\na,1,.4\nb,.3,1\n", "b to a 0.4, a to b 0.3", "taken"),
    "values below 0": (",a,b\na,1,-.4\nb,.3,1\n", "b to a -0.4, a to b 0.3", "taken"),
    "an empty diagonal": (",a,b\na,,.4\nb,.3,\n", "b to a 0.4, a to b 0.3", "taken"),
    "NaN cells": (",a,b\na,1,NaN\nb,.3,1\n", "a to b 0.3", "taken, as not known"),
    "one half only": (",a,b,c\na,1,.4,.2\nb,,1,.1\nc,,,1\n", "b to a 0.4, c to a 0.2, c to b 0.1", "taken; drawn as symmetric"),
    "inf on the diagonal": (",a,b\na,inf,.4\nb,.3,1\n", "'inf' is not a finite number", "refused; the cell is named"),
    "a corner called task": ("task,a,b\na,1,.4\nb,.3,1\n", "b to a 0.4, a to b 0.3", "taken"),
    "more rows than columns, as Taskonomy has them": (
        ",a,b\na,1,.4\nb,.3,1\nc,.5,.6\n", "b to a 0.4, a to b 0.3, a to c 0.5, b to c 0.6",
        "taken; what is not there is not known",
    ),
    "a corner that says source by target": (
        "source\\target,a,b\na,1,.4\nb,.3,1\n", "b to a 0.3, a to b 0.4", "the corner is obeyed: a lends .4 to b",
    ),
    "source, target, value": ("source,target,value\na,b,.4\nb,a,.3\n", "b to a 0.3, a to b 0.4", "taken: a lends .4 to b"),
    "from, to, score": ("from,to,score\na,b,.4\nb,a,.3\n", "b to a 0.3, a to b 0.4", "taken: a lends .4 to b"),
    "one task": (",a\na,1\n", "names 1 task; a graph needs 2 or more", "refused"),
    "three tasks, all values 1": (
        ",a,b,c\na,1,1,1\nb,1,1,1\nc,1,1,1\n", "b to a 1, c to a 1, a to b 1, c to b 1, a to c 1, b to c 1", "taken",
    ),
    "two pairs that know nothing of each other": (
        "source,target,value\na,b,.4\nc,d,.3\n", "a to b 0.4, c to d 0.3", "taken; no line between them",
    ),
}  # fmt: skip
"""Tables of affinity: what lends how much to what, or a piece of the refusal, and what should happen."""


def case_row(name: str, folder: Path) -> tuple[str, list[str]]:
    """A case as a row of the table, and what is not as it should be.

    Args:
        folder: where its file is written.
    """
    case = CASES[name]
    path = folder / case.file
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    try:
        planned = plan(path, case)
        task = planned.make()
        done, unmet = taken(planned, task), differences(case, planned, task)
    except BadInput as error:
        done, unmet = f"refused: {error}", refusal_differences(case, error)
    options = "".join(f" `{_option(*given)}`" for given in case.options.items() if given[0] != "instruction")
    [expected] = [section[name] for section in SECTIONS.values() if name in section]
    return _row(f"{name}{options}", f"`{path.suffix}`", done, expected, _met(unmet)), unmet


def taken(planned: TaskPlan, task: Task) -> str:
    """What is said of a file that can be used: answers, rows, columns and notes."""
    kind = ANSWER_KINDS[task.about["answers"]].label.lower()
    if task.labels:
        kind = f"{len(task.labels)} labels" if len(task.labels) > SHOWN_LABELS else f"labels {', '.join(task.labels)}"
    most = max(len(example.accepted) for split in SPLITS for example in task.split(split))
    several = f", up to {most} right answers each" if most > 1 else ""
    rows = " + ".join(str(len(task.split(split))) for split in SPLITS)
    columns: dict[str, list[str]] = {}
    for use in planned.account:
        columns.setdefault(ROLES.get(use.role, use.role), []).append(use.column)
    read = ", ".join(f"{what} {' and '.join(names)}" for what, names in columns.items())
    notes = [*planned.questions, *planned.warnings, *notes_of_task(task, embedded(), name=DEFAULT_BACKBONE)]
    return f"{kind}{several}; {task.metric}; {rows} rows; {read}" + "".join(f". Note: {note}" for note in notes)


@cache
def embedded() -> Path:
    """The embedded backbone, whose prompts the notes are about."""
    return Workspace(Path("nowhere")).backbone_dir(DEFAULT_BACKBONE)


def affinity_row(name: str) -> tuple[str, list[str]]:
    """A table of affinity as a row, and what is not as it should be."""
    text, want, expected = AFFINITIES[name]
    try:
        affinity = parse_affinity(text.encode())
        pairs = [
            f"{source} to {target} {affinity.values[i, j]:g}"
            for i, target in enumerate(affinity.names)
            for j, source in enumerate(affinity.names)
            if i != j and np.isfinite(affinity.values[i, j])
        ]
        done = ", ".join(pairs)
        unmet = [] if done == want else [done]
        done = f"{len(affinity.names)} tasks; {done}"
    except BadInput as error:
        done = f"refused: {error}"
        unmet = [] if want in done else [done]
    return _row(name, "`.csv`", done, expected, _met(unmet)), unmet


def table() -> str:
    """All sections."""
    head = ["| what is brought | file | what becomes of it | what should | met |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        rows = {name: case_row(name, Path(folder))[0] for name in CASES}
    parts = ["\n".join((f"## {title}", "", *head, *map(rows.__getitem__, names))) for title, names in SECTIONS.items()]
    affinities = [affinity_row(name)[0] for name in AFFINITIES]
    return "\n\n".join(
        [*parts, "\n".join(("## Tables of task affinity: who lends how much to whom", "", *head, *affinities))]
    )


def _option(name: str, value: object) -> str:
    """As it is written on the command line."""
    if value is True:
        return f"--{name.replace('_', '-')}"
    if name == "missing":
        return f"--{value}-missing"
    return "--no-header" if value is False else f"--{name.replace('_', '-')} {value}"


def _met(unmet: list[str]) -> str:
    return f"no: {'; '.join(unmet)}" if unmet else "yes"


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """As Markdown shows it, on one line and short; code stays code."""
    shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"
    return shown.replace("|", r"\|") if "`" in shown else re.sub(r"([|<>*_\\$])", r"\\\1", shown)


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
