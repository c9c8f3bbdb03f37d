"""`pituning study paper`: the paper's tables on any backbone, measured by queued runs, beside its figures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pituning.commands.follow import IDLE_SECONDS, follow
from pituning.commands.options import BackboneOption
from pituning.commands.shared import (
    DetachOption,
    DtypeOption,
    JsonOption,
    KindOption,
    WorkspaceOption,
    check_experts,
    echo,
    emit,
    numbers,
    open_workspace,
    print_table,
    words,
)
from pituning.commands.study import app
from pituning.errors import BadInput, RunFailed
from pituning.workspace.layout import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from pituning.runs.study_configs import LowshotRun
    from pituning.studies.paper import TableRow
    from pituning.workspace.layout import Workspace


@app.command("paper")
def study_paper(
    tables: Annotated[str, typer.Option(help="vision, glue or vl. A list with commas.")],
    shots: Annotated[str, typer.Option(help="Examples per class: 16, full for all, 0 for none.")] = "16",
    seeds: Annotated[str | None, typer.Option(help="Seeds of the shots; default: CoOp's 1,2,3, or one.")] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods, as of `study lowshot`; default: those that π-tuning chooses from.")
    ] = None,
    kind: KindOption = "lora",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    steps: Annotated[int | None, typer.Option(help="Most training steps of a method.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples per step.")] = None,
    donors: Annotated[int | None, typer.Option(help="How many tasks lend their experts.")] = None,
    test_examples: Annotated[int | None, typer.Option(help="Most test examples of a data set.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes that share the work of a run.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Measure nothing; print what is measured already.")] = False,
    dtype: DtypeOption = None,
    detach: DetachOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the paper's tables on a backbone, one run for each data set that is here, and print them beside its figures.

    What is measured already is kept. Data sets are added by `pituning tasks add catalogue:NAME`; those with too few
    examples for the shots are left out, with the reason.
    """
    from pituning.runs.spec import RunSpec
    from pituning.runs.study_configs import LowshotRun
    from pituning.studies.paper import TABLES, basis_of, table_rows, targets_of, too_small, usual_methods, usual_seeds
    from pituning.tasks.guessing import guesses_of
    from pituning.tasks.registry import TaskSource
    from pituning.workspace.lowshot import parse_shots, shots_name

    place, count = open_workspace(workspace), parse_shots(shots)
    place.backbone_dir(backbone)
    chosen = words(tables)
    source = TaskSource(place)
    here, lacking = targets_of(chosen, source)
    drawn = numbers(seeds, field="seeds") if seeds is not None else usual_seeds(count)
    small = too_small(here, source, count, drawn)
    if len(small) == len(here):
        raise BadInput(small[here[0]], field="shots")
    here = tuple(name for name in here if name not in small)
    given: dict[str, Any] = {
        "steps": steps, "batch_size": batch_size, "donors": donors, "test_examples": test_examples,
        "processes": processes, "dtype": dtype,
    }  # fmt: skip
    settings = {name: value for name, value in given.items() if value is not None}
    configs = [
        LowshotRun(
            tasks=(name,), backbone=backbone, kind=kind, shots=(count,),
            seeds=drawn,
            methods=words(methods) if methods is not None else usual_methods(count), **settings,
        )
        for name in here
    ]  # fmt: skip
    runs: list[str] = []
    failed: list[str] = []
    if not show:
        check_experts(place, configs[0])
    specs = _specs(place, replace(configs[0], tasks=here))
    if not show:
        known = set(_measured(place, configs[0])["spec"])
        missing = {target for target, digests in specs.items() if digests - known}
        left = [config for config in configs if missing & set(config.tasks)]
        runs = _queue(place, [RunSpec.of("lowshot", config) for config in left], chosen, shots)
        if detach:
            emit({"runs": runs}, as_json, lambda: echo(f"queued {len(runs)} runs; see: pituning runs list"))
            return
        for number, run in enumerate(runs, 1):
            if len(runs) > 1:
                echo(f"run {number} of {len(runs)}: {run}", err=True)
            try:
                follow(place, run)
            except RunFailed as error:  # the others go on, and what they measure is printed
                failed.append(str(error))
    measured = _measured(place, configs[0])
    measured = measured[measured["spec"].isin(set().union(*specs.values()))]
    guesses = guesses_of(here, place)
    made = {table: table_rows(table, count, measured, who=backbone, tasks=here, guesses=guesses) for table in chosen}
    document = {
        "shots": shots_name(count),
        "runs": runs,
        "failed": failed,
        "lacking": lacking,
        "too_small": small,
        "tables": {table: [{**vars(row), "mean": row.mean} for row in rows] for table, rows in made.items()},
    }

    def human() -> None:
        for table, rows in made.items():
            echo(f"{TABLES[table].title}, {_shots_words(count)}")
            names = [record.name for record in TABLES[table].records]
            print_table(("by", "method", *names, "mean"), [_cells(row, names) for row in rows])
            if basis := basis_of(table, count, measured):
                echo(basis)
            printed = dict.fromkeys((row.who, row.source) for row in rows if row.source)
            for model, where in printed:
                echo(f"{model}: the paper's figures, {where}.")
            if not printed:
                echo(f"The paper prints no figures of this table {_shots_words(count)}.")
        if lacking:
            echo(f"not here yet: {', '.join(lacking)}; add them: pituning tasks add catalogue:NAME", err=True)
        for reason in small.values():
            echo(f"left out: {reason}", err=True)

    emit(document, as_json, human)
    if failed:
        others = f"{len(failed)} of {len(runs)} runs failed; the first: " if len(failed) > 1 else ""
        raise RunFailed(f"{others}{failed[0]}")


