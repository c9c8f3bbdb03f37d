"""`pituning bin`: what was deleted, and bringing it back."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from pituning.commands.shared import (
    JsonOption,
    WorkspaceOption,
    YesOption,
    confirm,
    echo,
    emit,
    open_workspace,
    print_table,
)

app = typer.Typer(help="The bin: tasks, experts, backbones, tables and runs that were deleted and can be restored.")


@app.command("list")
def list_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """What is in the bin, newest first."""
    from pituning.workspace.bin import DAY, Bin, days_kept

    place = Bin(open_workspace(workspace).root)
    days, entries = days_kept(), place.entries()
    rows: list[dict[str, Any]] = [
        {
            "id": entry.id, "what": entry.what, "name": entry.name, "title": entry.title, "deleted": entry.deleted,
            "by": entry.by, "bytes": place.size(entry), "until": entry.deleted + days * DAY, "damage": entry.damage,
        }
        for entry in entries
    ]  # fmt: skip

    def human() -> None:
        print_table(
            ("id", "what", "name", "deleted", "by", "KiB", "kept until"),
            [
                (row["id"], row["what"], row["name"], _date(row["deleted"]), row["by"], f"{row['bytes'] / 1024:.0f}",
                 _date(row["until"]))
                for row in rows
            ],
        )  # fmt: skip
        for entry in entries:
            if entry.damage is not None:
                echo(entry.damage, err=True)

    emit({"entries": rows, "days": days}, as_json, human)


@app.command()
def restore(
    entry: Annotated[str, typer.Argument(metavar="ID", help="Id of what was deleted; see `pituning bin list`.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring back what was deleted, with all that went with it; nothing is overwritten."""
    from pituning.commands.runs import open_queue
    from pituning.runs.restoring import restore as bring_back

    restored, changed = bring_back(open_queue(workspace), entry)

    def human() -> None:
        echo(f"restored {restored.what} {restored.name}")
        for path in changed:
            echo(
                f"note: {path} was measured anew since; to compare {restored.name} again: pituning embed --all",
                err=True,
            )

    emit({"restored": restored.id, "what": restored.what, "name": restored.name, "changed": changed}, as_json, human)


@app.command()
def empty(
    entry: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only that; see `pituning bin list`.", show_default=False)
    ] = None,
    days: Annotated[float, typer.Option("--older-than", min=0, help="Only what was deleted so many days ago.")] = 0.0,
    yes: YesOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete for good what is in the bin, which frees its space."""
    from pituning.commands.runs import open_queue
    from pituning.runs.restoring import empty as empty_bin

    queue = open_queue(workspace)
    what = "what is in the bin" if entry is None else entry
    confirm(f"Delete for good {what}{f', if it is older than {days:g} days' if days else ''}?", yes)
    gone = empty_bin(queue, days=days, entry_id=entry)
    emit({"emptied": [entry.id for entry in gone]}, as_json, lambda: echo(f"deleted {len(gone)} for good"))


def _date(seconds: float) -> str:
    return time.strftime("%F %H:%M", time.localtime(seconds))
