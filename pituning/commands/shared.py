"""What every command has: its common options, how it prints, and how it makes errors into one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.backbones.precision import DTYPE_HELP
from pituning.errors import BadInput, PiTuningError
from pituning.experts.kinds import kind_words
from pituning.text import json_text, one_line, visible
from pituning.workspace.documents import MOST_WHOLE
from pituning.workspace.layout import Workspace
from pituning.workspace.zoo import Zoo

if TYPE_CHECKING:
    import pandas as pd

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="Workspace directory; default $PITUNING_WORKSPACE, else ./workspace."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
KindOption = Annotated[str, typer.Option("--kind", help=f"Kind of expert: {kind_words()}.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Queue it and return at once; it runs in the background.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
DtypeOption = Annotated[str | None, typer.Option("--dtype", help=DTYPE_HELP)]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=MOST_WHOLE, help="Seed of everything that is drawn.")]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Name of a task; see `pituning tasks list`.")]


def open_workspace(path: Path | None) -> Workspace:
    """The workspace that ``--workspace`` names."""
    return Workspace.open(path)


def output_directory(path: Path) -> Path:
    """A directory that is there or can be made; told before work of hours instead of after it.

    Raises:
        BadInput: something else stands there, or in the way to it.
    """
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise BadInput(f"{place} is no directory; give another --out", field="out")
            break
    return path


def output_file(path: Path) -> Path:
    """A file that can be written; told before work of hours instead of after it.

    Raises:
        BadInput: a directory stands there, or something else in the way to it.
    """
    if path.is_dir():
        raise BadInput(f"{path} is a directory; give --out the name of a file", field="out")
    output_directory(path.resolve().parent)
    return path


def zoo_of(out: Path | None, workspace: Workspace, backbone: str) -> Zoo:
    """The zoo in a directory, such as ``data/zoos/mini``; by default the workspace's.

    Raises:
        BadInput: something else stands there, or there is no such backbone.
    """
    if out is not None:
        return Zoo.at(output_directory(out), backbone)
    return workspace.zoo(workspace.check_backbone(backbone))


def zoo_and_backbone(out: Path | None, workspace: Path | None, backbone: str) -> tuple[Zoo, Path]:
    """A zoo and the directory of its backbone.

    That of ``data/zoos/mini`` is ``data/backbones/mini``; where nothing is beside the zoo, it is the workspace's.

    Raises:
        BadInput: as `zoo_of`, or there is no such backbone.
    """
    place = open_workspace(workspace)
    zoo = zoo_of(out, place, backbone)
    beside = zoo.root.parent.parent / "backbones" / zoo.backbone
    return zoo, beside if out is not None and beside.is_dir() else place.backbone_dir(zoo.backbone)


def check_zoo(workspace: Workspace, config: Any) -> None:
    """Says at once, rather than from a worker, what a run on a whole zoo could not do.

    Args:
        config: of such a run: with ``backbone``, ``kind`` and ``tasks``.

    Raises:
        BadInput: there is no such backbone or task, or no experts to measure.
    """
    from pituning.studies.targets import tasks_of
    from pituning.tasks.registry import TaskSource

    workspace.backbone_dir(config.backbone)
    zoo, source = workspace.zoo(config.backbone), TaskSource(workspace)
    for name in config.tasks or tasks_of(zoo, [config.kind], source):
        source.version(name)


def check_experts(workspace: Workspace, config: Any) -> None:
    """As `check_zoo`, and that there are experts to measure."""
    check_zoo(workspace, config)
    zoo = workspace.zoo(config.backbone)
    if not zoo.expert_dirs(config.kind):
        fix = zoo.command(f"zoo build --kind {config.kind} --tasks {','.join(config.tasks) or 'a,b,c'}")
        raise BadInput(f"there are no {config.kind} experts to measure; make them: {fix}", field="kind")


def in_place(detach: bool) -> None:
    """Raises BadInput for ``--detach`` where the work is done in this process: the queue is a workspace's."""
    if detach:
        raise BadInput("what is done outside the workspace is not queued; leave out --detach, or --out", field="detach")


def confirm(question: str, yes: bool) -> None:
    """Asks in a terminal whether to go on, unless ``yes``; elsewhere there is nobody to ask.

    Raises:
        BadInput: there is nobody to ask.
        PiTuningError: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput(f"{question} Give --yes to go on without being asked", field="yes")
    if not typer.confirm(one_line(question), err=True):
        raise PiTuningError("cancelled; nothing was deleted")


def words(text: str) -> tuple[str, ...]:
    """The words of a list with commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers(text: str, *, field: str) -> tuple[int, ...]:
    """The whole numbers of a list with commas.

    Raises:
        BadInput: for anything else; it names the field.
    """
    try:
        return tuple(int(word) for word in words(text))
    except ValueError as error:
        raise BadInput(f"{field} is {text!r}; give whole numbers with commas between them", field=field) from error


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Prints a text, whose control characters are spelt out: names, cards and files of others do not steer a terminal.

    All that commands say goes through this or `print_table`.
    """
    typer.echo(visible(str(text)), err=err, nl=nl)


def echo_deleted(text: str, entry: str | None) -> None:
    """Says what was deleted, and how it comes back."""
    echo(text)
    echo(
        f"to bring it back: pituning bin restore {entry}" if entry else "the disk is full: it is lost",
        err=True,
    )


def emit(document: Any, as_json: bool, human: Callable[[], None]) -> None:
    """Prints ``document`` as JSON, or calls ``human`` to print it for people."""
    if as_json:
        typer.echo(json_text(document, indent=1, default=_plain))
    else:
        human()


def emit_table(table: Path, frame: pd.DataFrame, as_json: bool, human: Callable[[], None] | None = None) -> None:
    """Prints where a table was written and, as JSON, its rows: JSON knows no NaN, so what is missing is null there.

    Args:
        human: prints it for people; left out, they are told where it is.
    """
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records") if as_json else []
    emit({"table": table, "rows": rows}, as_json, human or (lambda: echo(str(table))))


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays, paths and mappings as JSON knows them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if hasattr(value, "items"):
        return dict(value.items())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; columns whose values are all numbers are aligned to the right, and no number is broken."""
    from rich.console import Console
    from rich.table import Table

    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[i]) for row in cells) for i in range(len(columns))]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, (name, right) in enumerate(zip(columns, numeric, strict=True)):
        widest = max((len(row[i]) for row in cells), default=0) if right else None
        table.add_column(name, justify="right" if right else "left", overflow="fold", min_width=widest)
    for row in cells:
        table.add_row(*row)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200  # whoever reads a pipe cuts lines as they like
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else one_line(str(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == "–"
    return True
