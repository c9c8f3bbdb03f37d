"""`pituning runs`, `pituning worker`: the queue of the workspace."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.experts import guesses
from pituning.commands.follow import IDLE_SECONDS, follow
from pituning.commands.progress import duration
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

if TYPE_CHECKING:
    from pituning.runs.queue import RunQueue
    from pituning.runs.records import Run

app = typer.Typer(help="Runs: what there is, and what becomes of it.")

RunArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a run; see `pituning runs list`.")]


BatchOption = Annotated[str | None, typer.Option(help="All runs of this batch.")]
RunOrBatch = Annotated[str | None, typer.Argument(metavar="ID", help="Id of a run; see `pituning runs list`.")]


@app.command("list")
def list_command(
    state: Annotated[
        str | None, typer.Option(help="Only queued, running, succeeded, failed or cancelled; a list with commas.")
    ] = None,
    batch: BatchOption = None,
    backbone: Annotated[str | None, typer.Option(help="Only the runs on this backbone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10**9, help="How many at most, the newest.")] = 500,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """All runs, newest first, and what those that are queued wait for."""
    from pituning.errors import BadInput
    from pituning.runs.records import ACTIVE, FINAL
    from pituning.runs.waiting import held_up, waits_for

    states = [word.strip() for word in state.split(",")] if state is not None else None
    for each in states or ():
        if each not in (*ACTIVE, *FINAL):
            raise BadInput(f"state {each!r} is unknown; choose of {', '.join((*ACTIVE, *FINAL))}", field="state")
    queue = open_queue(workspace)
    if backbone is not None:
        queue.workspace.check_backbone(backbone)
    runs = queue.list(states=states, batch=batch, backbone=backbone, limit=limit)
    total = queue.count(states=states, batch=batch, backbone=backbone)
    waits, held = waits_for(queue), held_up(queue)

    def human() -> None:
        print_table(("run", "state", "what", "phase", "took"), [_line(run, waits) for run in runs])
        if total > len(runs):
            echo(f"these are the newest {len(runs):,} of {total:,} runs; all: --limit {total}", err=True)
        if held is not None:
            echo(f"nothing is taken: {held}", err=True)

    emit({"runs": [_document(run, waits) for run in runs], "total": total, "held_up": held}, as_json, human)


@app.command()
def show(run: RunArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Everything about one run, with its result."""
    from pituning.runs.waiting import waits_for

    queue = open_queue(workspace)
    record = queue.get(run)
    document = _document(record, waits_for(queue)) | {
        "events": [{"time": event.time, "message": event.message} for event in queue.events_of(run)],
        "result": queue.result_of(run),
    }

    def human() -> None:
        for key in ("id", "name", "batch", "state", "damage", "waits", "command", "phase", "failure", "error", "fix"):
            if document[key] is not None:
                echo(f"{'fix' if key == 'fix' else key:8} {document[key]}")
        for event in document["events"]:
            echo(f"{time.strftime('%F %T', time.localtime(event['time']))}  {event['message']}")
        for key, value in (document["result"] or {}).items():
            if isinstance(value, str | int | float):
                echo(f"{key:8} {value}")
        for what, points in guesses(document["result"] or {}):
            echo(f"to compare: {what} scores {points:.1f}")

    emit(document, as_json, human)


