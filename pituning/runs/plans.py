"""What to expect of a run: its phases with their seconds, from runs that have finished here, else as measured once.

A phase costs its units times what a unit of its sort costs (`pituning.runs.outline.cost_name`). Runs of the workspace
say what units cost on this machine; ``measured.json``, which ships, says so for two cores with the embedded backbone
(`python -m benchmarks.costs` makes it again). Torch-free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median

from pituning.backbones.card import weights_of
from pituning.errors import PiTuningError
from pituning.experts.kinds import KINDS
from pituning.runs.eta import PlannedPhase
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.outline import Part, Subject, cost_name, outline, step_load
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.tasks.registry import TaskInfo, list_tasks
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace

SEARCHED = 30
COUNTED = 5
"""How many finished runs an estimate is made from, the most similar and newest of `SEARCHED`."""

MEASURED = Path(__file__).with_name("measured.json")

OF_MACHINE = ("load the libraries", "load UMAP", "project", "compare")
"""Costs that do not depend on the backbone."""

EMBEDDED_PARAMETERS, SIZE_EXPONENT = 2_712_064, 0.87
"""Of the embedded backbone, and how time grows with size: a training step of SmolLM2 (135 M parameters) takes about 30
times as long, that is 50 to the power of 0.87."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What to expect of a run; ``runs`` finished ones of this workspace say so, or none and then `MEASURED`.

    Args:
        others: finished runs of other kinds on the same backbone by which `MEASURED` was scaled.
        scaled: it was scaled by the size of the backbone alone, which is a rough guess.
    """

    plan: tuple[PlannedPhase, ...]
    runs: int
    others: int = 0
    scaled: bool = False

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.plan)


def _path(workspace: Workspace, run_id: str) -> Path:
    return workspace.run_dir(run_id) / "plan.json"


def save_plan(workspace: Workspace, run_id: str, plan: Sequence[PlannedPhase]) -> None:
    """Keeps a plan with what was measured so far."""
    rows = [{"name": p.name, "total": p.total, "seconds": round(p.seconds, 4), "load": p.load} for p in plan]
    write_json(_path(workspace, run_id), {"format_version": 1, "phases": rows})


def load_plan(workspace: Workspace, run_id: str) -> list[PlannedPhase]:
    """The plan that was kept for a run; empty when there is none, or none that can be read."""
    try:
        phases = read_json(_path(workspace, run_id))["phases"]
        return [
            PlannedPhase(str(p["name"]), int(p["total"]), float(p["seconds"]), _number(p.get("load"))) for p in phases
        ]
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
    workspace = queue.workspace
    tasks = {info.name: info for info in list_tasks(workspace)}
    costs = dict(measured_costs(_expert_kind(spec)))
    about = _in_zoo(subject or Subject.of(tasks.get(spec.subject)), workspace, spec)
    parts = outline(spec, about, workspace)
    if all(part.seconds is not None for part in parts):
        return Forecast(plan=tuple(_priced(parts, costs)), runs=0)
    seen = [_look_back(workspace, run, tasks) for run in _most_similar(queue, spec)]
    others = [] if seen else [_look_back(workspace, run, tasks) for run in _on_backbone(queue, spec)]
    factor = 1.0 if seen or others else size_factor(workspace, spec.backbone)
    if seen or others:
        pace = median(one.pace for one in seen or others)
        costs = {name: cost * (pace if seen or name not in OF_MACHINE else 1.0) for name, cost in costs.items()}
        for name in {name for one in seen or others for name in one.costs}:
            costs[name] = median(one.costs[name] for one in seen or others if name in one.costs)
    else:
        costs = {name: cost * (1.0 if name in OF_MACHINE else factor) for name, cost in costs.items()}
    plan = tuple(_priced(parts, costs))
    return Forecast(plan=plan, runs=len(seen), others=len(others), scaled=factor != 1.0)


def _in_zoo(subject: Subject, workspace: Workspace, spec: RunSpec) -> Subject:
    """The subject among the tasks whose experts the run would find."""
    kind = _expert_kind(spec)
    if kind not in KINDS or spec.backbone == DEFAULT_BACKBONE:
        return subject
    return replace(subject, zoo=len(workspace.zoo(spec.backbone).expert_dirs(kind)))


def size_factor(workspace: Workspace, backbone: str) -> float:
    """How many times longer a backbone takes than the embedded one, by its number of parameters; never less than 1."""
    if backbone == DEFAULT_BACKBONE:
        return 1.0
    try:
        folder = workspace.backbone_dir(backbone)
        parameters = weights_of(folder).parameters
    except PiTuningError:
        return 1.0  # what is wrong with it shows when the run is done
    return max(1.0, parameters / EMBEDDED_PARAMETERS) ** SIZE_EXPONENT


@cache
def measured_costs(kind: str) -> Mapping[str, float]:
    """Seconds for a unit of each sort on two cores; what was not measured for a kind of expert costs what LoRA does."""
    costs = read_json(MEASURED)["costs"]
    return {**costs["lora"], **costs.get(kind, {})}


def observed_costs(workspace: Workspace, run: Run, subject: Subject) -> dict[str, float]:
    """Seconds for a unit of each sort, as a finished run took them."""
    usual = step_load(run.spec.settings(), subject)
    seconds: dict[str, float] = defaultdict(float)
    units: dict[str, float] = defaultdict(float)
    plan = load_plan(workspace, run.id)
    for phase in plan:
        name = cost_name(phase.name)
        seconds[name] += phase.seconds
        load = phase.load
        if load is None:
            load = usual if name.startswith(("choose", "train")) else 1.0
        units[name] += phase.total * load
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
    observed, measured = observed_costs(workspace, run, subject), measured_costs(_expert_kind(run.spec))
    both = [part for part in _done(workspace, run, subject) if cost_name(part.name) in observed]
    expected = sum(phase.seconds for phase in _priced(both, measured))
    return _Seen(observed, sum(phase.seconds for phase in _priced(both, observed)) / expected if expected else 1.0)


def _done(workspace: Workspace, run: Run, subject: Subject) -> list[Part]:
    """The parts of a finished run; of one whose outline is about what was left to do, those that it did."""
    if not run.spec.record.outlines_workspace:
        return outline(run.spec, subject)
    return [Part(phase.name, phase.total, phase.load or 1.0) for phase in load_plan(workspace, run.id)]


def _priced(parts: Sequence[Part], costs: Mapping[str, float]) -> list[PlannedPhase]:
    return [
        PlannedPhase(
            part.name,
            part.total,
            part.total * part.load * costs.get(cost_name(part.name), 0.0) if part.seconds is None else part.seconds,
            part.load,
        )
        for part in parts
    ]


def _on_backbone(queue: RunQueue, spec: RunSpec) -> list[Run]:
    """Finished runs of other kinds that used the same backbone and kind of expert, the newest first.

    Of the embedded backbone none: what ships was measured on it.
    """
    if spec.backbone == DEFAULT_BACKBONE:
        return []
    runs = queue.list(states=["succeeded"], backbone=spec.backbone, limit=SEARCHED)
    same = [run for run in runs if run.kind in RUN_KINDS and _expert_kind(run.spec) == _expert_kind(spec)]
    return [run for run in same if any(p.name not in OF_MACHINE for p in load_plan(queue.workspace, run.id))][:COUNTED]


def _expert_kind(spec: RunSpec) -> str:
    """The kind of experts that a run is on, be it by default."""
    return str(spec.config.get("kind", spec.defaults().get("kind")))


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _most_similar(queue: RunQueue, spec: RunSpec) -> list[Run]:
    """Finished runs of the same sort that kept a plan, those with the most similar settings first."""

    def alike(other: Run) -> int:
        ours, theirs = spec.config, other.spec.config
        return sum(ours.get(key) == theirs.get(key) for key in {*ours, *theirs})

    finished = [
        run
        for run in queue.list(states=["succeeded"], kind=spec.kind, backbone=spec.backbone, limit=SEARCHED)
        if _expert_kind(run.spec) == _expert_kind(spec)
    ]
    finished.sort(key=alike, reverse=True)  # stable: the newest of equals comes first
    return [run for run in finished if load_plan(queue.workspace, run.id)][:COUNTED]
