"""`pituning experts`: list, train, import, export, answer, remove; and `pituning embed`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.follow import Early, follow, submit
from pituning.commands.options import BackboneOption, takes_config
from pituning.commands.shared import (
    DetachOption,
    JsonOption,
    WorkspaceOption,
    YesOption,
    confirm,
    echo,
    echo_deleted,
    emit,
    open_workspace,
    print_table,
)
from pituning.errors import ArtefactError, BadInput
from pituning.experts.kinds import KINDS, kind_words
from pituning.labelling.experts import expert_directory
from pituning.runs.configs import AnswerRun, EmbedRun, TrainRun
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace

if TYPE_CHECKING:
    from pituning.experts.card import ExpertCard
    from pituning.tasks.base import Task

app = typer.Typer(help="Experts: list, train, import, export, answer, remove.")


@app.command("list")
def list_command(
    kind: Annotated[str | None, typer.Option("--kind", help=f"Only {kind_words(everything=True)}.")] = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """All experts: the zoo's, and those that runs made or that were imported."""
    from pituning.experts.card import read_card

    place = open_workspace(workspace)
    zoo = place.zoo(place.check_backbone(backbone))
    rows: list[dict[str, Any]] = []
    damaged: dict[str, str] = {}
    for each in KINDS if kind is None else (KINDS.check(kind),):
        full_data = zoo.expert_dirs(each)
        for name, directory in zoo.all_expert_dirs(each).items():
            try:
                rows.append(_row(read_card(directory), name in full_data))
            except ArtefactError as error:
                damaged[f"{each}/{name}"] = str(error)

    guessed = _guessing(sorted({row["task"] for row in rows}), place)
    rows = [row | guessed[row["task"]] for row in rows]

    def human() -> None:
        columns = ("expert", "kind", "task", "score", "largest class", "at random", "shots", "zoo", "backbone")
        print_table(
            columns,
            [
                (r["name"], r["kind"], r["task"], r["score"], r["largest"], r["chance"], r["shots"],
                 "yes" if r["zoo"] else "", r["backbone"])
                for r in rows
            ],
        )  # fmt: skip
        for name, reason in damaged.items():
            echo(f"{name} cannot be used: {reason}", err=True)

    emit({"experts": rows, "damaged": damaged}, as_json, human)


