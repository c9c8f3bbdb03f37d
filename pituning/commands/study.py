"""`pituning study`: what is measured on the mini suite, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pituning.backbones.precision import use_dtype
from pituning.commands.options import BackboneOption
from pituning.commands.progress import terminal_reporter
from pituning.commands.shared import (
    DtypeOption,
    JsonOption,
    KindOption,
    WorkspaceOption,
    emit,
    numbers,
    open_workspace,
    reals,
    words,
    zoo_and_backbone,
    zoo_of,
)
from pituning.errors import BadInput, PiTuningError
from pituning.workspace.layout import DEFAULT_BACKBONE

app = typer.Typer(help="Measure on the mini suite: transfer, predictors, methods on few shots.")

OutOption = Annotated[
    Path | None, typer.Option("--out", help="Directory of the zoo, such as data/zoos/mini; else the workspace's.")
]


@app.command("transfer")
def study_transfer(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    targets: Annotated[str | None, typer.Option(help="Targets; default: all. A list with commas.")] = None,
    shots: Annotated[str, typer.Option(help="Examples per class, 0 for none. A list with commas.")] = "0,16",
    seeds: Annotated[str, typer.Option(help="Seeds of the shots. A list with commas.")] = "0",
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps of a donor on the shots.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Learning rate; default: the kind's usual one.")] = None,
    test_examples: Annotated[int | None, typer.Option(min=1, help="Most test examples of a target.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work.")] = 2,
    dtype: DtypeOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what every expert of the zoo does for every target; what is measured already is kept."""
    use_dtype(dtype)
    from pituning.studies.config import TransferConfig

    given: dict[str, Any] = {
        "tasks": words(targets) if targets is not None else None, "steps": steps, "batch_size": batch_size,
        "learning_rate": learning_rate, "test_examples": test_examples,
    }  # fmt: skip
    config = TransferConfig(
        kind=kind,
        shots=numbers(shots, field="shots"),
        seeds=numbers(seeds, field="seeds"),
        **{key: value for key, value in given.items() if value is not None},
    )
    zoo, backbone_dir = zoo_and_backbone(out, workspace, backbone)

    from pituning.studies.transfer import measure_transfer
    from pituning.tasks.registry import TaskSource

    source = TaskSource(open_workspace(workspace))
    with terminal_reporter() as reporter:
        frame = measure_transfer(zoo, backbone_dir, config, reporter, source=source, processes=processes)
    table = zoo.new_transfer_path(kind)
    emit({"table": table, "rows": frame.to_dict("records")}, as_json, lambda: typer.echo(str(table)))


@app.command("lowshot")
def study_lowshot(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    targets: Annotated[str | None, typer.Option(help="Targets; default: all. A list with commas.")] = None,
    shots: Annotated[
        str, typer.Option(help="Examples per class, 0 for none, full for all. A list with commas.")
    ] = "0,16",
    seeds: Annotated[str, typer.Option(help="Seeds of the shots. A list with commas.")] = "0,1,2,3,4",
    methods: Annotated[str | None, typer.Option(help="Methods; default: all. A list with commas.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Most training steps; fewer may be chosen. Another budget has its own table."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples per step.")] = None,
    folds: Annotated[
        int | None, typer.Option(help="Splits of the shots for choosing; default: by their number.")
    ] = None,
    learning_rates: Annotated[
        str | None, typer.Option(help="Rates to choose from; default: three around the usual one. A list with commas.")
    ] = None,
    donors: Annotated[int | None, typer.Option(help="How many tasks lend their experts.")] = None,
    test_examples: Annotated[int | None, typer.Option(help="Most test examples of a target.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Measure again, compare with the table and change nothing.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work.")] = 2,
    dtype: DtypeOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare all methods on few shots of every target; what is measured already is kept."""
    use_dtype(dtype)
    from pituning.studies.config import LowshotConfig
    from pituning.workspace.lowshot import parse_shots

    given: dict[str, Any] = {
        "tasks": words(targets) if targets is not None else None,
        "methods": words(methods) if methods is not None else None,
        "learning_rates": reals(learning_rates, field="learning_rates") if learning_rates is not None else None,
        "steps": steps, "batch_size": batch_size, "folds": folds, "donors": donors, "test_examples": test_examples,
    }  # fmt: skip
    config = LowshotConfig(
        kind=kind,
        shots=tuple(parse_shots(word) for word in words(shots)),
        seeds=numbers(seeds, field="seeds"),
        **{key: value for key, value in given.items() if value is not None},
    )
    zoo, backbone_dir = zoo_and_backbone(out, workspace, backbone)

    from pituning.studies.lowshot import Places, check_lowshot, lowshot_cells, measure_lowshot, table_path

    places = Places(zoo=zoo, backbone=backbone_dir, workspace=open_workspace(workspace))
    table = table_path(zoo, config)
    if check:
        with terminal_reporter() as reporter:
            differences = check_lowshot(places, config, reporter)
        count = len(lowshot_cells(config))
        document = {"table": table, "cells": count, "differences": differences}
        emit(document, as_json, lambda: typer.echo("\n".join([*differences, f"{count} cells measured again"])))
        if differences:
            raise PiTuningError(f"{len(differences)} of {count} cells differ from {table}; first: {differences[0]}")
        return
    with terminal_reporter() as reporter:
        frame = measure_lowshot(places, config, reporter, processes=processes)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")  # JSON knows no NaN
    emit({"table": table, "rows": rows}, as_json, lambda: typer.echo(str(table)))


@app.command("predictors")
def study_predictors(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Grade every similarity against the measured transfer: rank correlation, NDCG, regret."""
    from pituning.experts.kinds import KINDS

    KINDS.check(kind)
    zoo = zoo_of(out, open_workspace(workspace), backbone)

    from pituning.studies.predictors import GRADES_FILE, grade_predictors
    from pituning.workspace.atomic import write_text

    frame = grade_predictors(zoo, kind)
    table = zoo.new_result_path(GRADES_FILE)
    write_text(table, frame.to_csv(index=False))
    emit({"table": table, "rows": frame.to_dict("records")}, as_json, lambda: typer.echo(str(table)))


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
    emit({"table": table, "rows": frame.to_dict("records")}, as_json, lambda: typer.echo(str(table)))


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
    emit(tables, as_json, lambda: typer.echo("\n\n".join(tables.values())))


@app.command("summary")
def study_summary(
    out: OutOption = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    shots: Annotated[str, typer.Option(help="Examples per class; full for all.")] = "16",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what the low-shot study says, paired over targets and seeds: the tables of docs/science.md."""
    from pituning.experts.kinds import KINDS
    from pituning.studies.lowshot_summary import load_summary, predictor_figures
    from pituning.workspace.lowshot import parse_shots

    KINDS.check(kind)
    count = parse_shots(shots)
    zoo = zoo_of(out, open_workspace(workspace), backbone)
    summary = load_summary(zoo.lowshot_path(kind), kind, count)
    document = {**summary.to_json(), "predictor": predictor_figures(zoo, kind, count)}
    emit(document, as_json, lambda: typer.echo(summary.markdown()))
