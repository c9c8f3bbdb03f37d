"""`pituning tasks`: look at tasks, add one from a file, take one away as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.shared import (
    JsonOption,
    TaskArgument,
    WorkspaceOption,
    YesOption,
    confirm,
    echo,
    echo_deleted,
    emit,
    open_workspace,
    print_table,
)
from pituning.errors import BadInput
from pituning.workspace.layout import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from pituning.tasks.base import Example, Task

app = typer.Typer(help="Tasks: list, show, preview, add, edit, card, export, remove.")

PREVIEW_SIZE = 384
"""Pixels of an image of a preview."""


@app.command("list")
def list_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """All tasks: the mini suite and those of the workspace."""
    from pituning.tasks.registry import damaged_tasks, list_tasks

    place = open_workspace(workspace)
    infos, damaged = list_tasks(place), damaged_tasks(place)
    rows = [
        {
            "name": info.name,
            "title": info.title,
            "modality": info.modality,
            "metric": info.metric,
            "labels": info.labels,
            "families": info.families,
            "source": info.source,
            "sizes": dict(info.sizes),
        }
        for info in infos
    ]

    def human() -> None:
        print_table(
            ("task", "modality", "metric", "answers", "train", "test", "title"),
            [
                (
                    info.name,
                    info.modality,
                    info.metric,
                    len(info.labels) if info.labels else "open",
                    info.sizes["train"],
                    info.sizes["test"],
                    info.title,
                )
                for info in infos
            ],
        )
        for name, reason in damaged.items():
            echo(f"{name} cannot be used: {reason}", err=True)

    emit({"tasks": rows, "damaged": damaged}, as_json, human)


@app.command()
def show(task: TaskArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Everything about one task."""
    from pituning.tasks.guessing import document as guess_document
    from pituning.tasks.metrics import guessing
    from pituning.tasks.registry import load_task

    found = load_task(task, open_workspace(workspace))
    document = task_document(found) | guess_document(guessing(found))

    def human() -> None:
        for key, value in document.items():
            echo(f"{key:12} {_words(value)}")

    emit(document, as_json, human)


