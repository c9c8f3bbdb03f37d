"""`pituning bench`: measures speed and memory against a named peer or limit; the code is in `benchmarks/`.

Every command takes ``--workspace``, so that scripts can give it everywhere; these read none.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer

from pituning.commands.progress import terminal_reporter
from pituning.commands.shared import JsonOption, WorkspaceOption, echo, emit
from pituning.errors import ArtefactError, BadInput
from pituning.registry import unknown
from pituning.workspace.layout import resources

DTYPES = ("bfloat16", "float16", "float32")

app = typer.Typer(help="Measure speed and memory: fisher, interpolate, memory, graph, tune, gpu, app.")


@app.command()
def fisher(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Exact per-example Fisher against a loop of single-example gradients and one plain backward pass."""
    with terminal_reporter() as reporter:
        result = _module("fisher").run(reporter=reporter)
    _emit(result, as_json)


@app.command()
def interpolate(
    d: Annotated[
        str | None, typer.Option(help="Widths, and 8 experts against PEFT at each; e.g. 128,256,512,768,1024.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """A training step with 2, 4 and 8 interpolated experts against one expert; at given widths against PEFT."""
    widths = None if d is None else _widths(d)
    with terminal_reporter() as reporter:
        if widths is None:
            result = _module("interpolate").run(reporter=reporter)
        else:
            result = _module("widths").run(widths, reporter=reporter)
    _emit(result, as_json)


@app.command()
def memory(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Peak memory of a step with 8 interpolated experts against plain PEFT training one LoRA."""
    with terminal_reporter() as reporter:
        result = _module("memory").run(reporter=reporter)
    _emit(result, as_json)


@app.command()
def graph(
    tasks: Annotated[
        int | None, typer.Option(min=100, help="So many, and the most similar of each; e.g. 10000 or 100000.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Similarity of 100 tasks against the loop over pairs; of very many against scikit-learn's brute force."""
    if tasks is None:
        _emit(_module("graph").run(), as_json)
        return
    with terminal_reporter() as reporter:
        result = _module("nearest").run(tasks=tasks, reporter=reporter)
    _emit(result, as_json)


@app.command()
def tune(
    target: Annotated[str, typer.Argument(help="Task to tune.")] = "digits",
    shots: Annotated[int, typer.Option(min=1, help="Examples per class.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Most steps of a training.")] = 160,
    processes: Annotated[int, typer.Option(min=0, help="Processes; 0 for one for each core.")] = 0,
    count: Annotated[bool, typer.Option(help="Also count operations for the floor, in a second run.")] = True,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """A whole tuning: processor seconds and wall clock of its stages, and the share of the floor."""
    from pituning.tuning.config import TuneConfig

    config = TuneConfig(target=target, shots=shots, steps=steps, processes=processes)
    with terminal_reporter() as reporter:
        result = _module("tune").run(config, count=count, reporter=reporter)
    _emit(result, as_json)


@app.command()
def gpu(
    model: Annotated[str, typer.Option(help="florence2-large, decoder-3b, tiny or tiny-decoder.")] = "florence2-large",
    device: Annotated[str | None, typer.Option(help="cuda, cuda:N or cpu; by default a GPU.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the backbone: bfloat16, float16 or float32.")] = "bfloat16",
    steps: Annotated[int, typer.Option(min=4, help="Most steps of each training of the 16-shot run.")] = 160,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fisher information, a step and a 16-shot run on a GPU: seconds, shares of its peak, and what makes it faster."""
    from pituning.backbones.device import best_device

    bench = _module("gpu")
    if model not in bench.MODELS:
        raise unknown("model", model, list(bench.MODELS))
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, list(DTYPES))
    if device is None and best_device().type == "cpu":
        raise BadInput("no GPU is visible here; try the command with --device cpu --model tiny", field="device")
    with terminal_reporter() as reporter:
        _emit(bench.run(model=model, device=device, dtype=dtype, steps=steps, reporter=reporter), as_json)


@app.command("app")
def studio(
    sessions: Annotated[int, typer.Option(min=1, help="People who look about at once.")] = 20,
    minutes: Annotated[float, typer.Option(min=0, help="For how long; 0 leaves it out.")] = 10.0,
    large: Annotated[bool, typer.Option(help="Also 2,000 tasks, 20,000 lines and 100,000 points.")] = True,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """The Studio in a real Chromium: cold start, pages, clicks, memory, many sessions, a large workspace."""
    with terminal_reporter() as reporter:
        result = _module("app").run(sessions=sessions, minutes=minutes, with_large=large, reporter=reporter)
    _emit(result, as_json)


def _widths(given: str) -> list[int]:
    """Widths that the heads of text model and vision tower divide."""
    parts = [part.strip() for part in given.split(",")]
    bad = [part for part in parts if not part.isdecimal() or not 64 <= int(part) <= 8192 or int(part) % 64]
    if bad:
        raise BadInput(f"width {bad[0]!r} is none; give multiples of 64 up to 8192, e.g. 128,768", field="d")
    return [int(part) for part in parts]


def _module(name: str) -> Any:
    if not (resources() / "benchmarks" / f"{name}.py").is_file():
        raise ArtefactError(f"benchmark {name!r} is not at {resources() / 'benchmarks'}; install pituning-studio again")
    sys.path.insert(0, str(resources()))
    return importlib.import_module(f"benchmarks.{name}")


def _emit(result: dict[str, Any], as_json: bool) -> None:
    def human() -> None:
        for key, value in result.items():
            echo(f"{key:20} {value}")

    emit(result, as_json, human)
