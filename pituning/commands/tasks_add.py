"""`pituning tasks add`: a task from a file of one's own, or from a data set of the hub."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pituning.commands.options import BackboneOption
from pituning.commands.shared import JsonOption, SeedOption, WorkspaceOption, echo, emit, open_workspace
from pituning.commands.tasks import app, task_document
from pituning.errors import BadInput
from pituning.workspace.layout import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from pituning.tasks.base import Task
    from pituning.workspace.layout import Workspace


@app.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            help="A table (CSV, TSV, Excel, JSON, Parquet, Arrow), or a zip or folder with tables or images; or a data "
            "set: hub:OWNER/NAME[:CONFIG], or catalogue:NAME (see `pituning tasks catalogue`)."
        ),
    ],
    instruction: Annotated[
        str, typer.Option(help="What to do, as in 'is this review good or bad?'; default: what the file or card says.")
    ] = "",
    name: Annotated[str | None, typer.Option(help="Name of the task; default: the file's name.")] = None,
    title: Annotated[str, typer.Option(help="What people read; default: the name.")] = "",
    text_columns: Annotated[
        str | None, typer.Option("--text-columns", "--text", help="Columns that the model reads, with commas between.")
    ] = None,
    answer_column: Annotated[
        str | None,
        typer.Option("--answer-column", "--answer", help="Column with the answers; several of 0 and 1 with commas."),
    ] = None,
    image: Annotated[str | None, typer.Option("--image-column", "--image", help="Column with names of images.")] = None,
    template: Annotated[
        str | None, typer.Option(help="How several columns become one text: '{premise} Hence: {hypothesis}'.")
    ] = None,
    answers: Annotated[
        str | None, typer.Option(help="labels, text, number, several, votes or box; found out by default.")
    ] = None,
    label_names: Annotated[
        str | None, typer.Option(help="Names of coded labels, '0=bad,1=good', or the column that has them.")
    ] = None,
    drop_missing: Annotated[bool, typer.Option("--drop-missing", help="Leave out rows without an answer.")] = False,
    keep_missing: Annotated[
        bool, typer.Option("--keep-missing", help="Take words such as 'none' or 'NA' as labels.")
    ] = False,
    skip_bad_rows: Annotated[
        bool,
        typer.Option(
            "--skip-bad-rows",
            help="Leave out rows that cannot be used, or have no answer; the task's card counts and names them.",
        ),
    ] = False,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first row names the columns.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file, such as windows-1252; default: UTF-8.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between cells: comma, semicolon, tab, bar, or a sign.")] = None,
    table: Annotated[
        str | None, typer.Option(help="Which file of a zip or folder, or sheet of a workbook, is the table.")
    ] = None,
    box_format: Annotated[str | None, typer.Option(help="What four numbers are: xyxy, xywh or cxcywh.")] = None,
    metric: Annotated[str | None, typer.Option(help="How answers are scored; default: the usual way.")] = None,
    card: Annotated[Path | None, typer.Option(help="A card (YAML) that says all this; options go before it.")] = None,
    revision: Annotated[str | None, typer.Option(help="Of a data set of the hub: branch, tag or commit.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Which splits of a data set of the hub to read: 'train=train,test=validation'.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Most rows of each split of a data set of the hub.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder with image files, where a data set of the hub has their names only.")
    ] = None,
    seed: SeedOption = 0,
    check: Annotated[bool, typer.Option("--check", help="Only say what the task would be.")] = False,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a task from a file of your own, or from a data set of the Hugging Face hub."""
    from pituning.commands.progress import terminal_reporter
    from pituning.tasks.adding import AddOptions, plan_task
    from pituning.tasks.answers import ANSWER_KINDS
    from pituning.tasks.files import save_task
    from pituning.tasks.guessing import document as guess_document
    from pituning.tasks.hub_adding import HubOptions, is_remote, plan_remote, remote_name
    from pituning.tasks.problems import SkippedRows

    if drop_missing and keep_missing:
        raise BadInput("--drop-missing and --keep-missing exclude each other; give one of them", field="missing")
    place = open_workspace(workspace)
    if backbone != DEFAULT_BACKBONE:  # a task can be added before there is any backbone
        place.check_backbone(backbone)
    address = str(file)
    given = AddOptions(
        name=name or remote_name(address) or _name_of(file), title=title, instruction=instruction,
        text_columns=text_columns, answer_column=answer_column, image_column=image, template=template, answers=answers,
        label_names=label_names, missing="drop" if drop_missing else "keep" if keep_missing else "refuse",
        skip_bad_rows=skip_bad_rows,
        header=header, encoding=encoding, delimiter=delimiter, table=table, box_format=box_format, metric=metric,
        card=card, seed=seed,
    )  # fmt: skip
    hub = HubOptions(revision=revision, split=split, limit=limit, images=images)
    with ExitStack() as stack:
        if is_remote(address):
            reporter = stack.enter_context(terminal_reporter())
            plan = stack.enter_context(plan_remote(address, given, hub, reporter))
        elif hub != HubOptions():
            raise BadInput("--revision, --split, --limit and --images are for data sets of the hub: hub:OWNER/NAME")
        else:
            plan = plan_task(file, given)
        made = plan.make()
        warnings = [*plan.warnings, *_prompt_notes(made, place, backbone)]
        if not check:
            save_task(made, place)
    columns = plan.columns
    document = task_document(made) | {
        "columns": {
            "text": list(columns.texts),
            "answer": list(columns.answers),
            "image": columns.image,
            "split": columns.split,
            "names": columns.names,
        },
        "account": [{"column": use.column, "role": use.role, "why": use.why} for use in plan.account],
        "questions": list(plan.questions),
        "skipped": made.about.get("skipped", SkippedRows().to_json()),
        "warnings": warnings,
        **guess_document(plan.guessing),
        "added": not check,
    }

    def human() -> None:
        sizes = ", ".join(f"{size} {split}" for split, size in document["sizes"].items())
        kind = f"{len(made.labels)} labels" if made.labels else ANSWER_KINDS[made.about["answers"]].label.lower()
        echo(f"{'would add' if check else 'added'} {made.name}: {made.modality}, {kind}, {made.metric}, {sizes}")
        for use in plan.account:
            echo(f"  {use}")
        if plan.guessing is not None:
            echo(f"to compare: {plan.guessing}")
        if "skipped" in made.about and not check:
            echo(f"left out: {made.about['skipped']['rows']} rows, named in its card: pituning tasks card {made.name}")
        for question in plan.questions:
            echo(f"ask: {question}", err=True)
        for warning in warnings:
            echo(f"note: {warning}", err=True)

    emit(document, as_json, human)


def _prompt_notes(task: Task, workspace: Workspace, backbone: str) -> list[str]:
    """What the backbone would lose of the prompts of a task, from the first of them."""
    from pituning.backbones.prompts import notes_of_task

    if backbone not in workspace.backbone_names():
        return []
    return notes_of_task(task, workspace.backbone_dir(backbone), name=backbone)


def _name_of(file: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:60] or "task"
