"""From a file and a few options to a task: what the commands and the app have in common. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pituning.errors import BadInput
from pituning.tasks.answers import parse_label_names
from pituning.tasks.base import Task
from pituning.tasks.cards import about_of, card_options, read_card_file
from pituning.tasks.columns import Guess, guess_columns
from pituning.tasks.files import preview_table, task_from_table
from pituning.tasks.mapping import ColumnMapping, ColumnUse
from pituning.tasks.metrics import Guessing
from pituning.tasks.reading import ReadOptions, Table, open_table
from pituning.tasks.table_options import TableOptions


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """What somebody says of a file that is to become a task; whatever is empty is found out, or the card says it.

    Args:
        text_columns: with commas between.
        answer_column: one, or several with commas between.
        label_names: ``0=bad,1=good``, or the name of a column.
        missing: ``refuse``, ``drop`` or ``keep``; see `TableOptions`, also for ``skip_bad_rows``.
        card: a file that says all this.
    """

    name: str
    title: str = ""
    instruction: str = ""
    text_columns: str | None = None
    answer_column: str | None = None
    image_column: str | None = None
    template: str | None = None
    answers: str | None = None
    label_names: str | None = None
    missing: str = "refuse"
    skip_bad_rows: bool = False
    header: bool | None = None
    encoding: str | None = None
    delimiter: str | None = None
    table: str | None = None
    box_format: str | None = None
    metric: str | None = None
    card: Path | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """A task that can be made, and all that is to be said about it.

    Args:
        warnings: one line each, see `TablePreview`.
        questions: where another reading is as plausible, with the option that decides.
        guessing: what it scores; None where that is not known from the counts of labels.
    """

    table: Table
    columns: ColumnMapping
    account: tuple[ColumnUse, ...]
    questions: tuple[str, ...]
    options: TableOptions
    name: str
    title: str
    instruction: str
    about: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    guessing: Guessing | None = None

    def make(self) -> Task:
        """The task itself; errors as of `task_from_table`."""
        return task_from_table(
            self.table, name=self.name, title=self.title, instruction=self.instruction, columns=self.columns,
            options=self.options, about=self.about,
        )  # fmt: skip


def plan_task(file: Path, given: AddOptions) -> TaskPlan:
    """Reads a file and settles everything about the task that it makes.

    Raises:
        BadInput: the file, a column, the card or an option cannot be used.
    """
    outer = read_card_file(given.card) if given.card is not None else {}
    table = open_table(
        file,
        ReadOptions(
            header=given.header,
            encoding=given.encoding,
            delimiter=given.delimiter,
            table=given.table or outer.get("table"),
        ),
    )
    return plan_table(table, given, outer)


def plan_table(table: Table, given: AddOptions, outer: Mapping[str, Any]) -> TaskPlan:
    """Settles everything about the task that a table makes.

    Args:
        outer: what a card says that did not come with the table.

    Raises:
        BadInput: a column, the card or an option cannot be used.
    """
    card = card_options({**table.card, **outer})
    guess = guess_columns(
        table,
        answer=_columns(table, given.answer_column) or card.answer or None,
        text=_columns(table, given.text_columns) or card.text or None,
        image=given.image_column or card.image,
        template=given.template or card.template,
        label_names=_names_column(table, given.label_names),
    )
    names = {} if given.label_names in (None, *table.columns) else parse_label_names(given.label_names or "")
    options = TableOptions(
        answers=given.answers or card.answers,
        missing=given.missing if given.missing != "refuse" else card.missing or "refuse",
        skip_bad_rows=given.skip_bad_rows,
        label_names=names or card.label_names,
        box_format=given.box_format or card.box_format,
        metric=given.metric or card.metric,
        seed=given.seed,
    )
    preview = preview_table(table, guess.columns, options=options)
    return TaskPlan(
        table=table,
        columns=guess.columns,
        account=guess.account,
        questions=guess.questions,
        options=options,
        name=given.name,
        title=given.title or card.title or "",
        instruction=given.instruction or card.instruction or guess.instruction or _no_instruction(guess),
        about=about_of(card),
        warnings=preview.warnings,
        guessing=preview.guessing,
    )


def _no_instruction(guess: Guess) -> str:
    raise BadInput(
        "the file says no instruction; give --instruction, as in 'is this review good or bad?'", field="instruction"
    )


def _columns(table: Table, text: str | None) -> list[str]:
    """The columns that a text with commas names; a column whose name holds a comma is named alone."""
    if not text:
        return []
    return [text] if text in table.columns else [part.strip() for part in text.split(",")]


def _names_column(table: Table, label_names: str | None) -> str | None:
    return label_names if label_names in table.columns else None
