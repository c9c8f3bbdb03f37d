"""`pituning runs`, `pituning worker`: the queue of the workspace."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.follow import IDLE_SECONDS, follow
from pituning.commands.progress import duration
from pituning.commands.shared import (
    DetachOption,
    JsonOption,
    WorkspaceOption,
    YesOption,
    confirm,
    emit,
    open_workspace,
    print_table,
)

if TYPE_CHECKING:
    from pituning.runs.queue import RunQueue
    from pituning.runs.records import Run

app = typer.Typer(help="Runs: list, show, logs, cancel, resume, retry, delete.")

RunArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a run; see `pituning runs list`.")]


@app.command("list")
def list_command(
    state: Annotated[
        str | None, typer.Option(help="Only queued, running, succeeded, failed or cancelled; a list with commas.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """All runs, newest first."""
    from pituning.errors import BadInput
    from pituning.runs.records import ACTIVE, FINAL

    states = [word.strip() for word in state.split(",")] if state is not None else None
    for each in states or ():
        if each not in (*ACTIVE, *FINAL):
            raise BadInput(f"state {each!r} is unknown; choose of {', '.join((*ACTIVE, *FINAL))}", field="state")
    runs = _queue(workspace).list(states=states)

    def human() -> None:
        print_table(("run", "state", "what", "phase", "took"), [_line(run) for run in runs])

    emit({"runs": [_document(run) for run in runs]}, as_json, human)


@app.command()
def show(run: RunArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Everything about one run, with its result."""
    queue = _queue(workspace)
    found = queue.get(run)
    document = _document(found) | {
        "events": [{"time": event.time, "message": event.message} for event in queue.events_of(run)],
        "result": queue.result_of(run),
    }

    def human() -> None:
        for key in ("id", "name", "state", "command", "phase", "error"):
            if document[key] is not None:
                typer.echo(f"{key:8} {document[key]}")
        for event in document["events"]:
            typer.echo(f"{time.strftime('%F %T', time.localtime(event['time']))}  {event['message']}")
        for key, value in (document["result"] or {}).items():
            if isinstance(value, str | int | float):
                typer.echo(f"{key:8} {value}")

    emit(document, as_json, human)


@app.command()
def logs(
    run: RunArgument,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many lines from the end.")] = 200,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """The end of a run's log."""
    text = _queue(workspace).log_of(run, lines=lines)
    emit({"run": run, "log": text}, as_json, lambda: typer.echo(text))


@app.command()
def cancel(run: RunArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Stop a run; it can be resumed."""
    state = _queue(workspace).cancel(run)
    words = "asked to stop" if state == "running" else state
    emit({"run": run, "state": state}, as_json, lambda: typer.echo(f"{run}: {words}"))


@app.command()
def resume(
    run: RunArgument, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Go on with a failed or cancelled run where it stopped."""
    queue = _queue(workspace)
    queue.resume(run)
    _go_on(queue, run, detach, as_json)


@app.command()
def retry(
    run: RunArgument, detach: DetachOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Start a failed or cancelled run again from the beginning."""
    queue = _queue(workspace)
    queue.retry(run)
    _go_on(queue, run, detach, as_json)


@app.command()
def delete(
    run: RunArgument, yes: YesOption = False, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Delete a run that has ended, with its result, curves, log and the expert that only it made."""
    from pituning.runs.removal import delete_run, expert_of

    queue = _queue(workspace)
    found = queue.get(run)
    if not found.active:  # else it is refused, and there is nothing to ask
        made = expert_of(queue, found)
        confirm(f"Delete run {run}{f' and its expert {made.name}' if made is not None else ''}?", yes)
    expert = delete_run(queue, run)
    words = f"deleted {run}" + (f" and its expert {expert}" if expert is not None else "")
    emit({"run": run, "deleted": True, "expert": expert}, as_json, lambda: typer.echo(words))


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
    typer.echo(f"working on the queue of {place.root}; stop with Ctrl-C", err=True)
    supervise(place, executor=executor, slots=slots, gpus=gpus, idle_s=idle, stop=stop)


def _queue(workspace: Any) -> RunQueue:
    from pituning.runs.queue import RunQueue

    return RunQueue(open_workspace(workspace))


def _go_on(queue: RunQueue, run: str, detach: bool, as_json: bool) -> None:
    from pituning.runs.supervisor import ensure_supervisor

    ensure_supervisor(queue.workspace, idle_s=IDLE_SECONDS)
    if detach:
        emit({"run": run}, as_json, lambda: typer.echo(f"queued {run}"))
        return
    result = follow(queue.workspace, run)
    emit(result, as_json, lambda: typer.echo(f"{run}: done; see: pituning runs show {run}"))


def _line(run: Run) -> tuple[str, str, str, str | None, str | None]:
    elapsed = run.elapsed()
    phase = f"{run.phase} {run.done}/{run.total}" if run.state == "running" and run.phase else run.error
    return run.id, run.state, run.name, phase, duration(elapsed) if elapsed is not None else None


def _document(run: Run) -> dict[str, Any]:
    kept = (
        "id", "name", "kind", "state", "attempt", "created", "started", "finished", "phase", "done", "total", "eta_s",
        "error", "submitted_by",
    )  # fmt: skip
    return {key: getattr(run, key) for key in kept} | {
        "config": dict(run.spec.config),
        "command": run.spec.command(),
        "seconds": run.elapsed(),
    }