@app.command()
@takes_config(TrainRun, argument="task")
def train(
    config: TrainRun, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Train one expert on one task: on a few shots per class, or on all its training data."""
    place = open_workspace(workspace)
    check_examples(place, config.task, config.shots, config.seed)
    place.backbone_dir(config.backbone)
    work(
        place, "train", config, detach, as_json,
        lambda r: f"{r['expert']}: {r['score']:.1f} points on {r['task']} ({r['kind']}, {r['examples']} examples)"
        + "".join(f"; {what} {points:.1f}" for what, points in guesses(r)),
    )  # fmt: skip


@app.command("import")
def import_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A PEFT checkpoint or an exported expert.")],
    task: Annotated[str, typer.Option(help="Task that it was trained on.")],
    name: Annotated[str | None, typer.Option(help="Name of the expert; default: the directory's name.")] = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a PEFT checkpoint as an expert, after comparing its answers with plain PEFT's."""
    from pituning.tasks.registry import load_task

    place = open_workspace(workspace)
    load_task(task, place)
    source = place.backbone_dir(backbone)
    if not directory.is_dir():
        raise BadInput(f"directory {str(directory)!r} does not exist; give that of a PEFT checkpoint")

    from pituning.backbones.files import weight_bytes
    from pituning.experts.checkpoint import read_directory
    from pituning.experts.imported import other_base, usable_name, uses

    imported = read_directory(directory, weights=weight_bytes(source))
    other = None if imported.card is not None else other_base(imported.document, _names(source, backbone))
    warning = None if other is None else (
        f"it says that it was trained on {other!r}, and {backbone!r} is another name: where that is another model, its "
        "answers mean nothing"
    )  # fmt: skip

    from pituning.backbones.base import Backbone
    from pituning.experts.store import import_expert

    expert = import_expert(
        directory,
        task=task,
        name=name or usable_name(directory.resolve().name),
        backbone=Backbone.load(source, name=backbone),
        workspace=place,
    )

    def human() -> None:
        done = expert.card.spec.get("converted")
        echo(f"imported {expert.name}: {expert.kind} for {task}{f', {done}' if done else ''}")
        echo(uses(expert.card))
        if warning is not None:
            echo(f"warning: {warning}", err=True)

    emit(_row(expert.card, expert.name == task) | {"uses": uses(expert.card), "warning": warning}, as_json, human)


def _names(directory: Path, backbone: str) -> list[str]:
    """What a backbone is called: its name here, and that of where it came from."""
    from pituning.backbones.card import CARD, read_card

    return [backbone, read_card(directory, backbone).source] if (directory / CARD).is_file() else [backbone]


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the expert.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    kind: Annotated[str | None, typer.Option("--kind", help="Its kind, where several have the name.")] = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an expert as a PEFT checkpoint of its own."""
    source = expert_directory(open_workspace(workspace), name, kind=kind, backbone=backbone)

    from pituning.experts.store import export_expert

    path = export_expert(source, directory)
    emit({"expert": name, "kind": source.parent.parent.name, "directory": path}, as_json, lambda: echo(str(path)))


@app.command()
@takes_config(AnswerRun, argument="experts")
def answer(
    config: AnswerRun, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Ask experts a question, beside the backbone alone: an example of the task, or one of your own."""
    from pituning.runs.questions import find_questions, keep_image

    place = open_workspace(workspace)
    place.check_backbone(config.backbone)
    if config.image is not None and Path(config.image).is_file():
        config = dataclasses.replace(config, image=keep_image(Path(config.image).read_bytes(), place))
    find_questions(config, place)
    place.backbone_dir(config.backbone)
    work(place, "answer", config, detach, as_json, _answers)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the expert.")],
    kind: Annotated[str | None, typer.Option("--kind", help="Its kind, where several have the name.")] = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    yes: YesOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove an expert of the workspace; a shipped one stays."""
    from pituning.runs.queue import RunQueue
    from pituning.runs.removal import check_removable, remove_expert

    queue = RunQueue(open_workspace(workspace))
    kind = expert_directory(queue.workspace, name, kind=kind, backbone=backbone).parent.parent.name
    check_removable(queue, kind, name, backbone=backbone)
    confirm(f"Remove the {kind} expert {name}?", yes)
    entry = remove_expert(queue, kind, name, backbone=backbone).entry
    document = {"expert": name, "kind": kind, "removed": True, "bin": entry}
    emit(document, as_json, lambda: echo_deleted(f"removed {name} ({kind})", entry))


@takes_config(EmbedRun, argument="tasks")
def embed_command(
    config: EmbedRun,
    everything: Annotated[bool, typer.Option("--all", help="All tasks that have an expert.")] = False,
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute Fisher embeddings, by which tasks are compared; all of the zoo's without a task."""
    if everything and config.tasks:
        raise BadInput("give tasks or --all, not both", field="tasks")
    place = open_workspace(workspace)
    zoo = place.zoo(place.check_backbone(config.backbone))
    for task in config.tasks:
        if task not in zoo.expert_dirs(config.kind):
            check_examples(place, task, None, 0)
            fix = zoo.command(f"experts train {task} --kind {config.kind}")
            raise BadInput(f"task {task!r} has no {config.kind} expert; train one: {fix}", field="tasks")
    place.backbone_dir(config.backbone)
    work(place, "embed", config, detach, as_json, lambda r: f"embedded {', '.join(r['tasks'])}")


def guesses(result: dict[str, Any]) -> list[tuple[str, float]]:
    """What guessing scores, in the words that stand beside a result's own scores."""
    from pituning.tasks.guessing import guess_rows

    return guess_rows(result.get("guessing"))


def check_examples(workspace: Workspace, task: str, shots: int | None, seed: int) -> Task:
    """The task; says at once, rather than from a worker, that it is unknown or has too few examples."""
    from pituning.tasks.registry import load_task

    loaded = load_task(task, workspace)
    if shots is not None:
        loaded.shots(shots, seed)
    return loaded


def work(
    workspace: Workspace,
    kind: str,
    config: Any,
    detach: bool,
    as_json: bool,
    words: Callable[[dict[str, Any]], str],
    early: Early | None = None,
) -> None:
    """Queues a run; shows it until it ends, unless ``detach``; prints its result, in ``words(result)`` for people.

    Args:
        early: what is said of it before it ends (`follow`).
    """
    from pituning.runs.spec import RunSpec

    run_id = submit(workspace, RunSpec.of(kind, config))
    if detach:
        emit({"run": run_id}, as_json, lambda: echo(f"queued {run_id}; see: pituning runs show {run_id}"))
        return
    result = follow(workspace, run_id, early)
    emit(result, as_json, lambda: echo(words(result)))


def _answers(result: dict[str, Any]) -> str:
    """One line for each answer: who, what and how sure."""
    lines = []
    for number, question in enumerate(result["questions"]):
        gold = "" if question["gold"] is None else f" (right: {question['gold']})"
        lines.append(f"{question['example'] or 'your question'}: {question['text']}{gold}")
        for one in result["said"]:
            lines.append(f"  {one['expert'] or 'backbone alone'}: {_how_sure(one, one['answers'][number])}")
    return "\n".join(lines)


def _how_sure(one: dict[str, Any], answer: dict[str, Any]) -> str:
    """An answer with its probability where that is calibrated, else with the answers that come next."""
    from pituning.labelling.calibration import right_of_hundred, trusted

    curve = trusted(one.get("temperature"), one.get("calibration"))
    if curve is not None:
        right, rows = right_of_hundred(curve, answer["probability"])
        sure = f"{100 * answer['probability']:.0f} %; of 100 such answers about {right} are right, by {rows} test rows"
        return f"{answer['answer']} ({sure})"
    following = ", ".join(other["answer"] for other in answer["others"])
    return f"{answer['answer']} ({f'then {following}; ' if following else ''}not calibrated)"


def _guessing(tasks: list[str], workspace: Workspace) -> dict[str, dict[str, float | None]]:
    """What guessing scores on each of some tasks; nothing where a task is not here."""
    from pituning.tasks.guessing import document, guesses_of

    known = guesses_of(tasks, workspace)
    return {name: document(known.get(name)) for name in tasks}


def _row(card: ExpertCard, zoo: bool) -> dict[str, Any]:
    values = dataclasses.asdict(card)
    kept = ("name", "kind", "task", "config", "backbone", "fingerprint", "seed", "spec", "scores", "commit", "sha256")
    return {key: values[key] for key in kept} | {
        "score": card.scores.get("test"),
        "shots": card.spec.get("shots"),
        "zoo": zoo,
    }