@app.command()
def preview(
    task: TaskArgument,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many examples.")] = 8,
    images: Annotated[Path | None, typer.Option(help="Also save their images into this directory.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Some examples as the model reads them."""
    from pituning.tasks.registry import load_task

    found = load_task(task, open_workspace(workspace))
    source = found.split(split)
    examples = [source[index] for index in range(min(count, len(source)))]
    paths = [_save_image(example, images) if images is not None else None for example in examples]
    rows = [
        {"uid": example.uid, "prompt": found.prompt(example), "answer": example.answer, "image": path}
        for example, path in zip(examples, paths, strict=True)
    ]

    def human() -> None:
        for row in rows:
            echo(f"{row['prompt']}  →  {row['answer']}" + (f"  [{row['image']}]" if row["image"] else ""))

    emit({"task": found.name, "split": split, "examples": rows}, as_json, human)


@app.command()
def catalogue(
    name: Annotated[str | None, typer.Argument(help="One data set, whose card is printed, to change and use.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The data sets of the paper, which `tasks add catalogue:NAME` adds; or the card of one, for --card."""
    from pituning.tasks.cards import card_text
    from pituning.tasks.catalogue import CATALOGUE

    if name is not None:
        card = CATALOGUE[name].card()
        emit(card, as_json, lambda: echo(card_text(card), nl=False))
        return

    records = list(CATALOGUE.values())
    rows = [
        {
            "name": record.name, "title": record.title, "table": record.table, "address": record.hub.address,
            "labels": record.labels, "metric": record.metric, "prompt": record.prompt, "seeds": record.seeds,
            "note": record.note, "card": record.card(),
        }
        for record in records
    ]  # fmt: skip

    def human() -> None:
        columns = ("name", "data set", "table", "answers", "metric", "on the hub")
        print_table(
            columns,
            [(r.name, r.title, r.table, r.labels or r.answers, r.metric, r.hub.address) for r in records],
        )

    emit({"data_sets": rows}, as_json, human)


@app.command()
def remove(
    task: TaskArgument, yes: YesOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Remove a task that was added, with its own experts; one of the suite stays."""
    from pituning.runs.queue import RunQueue
    from pituning.runs.removal import own_experts, remove_task

    queue = RunQueue(open_workspace(workspace))
    own = own_experts(queue, task)
    kinds = [kind if backbone == DEFAULT_BACKBONE else f"{backbone} {kind}" for backbone, kind in own]
    experts = f" and its {', '.join(kinds)} {'expert' if len(kinds) == 1 else 'experts'}" if kinds else ""
    confirm(f"Remove task {task}{experts}?", yes)
    entry = remove_task(queue, task).entry
    words = f"removed {task}{experts}"
    document = {"task": task, "removed": True, "experts": kinds, "bin": entry}
    emit(document, as_json, lambda: echo_deleted(words, entry))


@app.command()
def edit(
    task: TaskArgument,
    title: Annotated[str | None, typer.Option(help="What people read.")] = None,
    instruction: Annotated[str | None, typer.Option(help="What to do; it opens every prompt.")] = None,
    label_names: Annotated[str | None, typer.Option(help="New names of labels: 'old=new,other=another'.")] = None,
    answers: Annotated[str | None, typer.Option(help="labels, text, number, several or votes.")] = None,
    metric: Annotated[str | None, typer.Option(help="How answers are scored.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the data.")] = None,
    origin: Annotated[str | None, typer.Option(help="Of the data: who published it, and where.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what was guessed wrong about a task that was added; for columns and splits add its file again."""
    from pituning.tasks.answers import parse_label_names
    from pituning.tasks.cards import card_of, card_text
    from pituning.tasks.editing import TaskChanges, edit_task

    given = (title, instruction, label_names, answers, metric, licence, origin)
    if all(value is None for value in given):
        raise BadInput("nothing is to be changed; give --instruction, --label-names or another option")
    changes = TaskChanges(
        title=title, instruction=instruction, label_names=parse_label_names(label_names) if label_names else None,
        answers=answers, metric=metric, licence=licence, origin=origin,
    )  # fmt: skip
    card = card_of(edit_task(open_workspace(workspace), task, changes))
    emit(card, as_json, lambda: echo(card_text(card).rstrip()))


@app.command()
def export(
    task: TaskArgument,
    file: Annotated[Path | None, typer.Argument(help="TASK.zip by default; .jsonl for the bare table.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a task as a file that `tasks add` reads: its card, its table and its images."""
    from pituning.tasks.exporting import export_task
    from pituning.tasks.registry import load_task

    found = load_task(task, open_workspace(workspace))
    path = file or Path(f"{found.name}.zip")
    rows = export_task(found, path)
    emit({"task": found.name, "file": path, "rows": rows}, as_json, lambda: echo(f"{path}: {rows} rows"))


@app.command()
def card(task: TaskArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """The card of a task as YAML, which `tasks add --card` reads."""
    from pituning.tasks.cards import card_of, card_text
    from pituning.tasks.registry import load_task

    document = card_of(load_task(task, open_workspace(workspace)))
    emit(document, as_json, lambda: echo(card_text(document).rstrip()))


def task_document(task: Task) -> dict[str, Any]:
    """What is told of a task as JSON."""
    return {
        "name": task.name,
        "title": task.title,
        "instruction": task.instruction,
        "description": task.description,
        "modality": task.modality,
        "metric": task.metric,
        "labels": task.labels,
        "families": task.families,
        "source": task.source,
        "sizes": {split: len(examples) for split, examples in task.splits.items()},
    }


def _words(value: Any) -> str:
    if value is None:
        return "open answers"
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "–"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _png(example: Example, size: int) -> bytes:
    import io

    assert example.image is not None
    stream = io.BytesIO()
    example.image.render(size).convert("RGB").save(stream, format="PNG")
    return stream.getvalue()


def _save_image(example: Example, directory: Path) -> str | None:
    from pituning.workspace.atomic import write_bytes

    if example.image is None:
        return None
    path = directory / f"{example.uid.replace('/', '-')}.png"
    write_bytes(path, _png(example, PREVIEW_SIZE))
    return str(path)
