"""`pituning study`: what is measured on a zoo, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pituning.backbones.precision import use_dtype
from pituning.commands.experts import guesses, work
from pituning.commands.options import BackboneOption, takes_config
from pituning.commands.progress import terminal_reporter
from pituning.commands.shared import (
    DetachOption,
    DtypeOption,
    JsonOption,
    KindOption,
    WorkspaceOption,
    check_experts,
    echo,
    emit,
    emit_table,
    in_place,
    open_workspace,
    zoo_and_backbone,
    zoo_of,
)
from pituning.errors import BadInput, PiTuningError
from pituning.runs.study_configs import LowshotRun, TransferRun
from pituning.studies.config import ShortProbeConfig
from pituning.tuning.config import STEPS
from pituning.workspace.layout import DEFAULT_BACKBONE

app = typer.Typer(help="Measure on a zoo: transfer, predictors, methods on few shots.")

OutOption = Annotated[
    Path | None, typer.Option("--out", help="Directory of the zoo, such as data/zoos/mini; else the workspace's.")
]


@app.command("transfer")
@takes_config(TransferRun, argument="")
def study_transfer(
    config: TransferRun,
    out: OutOption = None,
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what every expert of the zoo does for every target; what is measured already is kept."""
    place = open_workspace(workspace)
    if out is None:
        check_experts(place, config)
        work(place, "transfer", config, detach, as_json, _transferred)
        return
    in_place(detach)
    use_dtype(config.dtype)
    zoo, backbone_dir = zoo_and_backbone(out, workspace, config.backbone)

    from pituning.studies.transfer import measure_transfer
    from pituning.tasks.registry import TaskSource

    processes, source = config.processes_on(gpu=False), TaskSource(place)
    with terminal_reporter() as reporter:
        frame = measure_transfer(zoo, backbone_dir, config, reporter, source=source, processes=processes)
    table = zoo.new_transfer_path(config.kind)
    emit_table(table, frame, as_json)