def _cells(row: TableRow, names: list[str]) -> list[object]:
    """A row as it is printed; a mean is of data sets that not every row may have, so it needs all of them."""
    from pituning.figures.palette import method_label

    mean = row.mean if len(row.scores) == len(names) else None
    return [row.who, method_label(row.method), *(row.scores.get(name) for name in names), mean]


def _shots_words(shots: int) -> str:
    return {-1: "with all training data", 0: "without shots", 1: "with 1 shot per class"}.get(
        shots, f"with {shots} shots per class"
    )


def _specs(place: Workspace, config: LowshotRun) -> dict[str, set[str]]:
    """By data set, digests of all that its rows depend on. This reads the backbone's weights, once."""
    from pituning.backbones.precision import loading_as
    from pituning.studies.lowshot import Places, lowshot_specs

    zoo = place.zoo(config.backbone)
    places = Places(zoo=zoo, backbone=place.backbone_dir(zoo.backbone), workspace=place)
    specs: dict[str, set[str]] = {}
    with loading_as(config.dtype):
        for cell, digest in lowshot_specs(places, config).items():
            specs.setdefault(cell.target, set()).add(digest)
    return specs


def _measured(place: Workspace, config: LowshotRun) -> Any:
    """All rows of the table that such runs write."""
    from pituning.studies.lowshot import table_path
    from pituning.workspace.lowshot import read_lowshot

    return read_lowshot(table_path(place.zoo(config.backbone), config))


def _queue(place: Workspace, specs: list[Any], tables: tuple[str, ...], shots: str) -> list[str]:
    """Queues the runs as one batch and makes sure that somebody works on them; gives their ids.

    A run that is queued already, or at work, is not queued again.
    """
    from pituning.runs.queue import RunQueue
    from pituning.runs.records import ACTIVE
    from pituning.runs.supervisor import ensure_supervisor

    queue = RunQueue(place)
    active = [(run.id, run.spec.to_json()) for run in queue.list(states=ACTIVE)]
    going = [run for run, spec in active if any(spec == each.to_json() for each in specs)]
    fresh = [each for each in specs if all(spec != each.to_json() for _, spec in active)]
    if specs:
        going += queue.submit_all(fresh, batch=f"paper-{'-'.join(tables)}-{shots}") if fresh else []
        ensure_supervisor(place, idle_s=IDLE_SECONDS)
    return going
