"""The command line: the same verbs as the app."""

from __future__ import annotations

import typer

app = typer.Typer(name="pituning", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """π-Tuning Studio."""


def main() -> None:
    """The console script."""
    app()
