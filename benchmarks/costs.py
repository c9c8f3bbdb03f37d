"""Makes `pituning/runs/measured.json` again, from the finished runs of a workspace: what a unit of each phase costs.

Before the first run of a workspace has finished, estimates are made from that table. On a quiet machine with two
cores, in a new workspace:

    for kind in lora bottleneck prefix; do pituning tune digits --kind $kind; done
    pituning tune sentiment && pituning experts train nli --shots 16 && pituning embed --all && pituning graph project
    python -m benchmarks.costs ./workspace
"""

from __future__ import annotations

import sys
from collections import defaultdict
from statistics import median
from typing import Any

from pituning.experts.kinds import KINDS
from pituning.runs.outline import Subject
from pituning.runs.plans import MEASURED, observed_costs
from pituning.runs.queue import RunQueue
from pituning.tasks.registry import list_tasks
from pituning.workspace.atomic import write_json
from pituning.workspace.layout import Workspace


def table(workspace: Workspace) -> dict[str, Any]:
    """Seconds for a unit of each sort by kind of expert: the median over the finished runs that did such units."""
    tasks = {info.name: info for info in list_tasks(workspace)}
    seen: dict[str, dict[str, list[float]]] = {kind: defaultdict(list) for kind in KINDS}
    for run in RunQueue(workspace).list(states=["succeeded"]):
        for name, cost in observed_costs(workspace, run, Subject.of(tasks.get(run.spec.subject))).items():
            seen[run.spec.config["kind"]][name].append(cost)
    costs = {
        kind: {name: float(f"{median(values):.3g}") for name, values in sorted(by_phase.items())}
        for kind, by_phase in seen.items()
        if by_phase
    }
    return {"format_version": 1, "measured_on": "2 CPU cores", "costs": costs}


if __name__ == "__main__":
    write_json(MEASURED, table(Workspace.open(sys.argv[1])))