@app.command("short-probe")
@takes_config(ShortProbeConfig, argument="")
def study_short_probe(
    config: ShortProbeConfig,
    out: OutOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Probe every donor of every target by a few steps on half of its shots; what is measured already is kept."""
    place = open_workspace(workspace)
    zoo, backbone_dir = zoo_and_backbone(out, workspace, config.backbone)

    from pituning.studies.short_probe import measure_short_probes
    from pituning.tasks.registry import TaskSource
    from pituning.workspace.short_probe import FILE

    with terminal_reporter() as reporter:
        frame = measure_short_probes(zoo, backbone_dir, config, reporter, source=TaskSource(place))
    table = zoo.new_result_path(FILE, config.kind)
    emit_table(table, frame, as_json)


def _transferred(result: dict[str, Any]) -> str:
    """For each target who helped most, and where the table is."""
    lines = [
        f"{row['target']}, {row['shots']} shots: {row['alone']:.1f} alone, {row['gain']:+.1f} with {row['donor']}"
        + "".join(f"; {what} {points:.1f}" for what, points in guesses(row))
        for row in result["best"]
    ]
    return "\n".join([*lines, str(result["table"])])


@app.command("lowshot")
@takes_config(LowshotRun, argument="")
def study_lowshot(
    config: LowshotRun,
    out: OutOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Measure again, compare with the table and change nothing.")
    ] = False,
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare all methods on few shots of every target; what is measured already is kept.

    Another number of steps, and experts in the vision tower, have tables of their own.
    """
    place = open_workspace(workspace)
    if out is None and not check:
        check_experts(place, config)
        work(place, "lowshot", config, detach, as_json, _compared)
        return
    in_place(detach)
    use_dtype(config.dtype)
    zoo, backbone_dir = zoo_and_backbone(out, workspace, config.backbone)

    from pituning.studies.lowshot import Places, check_lowshot, lowshot_specs, measure_lowshot, table_path

    places = Places(zoo=zoo, backbone=backbone_dir, workspace=place)
    table = table_path(zoo, config)
    if check:
        with terminal_reporter() as reporter:
            differences = check_lowshot(places, config, reporter)
        count = len(lowshot_specs(places, config))
        document = {"table": table, "cells": count, "differences": differences}
        emit(document, as_json, lambda: echo("\n".join([*differences, f"{count} cells measured again"])))
        if differences:
            raise PiTuningError(f"{len(differences)} of {count} cells differ from {table}; first: {differences[0]}")
        return
    with terminal_reporter() as reporter:
        frame = measure_lowshot(places, config, reporter, processes=config.processes_on(gpu=False))
    emit_table(table, frame, as_json)


def _compared(result: dict[str, Any]) -> str:
    """The mean score of each method, and where the table is."""
    lines = [f"{row['shots']} shots, {row['method']}: {row['score']:.1f}" for row in result["means"]]
    lines += [f"{what}: {points:.1f}" for what, points in guesses(result)]
    return "\n".join([*lines, str(result["table"])])


@app.command("predictors")
def study_predictors(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Grade every predictor against the measured transfer: rank correlation, NDCG, regret, and whether it sees harm."""
    from pituning.experts.kinds import KINDS

    KINDS.check(kind)
    place = open_workspace(workspace)
    zoo = zoo_of(out, place, backbone)

    from pituning.studies.predictors import GRADES_FILE, grade_predictors
    from pituning.tasks.registry import TaskSource
    from pituning.workspace.atomic import write_text

    frame = grade_predictors(zoo, kind, source=TaskSource(place))
    table = zoo.new_result_path(GRADES_FILE)
    write_text(table, frame.to_csv(index=False))
    emit_table(table, frame, as_json)


@app.command("variants")
def study_variants(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    dtype: DtypeOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the Fisher information in every way, compare it in every way, and grade each against measured transfer."""
    use_dtype(dtype)
    from pituning.experts.kinds import KINDS

    KINDS.check(kind)
    zoo, backbone_dir = zoo_and_backbone(out, workspace, backbone)

    from pituning.studies.variants import GRADES_FILE, grade_variants, measure_variants

    with terminal_reporter() as reporter:
        measure_variants(zoo, backbone_dir, kind, reporter)
    table, frame = zoo.new_result_path(GRADES_FILE, kind), grade_variants(zoo, kind)
    emit_table(table, frame, as_json)


@app.command("tables")
def study_tables(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the grades of the predictors as Markdown: the tables of docs/science.md."""
    from pituning.experts.kinds import KINDS

    KINDS.check(kind)
    zoo = zoo_of(out, open_workspace(workspace), backbone)

    from pituning.studies.predictors import GRADES_FILE, predictors_markdown
    from pituning.studies.variants import GRADES_FILE as VARIANTS_FILE
    from pituning.studies.variants import variants_markdown
    from pituning.workspace.transfer import measured_shots

    if not zoo.result_path(GRADES_FILE).is_file():
        raise BadInput(f"{zoo.root} holds no grades; run: pituning study predictors --out {zoo.root}", field="out")
    shots = measured_shots(zoo.transfer_path(kind))
    tables = {str(count): predictors_markdown(zoo, kind, count) for count in shots}
    if zoo.result_path(VARIANTS_FILE, kind).is_file():
        tables |= {f"variants-{count}": variants_markdown(zoo, kind, count) for count in shots}
    emit(tables, as_json, lambda: echo("\n\n".join(tables.values())))


@app.command("summary")
def study_summary(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    shots: Annotated[str, typer.Option(help="Examples per class; full for all.")] = "16",
    steps: Annotated[int, typer.Option(min=1, help="Most optimiser steps of the study that is meant.")] = STEPS,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what the low-shot study says, paired over targets and seeds: the tables of docs/science.md."""
    from pituning.experts.kinds import KINDS
    from pituning.studies.lowshot_summary import guess_table, load_summary
    from pituning.studies.predictors import predictor_figures
    from pituning.tasks.guessing import document as guess_document
    from pituning.tasks.guessing import guesses_of, mean_guess
    from pituning.workspace.shots import parse_shots

    KINDS.check(kind)
    count, place = parse_shots(shots), open_workspace(workspace)
    zoo = zoo_of(out, place, backbone)
    summary = load_summary(zoo, kind, count, None if steps == STEPS else steps)
    targets = summary.targets()
    guesses = guesses_of(targets, place)
    document = {
        **summary.to_json(),
        "predictor": predictor_figures(zoo, kind, count),
        "guessing": guess_document(mean_guess(guesses, targets)),
    }
    emit(document, as_json, lambda: echo(f"{summary.markdown()}\n\n{guess_table(targets, guesses)}"))
