"""`pituning pretrain`: makes again what ships in `data/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pituning.commands.progress import terminal_reporter
from pituning.commands.shared import JsonOption, WorkspaceOption, emit, open_workspace

pretrain_app = typer.Typer(help="Pretrain a backbone: mini.")


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

    import torch

    from pituning.errors import BadInput
    from pituning.pretraining.recipe import PretrainConfig, pretrain

    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise BadInput(f"device {device!r} is not on this machine; use cpu", field="device")
    given: dict[str, Any] = {"steps": steps, "workers": workers, "seed": seed}
    config = PretrainConfig(blind=blind, **{key: value for key, value in given.items() if value is not None})
    with terminal_reporter() as reporter:
        checkpoint = pretrain(config, directory, reporter, device=device)
    curve = directory / "curve.jsonl"
    emit({"backbone": checkpoint, "curve": curve, "steps": config.steps}, as_json, lambda: typer.echo(str(checkpoint)))
