"""`pituning bench`: measures speed against a named peer or limit; the code is in `benchmarks/`."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer

from pituning.commands.shared import JsonOption, emit
from pituning.errors import ArtefactError
from pituning.workspace.layout import resources

app = typer.Typer(help="Measure speed: fisher, interpolate, graph.")


@app.command()
def fisher(as_json: JsonOption = False) -> None:
    """Exact per-example Fisher against a loop of single-example gradients and one plain backward pass."""
    _bench("fisher", as_json)


@app.command()
def interpolate(as_json: JsonOption = False) -> None:
    """A training step with 2, 4 and 8 interpolated experts against one expert."""
    _bench("interpolate", as_json)


@app.command()
def graph(as_json: JsonOption = False) -> None:
    """Similarity of 100 tasks in one pass against the loop over pairs."""
    _bench("graph", as_json)


def _bench(name: str, as_json: bool) -> None:
    if not (resources() / "benchmarks" / f"{name}.py").is_file():
        raise ArtefactError(f"benchmark {name!r} is not at {resources() / 'benchmarks'}; install pituning-studio again")
    sys.path.insert(0, str(resources()))
    result: dict[str, Any] = importlib.import_module(f"benchmarks.{name}").run()

    def human() -> None:
        for key, value in result.items():
            typer.echo(f"{key:20} {value}")

    emit(result, as_json, human)
