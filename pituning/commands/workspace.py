"""`pituning workspace`: back a workspace up, and make one of a backup."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pituning.commands.shared import JsonOption, WorkspaceOption, echo, emit, open_workspace

app = typer.Typer(help="The workspace as a whole: backup, restore.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The zip to write; one that is there stays, and is an error.")],
    backbones: Annotated[
        bool, typer.Option("--backbones", help="Include backbones of 64 MiB and more, which are only named otherwise.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy everything into one file, while the workspace is in use."""
    from pituning.commands.progress import terminal_reporter
    from pituning.runs.backup import back_up

    place = open_workspace(workspace)
    with terminal_reporter() as reporter:
        made = back_up(place, file, backbones=backbones, reporter=reporter)

    def human() -> None:
        echo(f"{file}: {made.files:,} files, {made.runs:,} runs, {made.bytes / 2**20:,.1f} MiB")
        for each in made.backbones:
            if not each.included:
                echo(f"note: backbone {each.name} is only named; give --backbones to include it", err=True)
        for path in made.left_out:
            echo(f"note: {path} is a link to elsewhere, and not included", err=True)

    emit({"file": file} | asdict(made), as_json, human)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `pituning workspace backup` wrote.")],
    directory: Annotated[Path, typer.Argument(help="The new workspace; nothing is overwritten.")],
    keep_identity: Annotated[
        bool, typer.Option("--keep-identity", help="It takes the place of the original, which is gone.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new workspace of a backup, checked file by file."""
    from pituning.commands.progress import terminal_reporter
    from pituning.runs.from_backup import restore_backup

    with terminal_reporter() as reporter:
        made = restore_backup(file, directory, keep_identity=keep_identity, reporter=reporter)

    def human() -> None:
        echo(f"{made.root}: {made.backup.files:,} files, {made.backup.runs:,} runs")
        if made.queued:
            echo(f"note: {made.queued} runs wait, and the queue is paused; go on with: pituning runs unpause", err=True)
        for each in made.missing:
            fix = f"pituning backbones add {each.source or 'SOURCE'} --name {each.name}"
            echo(f"note: backbone {each.name} is not in the backup; add it: {fix}", err=True)

    document = {
        "workspace": made.root, "id": made.id, "queued": made.queued, "backup": asdict(made.backup),
        "missing_backbones": [each.name for each in made.missing],
    }  # fmt: skip
    emit(document, as_json, human)
