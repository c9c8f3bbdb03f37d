"""`pituning pretrain`, `pituning zoo`: make again what ships in `data/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pituning.backbones.precision import use_dtype
from pituning.commands.options import BackboneOption, takes_config
from pituning.commands.progress import terminal_reporter
from pituning.commands.shared import (
    DetachOption,
    DtypeOption,
    JsonOption,
    WorkspaceOption,
    check_zoo,
    echo,
    emit,
    emit_table,
    in_place,
    open_workspace,
    output_directory,
    words,
    zoo_and_backbone,
    zoo_of,
)
from pituning.errors import BadInput
from pituning.experts.kinds import in_order
from pituning.progress import Reporter
from pituning.runs.study_configs import ZooRun
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace
from pituning.workspace.zoo import Zoo


class PretrainGroup(TyperGroup):
    """Takes the name of a composed backbone where the name of a command stands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            return PROJECTOR_COMMAND, self.commands[PROJECTOR_COMMAND], args
        resolved: tuple[str | None, Any, list[str]] = super().resolve_command(ctx, args)
        return resolved


PROJECTOR_COMMAND = "projector"
pretrain_app = typer.Typer(cls=PretrainGroup, help="Pretrain a backbone: mini, or one that was composed, by its name.")
zoo_app = typer.Typer(help="The zoo of experts: build, maps, measure, tables.")


