"""`pituning pretrain`, `pituning zoo`: make again what ships in `data/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pituning.commands.progress import terminal_reporter
from pituning.commands.shared import JsonOption, WorkspaceOption, emit, open_workspace
from pituning.errors import BadInput

pretrain_app = typer.Typer(help="Pretrain a backbone: mini.")
zoo_app = typer.Typer(help="The zoo of experts: build.")


@pretrain_app.command("mini")
def pretrain_mini(
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory to work in; default: pretraining/mini in the workspace.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps; default: the recipe's.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that share a step's batch (CPU).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights and data; default: the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    blind: Annotated[bool, typer.Option("--blind", help="Leave the images out: the text-only baseline.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the embedded backbone from its recipe; after an interruption, the same command goes on."""
    directory = out if out is not None else open_workspace(workspace).root / "pretraining" / "mini"
    if device not in ("cpu", "cuda"):
        raise BadInput(f"device {device!r} is unknown; choose cpu or cuda", field="device")

    import torch

    from pituning.pretraining.recipe import PretrainConfig, pretrain

    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("device 'cuda' is not on this machine; use cpu", field="device")
    given: dict[str, Any] = {"steps": steps, "workers": workers, "seed": seed}
    config = PretrainConfig(blind=blind, **{key: value for key, value in given.items() if value is not None})
    with terminal_reporter() as reporter:
        checkpoint = pretrain(config, directory, reporter, device=device)
    curve = directory / "curve.jsonl"
    emit({"backbone": checkpoint, "curve": curve, "steps": config.steps}, as_json, lambda: typer.echo(str(checkpoint)))


@zoo_app.command("build")
def zoo_build(
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory to build in, such as data/mini; default: the workspace.")
    ] = None,
    kinds: Annotated[str, typer.Option(help="Kinds of experts. A list with commas.")] = "lora,bottleneck,prefix",
    tasks: Annotated[
        str | None, typer.Option(help="Tasks of the mini suite; default: all. A list with commas.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps of an expert; default: the recipe's.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the work.")] = 2,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train, embed and compare the experts of the mini suite; what is there already is kept.

    The backbone is the directory's own (DIR/backbone), or else the workspace's.
    """
    place = open_workspace(workspace)
    directory = out if out is not None else place.root

    from pituning.studies.config import ZooConfig

    given: dict[str, Any] = {"tasks": _words(tasks) if tasks is not None else None, "steps": steps}
    config = ZooConfig(kinds=_words(kinds), **{key: value for key, value in given.items() if value is not None})
    backbone = directory / "backbone" if (directory / "backbone").is_dir() else place.backbone_dir()

    from pituning.studies.zoo import build_zoo

    with terminal_reporter() as reporter:
        build_zoo(directory, backbone, config, reporter, processes=processes)
    document = {"directory": directory, "backbone": backbone, "kinds": config.kinds, "tasks": config.tasks}
    emit(document, as_json, lambda: typer.echo(f"{directory}: {len(config.tasks)} tasks, {', '.join(config.kinds)}"))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
