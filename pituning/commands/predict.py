"""`pituning predict`: labels for rows that have none."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.follow import follow, submit
from pituning.commands.options import takes_config
from pituning.commands.shared import DetachOption, JsonOption, WorkspaceOption, echo, emit, open_workspace, output_file
from pituning.errors import BadInput
from pituning.runs.configs import PredictRun

if TYPE_CHECKING:
    from pituning.runs.spec import RunSpec
    from pituning.workspace.layout import Workspace


@takes_config(PredictRun, argument="expert")
def predict_command(
    config: PredictRun,
    file: Annotated[
        Path | None, typer.Argument(help="A table, a zip or a folder of a table with images, or of images alone.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the answers go, a CSV file.")] = None,
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label the rows of a file with an expert: each with its answer and how sure it is.

    The same command again goes on where an interrupted one stopped.
    """
    from pituning.labelling.answers import Layout, check_layout
    from pituning.labelling.experts import find_expert
    from pituning.labelling.inputs import reading_of
    from pituning.labelling.rows import open_rows
    from pituning.labelling.sources import find_source, keep_path
    from pituning.runs.spec import RunSpec
    from pituning.tasks.registry import load_task

    place = open_workspace(workspace)
    _, card = find_expert(place, config.expert, kind=config.kind, backbone=config.backbone)
    task = load_task(card.task, place)
    place.backbone_dir(config.backbone)
    if file is not None:
        if out is not None:
            output_file(out)
        config = dataclasses.replace(config, source=keep_path(file, out, place))
    elif not config.source:
        raise BadInput("there is no file to label; give one after the name of the expert", field="file")
    # Better now than from a worker.
    source = find_source(config.source, place)
    table = open_rows(source.path, source.filename)
    reading_of(task, table, texts=config.text_columns, image=config.image_column)
    check_layout(Layout(inputs=table.columns, labels=task.labels, top=config.top), task.name)
    config = dataclasses.replace(config, kind=card.kind)
    run_id = _unfinished(place, RunSpec.of("predict", config)) or submit(place, RunSpec.of("predict", config))
    if detach:
        emit({"run": run_id}, as_json, lambda: echo(f"queued {run_id}; see: pituning runs show {run_id}"))
        return
    result = follow(place, run_id)
    result["answers"] = str(place.run_dir(run_id) / result["answers"]) if out is None else result["out"]
    emit(result, as_json, lambda: echo(words(result)))


def _unfinished(workspace: Workspace, spec: RunSpec) -> str | None:
    """A run that was to do the same and has not ended, queued again where it was stopped."""
    from pituning.commands.follow import IDLE_SECONDS
    from pituning.runs.queue import RunQueue
    from pituning.runs.records import ACTIVE
    from pituning.runs.supervisor import ensure_supervisor

    queue = RunQueue(workspace)
    for run in queue.list(states=[*ACTIVE, "failed", "cancelled"], kind=spec.kind, backbone=spec.backbone):
        if dict(run.spec.config) == dict(spec.config):
            if not run.active:
                queue.resume(run.id)
            ensure_supervisor(workspace, idle_s=IDLE_SECONDS)
            return run.id
    return None


def words(result: dict[str, Any]) -> str:
    """What was labelled, in a few lines."""
    lines = [f"{result['rows']:,} rows of {result['file']} labelled by {result['expert']}: {result['answers']}"]
    if result["counts"]:
        counts = ", ".join(f"{label} {count:,}" for label, count in list(result["counts"].items())[:8])
        more = len(result["counts"]) - 8
        lines.append(f"answers: {counts}" + (f", and {more} more" if more > 0 else ""))
    if result["mean_probability"] is not None:
        lines.append(calibrated(result))
    if result["cut"]:
        lines.append(f"warning: {result['cut']:,} prompts were longer than the backbone reads, and were cut")
    if result["unread"]:
        lines.append(f"warning: {result['unread']:,} rows could not be read: {'; '.join(result['problems'][:3])}")
    return "\n".join(lines)


def calibrated(result: dict[str, Any]) -> str:
    """How sure it is, and how far that can be trusted."""
    from pituning.labelling.calibration import trusted

    curve = trusted(result["temperature"], result["calibration"])
    if curve is None:
        return "not calibrated: the probabilities in the file order its rows, but do not say how many answers are right"
    return (
        f"mean probability {100 * result['mean_probability']:.0f} %; {result['below_half']:,} rows are less sure than "
        f"50 %; calibrated (temperature {result['temperature']:.2f}, ECE {100 * curve.ece:.1f} points on "
        f"{curve.rows:,} test rows)"
    )