@pretrain_app.command("mini")
def pretrain_mini(
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory to work in; default: pretraining/mini in the workspace.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the main part; default: the recipe's.")] = None,
    reading: Annotated[int | None, typer.Option(min=0, help="Steps of the reading part after it.")] = None,
    relating: Annotated[int | None, typer.Option(min=1, help="Steps of the relating part at the end.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="A checkpoint from which to take the relating steps alone.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that share a step's batch (CPU).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights and data; default: the recipe's.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:N; default: $PITUNING_DEVICE, else a GPU if there is one.")
    ] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Leave the images out: the text-only baseline.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the embedded backbone from its recipe; after an interruption, the same command goes on."""
    directory = output_directory(out) if out is not None else open_workspace(workspace).root / "pretraining" / "mini"

    from pituning.backbones.device import best_device
    from pituning.pretraining.config import PretrainConfig
    from pituning.pretraining.recipe import pretrain

    if start is not None and not (start / "config.json").is_file():
        raise BadInput(f"{start} is no checkpoint: it has no config.json", field="from")
    chosen = best_device(device)
    given: dict[str, Any] = {"steps": steps, "reading": reading, "relating": relating, "workers": workers, "seed": seed}
    config = PretrainConfig(blind=blind, **{key: value for key, value in given.items() if value is not None})
    with terminal_reporter() as reporter:
        checkpoint = pretrain(config, directory, reporter, device=chosen, start=start)
    curve = directory / "curve.jsonl"
    emit(
        {"backbone": checkpoint, "curve": curve, "steps": config.all_steps},
        as_json,
        lambda: echo(str(checkpoint)),
    )


@pretrain_app.command(PROJECTOR_COMMAND)
def pretrain_projector_of(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A composed backbone; see `pituning backbones compose`.")],
    pictures: Annotated[
        Path | None,
        typer.Option(help="Directory of pictures with words (benchmarks.picture_words); default: drawn scenes alone."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps; default: the recipe's.")] = None,
    rank: Annotated[
        int | None, typer.Option(min=0, help="Of the language model's low-rank update; 0: the projector alone.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of data and values; default: the recipe's.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Show no picture: a baseline, which stays in --out.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory to work in; default: pretraining/NAME in the workspace.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the projector of a composed backbone; after an interruption, the same command goes on. The result is put
    in the backbone's place when it is done.
    """
    place = open_workspace(workspace)
    source = place.backbone_dir(name)
    directory = output_directory(out) if out is not None else place.root / "pretraining" / name
    if blind and out is None:
        raise BadInput("a blind baseline takes no backbone's place; say where it goes: --out DIRECTORY", field="out")

    from pituning.pretraining.projector.config import ProjectorConfig
    from pituning.pretraining.projector.install import install
    from pituning.pretraining.projector.recipe import pretrain_projector
    from pituning.runs.backbone_removal import experts_of

    experts = experts_of(place, name)
    if experts and not blind:
        raise BadInput(
            f"backbone {name!r} has {len(experts)} experts, which would not fit it any more; compose another: "
            "pituning backbones compose",
            field="backbone",
        )
    given: dict[str, Any] = {"steps": steps, "rank": rank, "seed": seed}
    config = ProjectorConfig(blind=blind, **{key: value for key, value in given.items() if value is not None})
    with terminal_reporter() as reporter:
        made = pretrain_projector(source, directory, config, pictures=pictures, reporter=reporter)
        if blind:
            emit({"directory": made, "steps": config.steps}, as_json, lambda: echo(f"the blind baseline is in {made}"))
            return
        card = install(place, name, made)
    emit(
        {"backbone": name, "fingerprint": card.fingerprint, "directory": made, "steps": config.steps},
        as_json,
        lambda: echo(f"backbone {name} is pretrained; its fingerprint is now {card.fingerprint[:12]}"),
    )


@pretrain_app.command("report")
def pretrain_report(
    backbone: Annotated[Path, typer.Argument(help="A finished checkpoint.")],
    out: Annotated[Path, typer.Argument(help="CSV file to write, such as data/zoos/mini/results/heldout.csv.")],
    text_only: Annotated[
        Path | None, typer.Option("--text-only", help="A checkpoint made with --blind: the text-only baseline.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a pretrained backbone on held-out samples, beside a unigram model and one that saw text only."""
    for given in (backbone, text_only):
        if given is not None and not (given / "config.json").is_file():
            raise BadInput(f"{given} is no checkpoint: it has no config.json", field="backbone")

    from pituning.pretraining.config import PretrainConfig
    from pituning.pretraining.report import heldout_table
    from pituning.workspace.atomic import write_text

    frame = heldout_table(backbone, text_only, PretrainConfig())
    write_text(out, frame.to_csv(index=False))
    emit_table(out, frame, as_json, lambda: echo(frame.to_string(index=False)))


@zoo_app.command("build")
@takes_config(ZooRun, argument="")
def zoo_build(
    config: ZooRun,
    kinds: Annotated[
        str | None, typer.Option(help="Several kinds of experts, one after the other. A list with commas.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory of the zoo, such as data/zoos/mini; else the workspace's.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work, with --out.")] = 2,
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train, embed, compare and map experts of any tasks; what is there already is kept.

    The backbone of DIR/zoos/NAME is DIR/backbones/NAME, or else the workspace's.
    """
    chosen = words(kinds) if kinds is not None else (config.kind,)
    runs = [replace(config, kind=kind) for kind in chosen]
    from pituning.tasks.registry import TaskSource

    place = open_workspace(workspace)
    source = TaskSource(place)
    for task in config.tasks:
        source.version(task)  # told before anything is looked for
    if out is None:
        for run in runs:
            check_zoo(place, run)
        _queue(place, runs, detach, as_json)
        return
    in_place(detach)
    use_dtype(config.dtype)
    zoo, backbone_dir = zoo_and_backbone(out, workspace, config.backbone)

    from pituning.studies.targets import with_tasks
    from pituning.studies.zoo import build_zoo

    study = with_tasks(replace(config.study(), kinds=chosen), zoo, source)
    with terminal_reporter() as reporter:
        build_zoo(zoo, backbone_dir, study, reporter, source=source, processes=processes)
        _make_maps(zoo, study.kinds, reporter)
    document = {"directory": zoo.root, "backbone": backbone_dir, "kinds": study.kinds, "tasks": study.tasks}
    emit(document, as_json, lambda: echo(f"{zoo.root}: {len(study.tasks)} tasks, {', '.join(study.kinds)}"))


def _queue(workspace: Workspace, configs: Sequence[ZooRun], detach: bool, as_json: bool) -> None:
    """Queues a run for each kind and shows them until they end, unless ``detach``."""
    from pituning.commands.follow import follow, submit
    from pituning.runs.spec import RunSpec

    ids = [submit(workspace, RunSpec.of("zoo", config)) for config in configs]
    if detach:
        emit({"runs": ids}, as_json, lambda: echo(f"queued {', '.join(ids)}; see: pituning runs list"))
        return
    results = [follow(workspace, run_id) for run_id in ids]
    lines = [
        f"{result['kind']}: {len(result['trained'])} experts trained, {len(result['tasks'])} tasks compared"
        for result in results
    ]
    emit({"runs": results}, as_json, lambda: echo("\n".join(lines)))


@zoo_app.command("maps")
def zoo_maps(
    directory: Annotated[
        Path | None, typer.Argument(help="Directory of the zoo, such as data/zoos/mini; else the workspace's.")
    ] = None,
    kinds: Annotated[
        str | None, typer.Option(help="Expert kinds; default: those that are there. A list with commas.")
    ] = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the maps that ship with a zoo: the default predictor's, with default settings, once for each kind."""
    zoo = zoo_of(directory, open_workspace(workspace), backbone)
    with terminal_reporter() as reporter:
        files = _make_maps(zoo, tuple(in_order(zoo.kinds())) if kinds is None else words(kinds), reporter)
    emit({"files": files}, as_json, lambda: echo("\n".join(map(str, files))))


def _make_maps(zoo: Zoo, kinds: tuple[str, ...], reporter: Reporter) -> list[str]:
    from pituning.runs.configs import ProjectRun
    from pituning.runs.projecting import map_zoo

    return [map_zoo(ProjectRun(kind=kind, backbone=zoo.backbone), zoo, reporter)["file"] for kind in kinds]


@zoo_app.command("measure")
def zoo_measure(
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory of the zoo, such as data/zoos/mini; else the workspace's.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Expert kind of the few-shot experts.")] = "lora",
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds of the few-shot experts.")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work.")] = 2,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    dtype: DtypeOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how hard the suite is: backbone alone, 16 shots, 16 shots on a backbone that was never pretrained."""
    use_dtype(dtype)
    zoo, backbone_dir = zoo_and_backbone(out, workspace, backbone)

    from pituning.experts.kinds import KINDS
    from pituning.tasks.mini import TASK_NAMES

    KINDS.check(kind)

    from pituning.studies.difficulty import SUITE_FILE, difficulty_cells, measure_difficulty

    cells = difficulty_cells(TASK_NAMES, kind=kind, seeds=range(seeds))
    with terminal_reporter() as reporter:
        frame = measure_difficulty(zoo, backbone_dir, cells, reporter, processes=processes)
    table = zoo.new_result_path(SUITE_FILE)
    emit_table(table, frame, as_json)


@zoo_app.command("tables")
def zoo_tables(
    directory: Annotated[
        Path | None, typer.Argument(help="Directory of the zoo, such as data/zoos/mini; else the workspace's.")
    ] = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what was measured on the suite and the backbone as Markdown: the tables of the documentation."""
    from pituning.studies.tables import graph_markdown, heldout_markdown, planted_by_kind, suite_markdown

    zoo = zoo_of(directory, open_workspace(workspace), backbone)
    if not zoo.result_path("suite.csv").is_file():
        raise BadInput(f"{zoo.root} holds no results; run pituning zoo measure --out {zoo.root}", field="directory")
    tables = {
        "suite": suite_markdown(zoo),
        "graph": graph_markdown(zoo),
        "kinds": planted_by_kind(zoo),
        "heldout": heldout_markdown(zoo),
    }
    emit(tables, as_json, lambda: echo("\n\n".join(tables.values())))