@app.command()
def logs(
    run: RunArgument,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many lines from the end.")] = 200,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """The end of a run's log."""
    text = open_queue(workspace).log_of(run, lines=lines)
    emit({"run": run, "log": text}, as_json, lambda: echo(text))


@app.command()
def cancel(
    run: RunOrBatch = None, batch: BatchOption = None, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Stop a run, or all of a batch; they can be resumed."""
    queue = open_queue(workspace)
    states = {each: queue.cancel(each) for each in _chosen(queue, run, batch)}

    def human() -> None:
        for each, state in states.items():
            echo(f"{each}: {'asked to stop' if state == 'running' else state}")

    document = {"run": run, "state": states[run]} if run is not None else {"batch": batch, "states": states}
    emit(document, as_json, human)


@app.command()
def resume(
    run: RunArgument, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Go on with a failed or cancelled run where it stopped."""
    queue = open_queue(workspace)
    queue.resume(run)
    _go_on(queue, run, detach, as_json)


@app.command()
def retry(
    run: RunArgument, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Start a failed or cancelled run again from the beginning."""
    queue = open_queue(workspace)
    queue.retry(run)
    _go_on(queue, run, detach, as_json)


@app.command()
def delete(
    run: RunArgument, yes: YesOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Delete a run that has ended, with its result, curves, log and the expert that only it made."""
    from pituning.runs.removal import delete_run, expert_of

    queue = open_queue(workspace)
    record = queue.get(run)
    if not record.active:  # else it is refused, and there is nothing to ask
        made = expert_of(queue, record)
        confirm(f"Delete run {run}{f' and its expert {made.name}' if made is not None else ''}?", yes)
    gone = delete_run(queue, run)
    words = f"deleted {run}" + (f" and its expert {gone.expert}" if gone.expert is not None else "")
    document = {"run": run, "deleted": True, "expert": gone.expert, "bin": gone.entry}
    emit(document, as_json, lambda: echo_deleted(words, gone.entry))


def worker_command(
    idle: Annotated[float | None, typer.Option(min=0, help="End after so many idle seconds; default: never.")] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="The most runs at once; default: one for each GPU, or what Ray takes.")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(help="local, or ray for the cluster at $PITUNING_RAY_ADDRESS; see docs/cluster.md.")
    ] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs of each run on a Ray cluster; default: 1.")] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Run queued work until stopped with Ctrl-C; runs under way here go back to the queue, those on a cluster go on."""
    from pituning.runs.supervisor import supervise

    place = open_workspace(workspace)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    echo(f"working on the queue of {place.root}; stop with Ctrl-C", err=True)
    supervise(place, executor=executor, slots=slots, gpus=gpus, idle_s=idle, stop=stop)


def open_queue(workspace: Any) -> RunQueue:
    """The queue of the workspace that ``--workspace`` names."""
    from pituning.runs.queue import RunQueue

    return RunQueue(open_workspace(workspace))


def _chosen(queue: RunQueue, run: str | None, batch: str | None) -> list[str]:
    """The runs that a command is about: one, or those of a batch that have not ended."""
    from pituning.errors import BadInput
    from pituning.runs.records import ACTIVE

    if (run is None) == (batch is None):
        raise BadInput("give the id of a run, or --batch with the name of a batch", field="run")
    if run is not None:
        return [run]
    if not queue.count(batch=batch):
        raise BadInput(f"there is no batch {batch!r}; see: pituning runs list", field="batch")
    return [each.id for each in queue.list(states=ACTIVE, batch=batch)]


def _go_on(queue: RunQueue, run: str, detach: bool, as_json: bool) -> None:
    from pituning.runs.supervisor import ensure_supervisor

    ensure_supervisor(queue.workspace, idle_s=IDLE_SECONDS)
    if detach:
        emit({"run": run}, as_json, lambda: echo(f"queued {run}"))
        return
    result = follow(queue.workspace, run)
    emit(result, as_json, lambda: echo(f"{run}: succeeded; see: pituning runs show {run}"))


def _line(run: Run, waits: Mapping[str, str]) -> tuple[str, str, str, str | None, str | None]:
    elapsed = run.elapsed()
    phase = f"{run.phase} {run.done}/{run.total}" if run.state == "running" and run.phase else run.error
    if run.damage is not None:
        return run.id, f"{run.state}?", run.name, run.damage, None
    name = run.name if run.batch is None else f"{run.name} ({run.batch})"
    return run.id, run.state, name, waits.get(run.id, phase), duration(elapsed) if elapsed is not None else None


def _document(run: Run, waits: Mapping[str, str]) -> dict[str, Any]:
    kept = (
        "id", "name", "batch", "kind", "backbone", "state", "priority", "attempt", "max_attempts", "slot", "created",
        "started", "finished", "phase", "done", "total", "eta_s", "failure", "error", "fix", "submitted_by", "damage",
    )  # fmt: skip
    return {key: getattr(run, key) for key in kept} | {
        "waits": waits.get(run.id),
        "config": dict(run.spec.config),
        "command": run.spec.command() if run.damage is None else None,
        "seconds": run.elapsed(),
    }
