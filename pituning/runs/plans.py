"""Keeps the plan of a run's phases, and finds one for a run that has none yet. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pituning.errors import PiTuningError
from pituning.runs.eta import PlannedPhase
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import Workspace

SEARCHED = 30


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
    """What to expect of a run: its own plan when it goes on, else that of the finished run with the likest settings."""
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
    return []
