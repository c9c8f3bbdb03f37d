"""Keeps the plan of a run's phases, and finds one for a run that has none yet. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pituning.errors import PiTuningError
from pituning.runs.eta import PlannedPhase
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.tasks.mini import TASK_NAMES
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import Workspace

SEARCHED = 30

# Seconds on two cores with the embedded backbone: rough, for the first run of a workspace only.
LOAD, STEP, EXAMPLE, TASK = 8.0, 0.06, 0.003, 1.0
FULL = 3.0
"""How many times as long a step of full fine-tuning takes."""

EXAMPLES = 1000


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
    """What to expect of a run: its own plan when it goes on, else that of the finished run with the likest settings,
    else the usual one of its kind.
    """
    own = load_plan(queue.workspace, run.id)
    if own:
        return own

    def alike(other: Run) -> int:
        ours, theirs = run.spec.config, other.spec.config
        return sum(ours.get(key) == theirs.get(key) for key in {*ours, *theirs})

    finished = queue.list(states=["done"], kind=run.kind, limit=SEARCHED)
    for other in sorted(finished, key=alike, reverse=True):  # stable: the newest of equals comes first
        plan = load_plan(queue.workspace, other.id)
        if plan:
            return plan
    return usual_plan(run.spec)


def usual_plan(spec: RunSpec) -> list[PlannedPhase]:
    """What runs of a kind do, for a workspace where none has finished yet; its pace corrects itself as the run goes."""
    config = spec.settings()
    plan = [PlannedPhase("load the libraries", 1, LOAD)]

    def work(name: str, total: int, each: float) -> None:
        plan.append(PlannedPhase(name, total, total * each))

    if spec.kind == "embed":
        work(f"embed {config.kind}", 2 * len(TASK_NAMES), 2 * TASK)
        work(f"compare {config.kind}", 5, TASK)
    elif spec.kind == "train":
        work("encode images", EXAMPLES, EXAMPLE)
        work("train single", config.steps, STEP)
        work("encode images", EXAMPLES, EXAMPLE)
        work("test", EXAMPLES, EXAMPLE)
    elif spec.kind == "tune":
        shots = 10 * config.shots
        work("encode images", shots, EXAMPLE)
        if not config.donor_names:
            work("embed the shots", shots, 2 * EXAMPLE)
            work("embed the zoo", len(TASK_NAMES) - 1, TASK)
        work("encode images", config.test_examples, EXAMPLE)
        searched = max(1, config.folds) * len(config.rates("pi")) * config.steps
        chosen: set[str] = set()
        for method in ("pi", "single", "donor"):
            work(f"choose {method}", searched, STEP)
            chosen.add(method)
        for method in ("pi", *config.baselines):
            cost = FULL * STEP if method == "full" else STEP
            if method not in (*chosen, "backbone", "untouched"):
                work(f"choose {method}", searched, cost)
            if method not in ("backbone", "untouched"):
                work(f"train {method}", config.steps, cost)
            work(f"test {method}", config.test_examples, EXAMPLE)
    return plan
