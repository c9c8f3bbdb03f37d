"""The command line: the same verbs as the app. ``pituning --help`` lists them."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pituning import __version__
from pituning.errors import PiTuningError
from pituning.text import one_line

EXIT_FAILED, EXIT_USAGE = 1, 2
_INTERRUPTED = 130  # what Typer makes of a KeyboardInterrupt

COMMANDS = {
    "app": ("system:app_command", "Open the Studio in the browser; it listens on this machine only."),
    "embed": (
        "experts:embed_command",
        "Compute Fisher embeddings, by which tasks are compared; all of the zoo's without a task.",
    ),
    "tune": (
        "tune:tune_command",
        "π-tune a task on a few shots with the experts of similar tasks, and compare with honest baselines.",
    ),
    "predict": (
        "predict:predict_command",
        "Label the rows of a file with an expert: each with its answer and how sure it is.",
    ),
    "worker": (
        "runs:worker_command",
        "Run queued work until stopped with Ctrl-C; runs under way here go back to the queue, "
        "those on a cluster go on.",
    ),
    "report": (
        "report:report_command",
        "Write a story as one self-contained HTML file: slides, figures, tables and downloads, all offline.",
    ),
    "doctor": ("system:doctor_command", "What this machine has, what is missing, and how to fix it."),
    # The verbs of `tasks`, `study` and `runs` lie in two modules each, of which these have them all.
    "tasks": ("tasks_add:app", "Tasks: list, show, preview, add, edit, card, export, remove."),
    "backbones": ("backbones:app", "Backbones, the foundation models: add, list, show, check, remove."),
    "experts": ("experts:app", "Experts: list, train, import, export, answer, remove."),
    "graph": ("graph:app", "The task graph: neighbors, export, project."),
    "study": ("study_paper:app", "Measure on a zoo: transfer, predictors, methods on few shots."),
    "runs": ("queueing:app", "Runs: what there is, and what becomes of it."),
    "bin": ("bin:app", "The bin: tasks, experts, backbones, tables and runs that were deleted and can be restored."),
    "workspace": ("workspace:app", "The workspace as a whole: backup, restore."),
    "bench": ("bench:app", "Measure speed and memory: fisher, interpolate, memory, graph, tune, gpu, app."),
    "pretrain": ("build:pretrain_app", "Pretrain a backbone: mini, or one that was composed, by its name."),
    "zoo": ("build:zoo_app", "The zoo of experts: build, maps, measure, tables."),
}
"""Of each command where it is in `pituning.commands`, and the first paragraph of its help, so that the list of all
commands imports none of them."""


class Commands(dict[str, Any]):
    """The commands by name; one is imported when it is asked for."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            module, _, attribute = COMMANDS[name][0].partition(":")
            command = getattr(importlib.import_module(f"pituning.commands.{module}"), attribute)
            holder = typer.Typer(callback=lambda: None, pretty_exceptions_enable=False, rich_markup_mode="rich")
            if isinstance(command, typer.Typer):
                holder.add_typer(command, name=name)
            else:
                holder.command(name)(command)
            self[name] = typer.main.get_command(holder).commands[name]  # type: ignore[attr-defined]
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - that is this method

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        return [self[name] for name in self]


class LazyGroup(TyperGroup):
    """The root: it imports the command that is called, and none to list them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": Commands()})
        self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._listing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])
        return super().get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


app = typer.Typer(name="pituning", cls=LazyGroup, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """π-Tuning Studio: which tasks are alike, whose experts help a new one, and tuning it with them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script; exits with 0 (done), 1 (failed) or 2 (wrong usage or bad input)."""
    # Of what libraries make when they are imported nothing is garbage; to look for it there takes a third of the time
    # until torch is loaded, and as long again when Python ends.
    gc.set_threshold(50_000, 20, 100)
    code = run(sys.argv[1:] if arguments is None else arguments)
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; an error is one line on stderr."""
    given = list(arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"] or ["--help"]
    for argument in given:
        if not argument.isascii() and any("\ud800" <= character <= "\udfff" for character in argument):
            return _fail(f"argument {argument!a} is no text in UTF-8; write or rename it in UTF-8", EXIT_USAGE)
    previous = _terminate_like_interrupt()
    try:
        code = app(args=given, prog_name="pituning", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        return _explain(error)
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    if code == _INTERRUPTED:
        return _explain(KeyboardInterrupt())
    return code if isinstance(code, int) else 0


def _explain(error: Exception | KeyboardInterrupt) -> int:
    """Says what went wrong in one line on stderr; returns the exit code."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail("interrupted; nothing half-written is left", EXIT_FAILED)
    if isinstance(error, PiTuningError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, BrokenPipeError):
        # Whoever read stdout has gone; without this Python complains once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    format_message: Any = getattr(error, "format_message", None)
    if format_message is not None:  # Typer's own usage errors
        context: Any = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "pituning"
        return _fail(f"{format_message()} (see {path} --help)", EXIT_USAGE)
    if isinstance(error, OSError):
        place = f" at {error.filename}" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(f"disk full{place}: free some space or choose another --workspace", EXIT_FAILED)
        return _fail(f"{error.strerror or error}{place}", EXIT_FAILED)
    if type(error).__module__.startswith("sqlalchemy") or isinstance(error, sqlite3.Error):
        from pituning.workspace.database import database_error

        return _fail(str(database_error(error, "studio.db")), EXIT_FAILED)
    reason = " ".join(str(error).split())[:300]
    return _fail(f"unexpected {type(error).__name__}: {reason} (see the traceback with --debug)", EXIT_FAILED)


def _fail(message: str, code: int) -> int:
    print(f"pituning: {one_line(message)}", file=sys.stderr)
    return code


def _terminate_like_interrupt() -> Any:
    """Makes SIGTERM clean up as Ctrl-C does; returns the previous handler, or None outside the main thread."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        return signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        return None


if __name__ == "__main__":
    main()
