"""What to expect of a run: its phases with their seconds, from runs that have finished here, else as measured once.

A phase costs its units times what a unit of its sort costs (`pituning.runs.outline.cost_name`). Runs of the workspace
say what units cost on this machine; ``measured.json``, which ships, says so for two cores with the embedded backbone
(`python -m benchmarks.costs` makes it again). Torch-free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from pituning.errors import PiTuningError
from pituning.runs.eta import PlannedPhase
from pituning.runs.outline import Part, Subject, cost_name, outline, step_load
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.tasks.registry import TaskInfo, list_tasks
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import Workspace

SEARCHED = 30
COUNTED = 5
"""How many finished runs an estimate is made from, the most similar and newest of `SEARCHED`."""

MEASURED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What to expect of a run; ``runs`` finished ones of this workspace say so, or none and then `MEASURED`."""

    plan: tuple[PlannedPhase, ...]
    runs: int

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.plan)


def _path(workspace: Workspace, run_id: str) -> Path:
    return workspace.run_dir(run_id) / "plan.json"


def save_plan(workspace: Workspace, run_id: str, plan: Sequence[PlannedPhase]) -> None:
    """Keeps a plan with what was measured so far."""
    rows = [{"name": p.name, "total": p.total, "seconds": round(p.seconds, 4)} for p in plan]
    write_json(_path(workspace, run_id), {"format_version": 1, "phases": rows})


def load_plan(workspace: Workspace, run_id: str) -> list[PlannedPhase]:
    """The plan that was kept for a run; empty when there is none, or none that can be read."""
    try:
        phases = read_json(_path(workspace, run_id))["phases"]
        return [PlannedPhase(str(p["name"]), int(p["total"]), float(p["seconds"])) for p in phases]
    except (PiTuningError, KeyError, TypeError, ValueError):
        return []  # an estimate is not worth an error


def expected_plan(queue: RunQueue, run: Run) -> list[PlannedPhase]:
    """What to expect of a run: its own plan when it goes on, else its forecast."""
    return load_plan(queue.workspace, run.id) or list(forecast(queue, run.spec).plan)


def forecast(queue: RunQueue, spec: RunSpec, subject: Subject | None = None) -> Forecast:
    """What to expect of a run that has not begun.

    Args:
        subject: its task, where the workspace does not have it yet.
    """
    tasks = {info.name: info for info in list_tasks(queue.workspace)}
    costs = dict(measured_costs(str(spec.config.get("kind"))))
    parts = outline(spec, subject or Subject.of(tasks.get(spec.subject)))
    if all(part.seconds is not None for part in parts):
        return Forecast(plan=tuple(_priced(parts, costs)), runs=0)
    seen = [_look_back(queue.workspace, run, tasks) for run in _most_similar(queue, spec)]
    if seen:
        pace = median(one.pace for one in seen)
        costs = {name: cost * pace for name, cost in costs.items()}
        for name in {name for one in seen for name in one.costs}:
            costs[name] = median(one.costs[name] for one in seen if name in one.costs)
    return Forecast(plan=tuple(_priced(parts, costs)), runs=len(seen))


@cache
def measured_costs(kind: str) -> Mapping[str, float]:
    """Seconds for a unit of each sort on two cores; what was not measured for a kind of expert costs what LoRA does."""
    costs = read_json(MEASURED)["costs"]
    return {**costs["lora"], **costs.get(kind, {})}


def observed_costs(workspace: Workspace, run: Run, subject: Subject) -> dict[str, float]:
    """Seconds for a unit of each sort, as a finished run took them."""
    load = step_load(run.spec.settings(), subject)
    seconds: dict[str, float] = defaultdict(float)
    units: dict[str, float] = defaultdict(float)
    plan = load_plan(workspace, run.id)
    for phase in plan:
        name = cost_name(phase.name)
        seconds[name] += phase.seconds
        units[name] += phase.total * (load if name.startswith(("choose", "train")) else 1.0)
    # A plan counts steps that were given up, or left out, as if they had been done.
    planned, took = sum(seconds.values()), run.elapsed()
    share = min(1.0, took / planned) if took and planned and run.attempt == 1 else 1.0
    return {name: share * seconds[name] / units[name] for name in seconds if units[name]}


@dataclass(frozen=True)
class _Seen:
    """What a finished run says: its costs, and how many times slower than measured it was as a whole."""

    costs: Mapping[str, float]
    pace: float


def _look_back(workspace: Workspace, run: Run, tasks: Mapping[str, TaskInfo]) -> _Seen:
    subject = Subject.of(tasks.get(run.spec.subject))
    observed, measured = observed_costs(workspace, run, subject), measured_costs(str(run.spec.config.get("kind")))
    both = [part for part in outline(run.spec, subject) if cost_name(part.name) in observed]
    expected = sum(phase.seconds for phase in _priced(both, measured))
    return _Seen(observed, sum(phase.seconds for phase in _priced(both, observed)) / expected if expected else 1.0)


def _priced(parts: Sequence[Part], costs: Mapping[str, float]) -> list[PlannedPhase]:
    return [
        PlannedPhase(
            part.name,
            part.total,
            part.total * part.load * costs.get(cost_name(part.name), 0.0) if part.seconds is None else part.seconds,
        )
        for part in parts
    ]


def _most_similar(queue: RunQueue, spec: RunSpec) -> list[Run]:
    """Finished runs of the same sort that kept a plan, those with the most similar settings first."""

    def alike(other: Run) -> int:
        ours, theirs = spec.config, other.spec.config
        return sum(ours.get(key) == theirs.get(key) for key in {*ours, *theirs})

    finished = [
        run
        for run in queue.list(states=["succeeded"], kind=spec.kind, backbone=spec.backbone, limit=SEARCHED)
        if run.spec.config.get("kind") == spec.config.get("kind")
    ]
    finished.sort(key=alike, reverse=True)  # stable: the newest of equals comes first
    return [run for run in finished if load_plan(queue.workspace, run.id)][:COUNTED]
