"""`pituning report`: a story as one HTML file that works offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pituning.commands.options import BackboneOption
from pituning.commands.shared import JsonOption, WorkspaceOption, echo, emit, open_workspace
from pituning.errors import BadInput
from pituning.workspace.layout import DEFAULT_BACKBONE


def report_command(
    out: Annotated[Path, typer.Argument(metavar="OUT.html", help="The file to write.")],
    story: Annotated[
        str | None, typer.Option("--story", help="Name of a story of the page Present; default: overview.")
    ] = None,
    notes: Annotated[bool, typer.Option("--notes", help="With the speaker's notes, for all to read.")] = False,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a story as one self-contained HTML file: slides, figures, tables and downloads, all offline."""
    check_file(out)
    from pituning.reports.document import report
    from pituning.reports.reader import Reader
    from pituning.reports.suggestion import NAME, opening_story
    from pituning.workspace.atomic import write_text
    from pituning.workspace.stories import load_story

    place = open_workspace(workspace)
    reader = Reader(place, place.check_backbone(backbone))
    if story is None or story == NAME:
        if story is None:
            reader.zoo()  # without any similarity there is nothing to tell, and this says what to do
        chosen = opening_story(reader)
    else:
        chosen = load_story(place, story)
    made = report(reader, chosen, notes=notes)
    write_text(out, made.text)
    size = len(made.text.encode())
    document = {
        "file": out,
        "story": chosen.name,
        "title": chosen.title,
        "slides": len(chosen.slides),
        "bytes": size,
        "problems": [{"slide": number, "message": message} for number, message in made.problems.items()],
    }

    def human() -> None:
        echo(f"{out}: {len(chosen.slides)} slides of {chosen.title!r}, {size / 1e6:.1f} MB")
        for number, message in made.problems.items():
            echo(f"slide {number} could not be drawn: {message}", err=True)

    emit(document, as_json, human)


def check_file(path: Path) -> None:
    """Says before the work what stands in the way of writing a file.

    Raises:
        BadInput: it has another ending, is a directory, its directory is missing or cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"file {str(path)!r} must end in .html", field="out")
    if path.is_dir():
        raise BadInput(f"{path} is a directory; name a file in it, as {path / 'report.html'}", field="out")
    if not path.parent.is_dir():
        raise BadInput(f"directory {path.parent} does not exist; make it or name another place", field="out")
    if not os.access(path.parent, os.W_OK):
        raise BadInput(
            f"directory {path.parent} cannot be written; change its permissions or name another", field="out"
        )
