"""`pituning runs sweep | duplicate | extend | submit | count | move | priority | pause | unpause | adopt`: what is
queued, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.follow import IDLE_SECONDS, follow
from pituning.commands.options import BackboneOption, takes_config
from pituning.commands.runs import RunArgument, app, open_queue
from pituning.commands.shared import DetachOption, JsonOption, WorkspaceOption, echo, emit, numbers, words
from pituning.runs.counting import CountRun
from pituning.workspace.layout import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from pituning.runs.queue import RunQueue

SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting; may be given several times.")
]


@app.command()
def sweep(
    targets: Annotated[str, typer.Argument(help="Tasks, with commas between them.")],
    kinds: Annotated[str, typer.Option(help="Kinds of expert, with commas.")] = "lora",
    shots: Annotated[str, typer.Option(help="Examples per class, with commas.")] = "16",
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = "0",
    train: Annotated[bool, typer.Option("--train", help="Train single experts instead of tuning.")] = False,
    settings: SetOption = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    batch: Annotated[str | None, typer.Option(help="A name that the runs share; one is made up when left out.")] = None,
    priority: Annotated[int, typer.Option(help="Runs of a higher priority are taken first.")] = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a run for every combination of targets, kinds, shots and seeds, as one batch."""
    from pituning.runs.sweep import changes_of
    from pituning.runs.sweep import sweep as combine
    from pituning.tasks.registry import load_task

    queue = open_queue(workspace)
    kind, subject = ("train", "task") if train else ("tune", "target")
    names = list(words(targets))
    for name in names:
        load_task(name, queue.workspace)
    axes: dict[str, list[Any]] = {
        subject: names, "kind": list(words(kinds)), "shots": list(numbers(shots, field="shots")),
        "seed": list(numbers(seeds, field="seeds")),
    }  # fmt: skip
    queue.workspace.backbone_dir(backbone)
    specs = combine(kind, {"backbone": backbone, **changes_of(kind, settings or [])}, axes)
    name = batch or queue.new_batch_name()
    ids = queue.submit_all(specs, batch=name, priority=priority)
    _wake(queue)
    emit(
        {"batch": name, "runs": ids},
        as_json,
        lambda: echo(f"queued {len(ids)} runs as batch {name}; see: pituning runs list --batch {name}"),
    )


@app.command()
def duplicate(
    run: RunArgument,
    settings: SetOption = None,
    name: Annotated[str | None, typer.Option(help="Name of the new run.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a run once more, with other settings where --set says so."""
    from pituning.runs.sweep import changes_of

    queue = open_queue(workspace)
    made = queue.duplicate(run, changes_of(queue.get(run).kind, settings or []), name=name)
    _wake(queue)
    emit({"run": made}, as_json, lambda: echo(f"queued {made}; see: pituning runs show {made}"))


@app.command()
def extend(
    run: RunArgument,
    baselines: Annotated[str, typer.Option(help="Methods to compare with as well, with commas, such as full.")],
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add baselines to a tuning that is done: a new run goes on from it, and repeats nothing."""
    queue = open_queue(workspace)
    made = queue.extend(run, words(baselines))
    _see_through(queue, made, detach, as_json)


@app.command()
def submit(
    kind: Annotated[str, typer.Argument(help="Kind of run; one that another package brings, too.")],
    settings: SetOption = None,
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a run of any kind and follow it."""
    from pituning.runs.spec import RunSpec
    from pituning.runs.sweep import changes_of

    queue = open_queue(workspace)
    run = queue.submit(RunSpec(kind=kind, config=changes_of(kind, settings or [])))
    _see_through(queue, run, detach, as_json)


@app.command()
@takes_config(CountRun, argument="upto")
def count(
    config: CountRun, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """A run that only counts: it shows that the queue works."""
    from pituning.runs.spec import RunSpec

    queue = open_queue(workspace)
    run = queue.submit(RunSpec.of("count", config))
    _see_through(queue, run, detach, as_json, lambda result: f"counted to {result['counted']}: the queue works")


@app.command()
def move(
    run: RunArgument,
    place: Annotated[int, typer.Argument(min=1, help="Its place in the queue; 1 is next.")] = 1,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a queued run another place; by default it is done next."""
    queue = open_queue(workspace)
    queue.move(run, place)
    now = queue.place(run)
    emit({"run": run, "place": now}, as_json, lambda: echo(f"{run}: number {now} in the queue"))


@app.command()
def priority(
    run: RunArgument,
    value: Annotated[int, typer.Argument(help="0 is usual; higher is taken first.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the priority of a queued run; a negative one stands after --."""
    queue = open_queue(workspace)
    queue.set_priority(run, value)
    now = queue.place(run)
    document = {"run": run, "priority": value, "place": now}
    emit(document, as_json, lambda: echo(f"{run}: number {now} in the queue"))


@app.command()
def pause(
    reason: Annotated[str, typer.Option(help="What people read who wonder why nothing starts.")] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take nothing more from the queue; what is running goes on."""
    open_queue(workspace).pause(reason)
    emit({"paused": True}, as_json, lambda: echo("paused; go on with: pituning runs unpause"))


@app.command()
def unpause(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """End a pause."""
    queue = open_queue(workspace)
    queue.unpause()
    _wake(queue)
    emit({"paused": False}, as_json, lambda: echo("the queue goes on"))


@app.command()
def adopt(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Take over the PostgreSQL database of the workspace of which this one is a copy."""
    from pituning.runs.queue import RunQueue
    from pituning.workspace.layout import Workspace

    copy = Workspace.open(workspace)
    again = RunQueue(Workspace(copy.root, adopting=True)).adopt()
    shown = f"; queued again: {', '.join(again)}" if again else ""
    emit({"adopted": True, "runs": again}, as_json, lambda: echo(f"the database belongs to {copy.root} now{shown}"))


def _see_through(
    queue: RunQueue, run: str, detach: bool, as_json: bool, done: Callable[[dict[str, Any]], str] | None = None
) -> None:
    """Follows a run that has just been queued, unless that is not wanted; at its end ``done`` says what it found."""
    _wake(queue)
    if detach:
        emit({"run": run}, as_json, lambda: echo(f"queued {run}"))
        return
    result = follow(queue.workspace, run)
    said = f"{run} is done; see: pituning runs show {run}" if done is None else done(result)
    emit(result, as_json, lambda: echo(said))


def _wake(queue: RunQueue) -> None:
    from pituning.runs.supervisor import ensure_supervisor

    if queue.counts().get("queued"):
        ensure_supervisor(queue.workspace, idle_s=IDLE_SECONDS)
