"""The command line: the same verbs as the app. ``pituning --help`` lists them."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer

from pituning import __version__
from pituning.commands import (
    backbones,
    bench,
    bin,
    build,
    experts,
    graph,
    predict,
    queueing,
    report,
    runs,
    study_paper,
    system,
    tasks_add,
    tune,
    workspace,
)
from pituning.errors import PiTuningError
from pituning.text import one_line

EXIT_FAILED, EXIT_USAGE = 1, 2
_INTERRUPTED = 130  # what Typer makes of a KeyboardInterrupt

app = typer.Typer(name="pituning", pretty_exceptions_enable=False, rich_markup_mode="rich")
app.command("app")(system.app_command)
app.add_typer(tasks_add.app, name="tasks")  # the verbs of `tasks`, with the longest, `add`
app.add_typer(backbones.app, name="backbones")
app.add_typer(experts.app, name="experts")
app.command("embed")(experts.embed_command)
app.add_typer(graph.app, name="graph")
app.command("tune")(tune.tune_command)
app.command("predict")(predict.predict_command)
app.add_typer(study_paper.app, name="study")  # the verbs of `study`, with the paper's tables
app.add_typer(queueing.app, name="runs")  # the verbs of `runs`, with those that put things into the queue
app.command("worker")(runs.worker_command)
app.add_typer(bin.app, name="bin")
app.add_typer(workspace.app, name="workspace")
app.command("report")(report.report_command)
app.add_typer(bench.app, name="bench")
app.add_typer(build.pretrain_app, name="pretrain")
app.add_typer(build.zoo_app, name="zoo")
app.command("doctor")(system.doctor_command)


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
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


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
