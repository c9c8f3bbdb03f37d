"""How fast runs are handed out, that none is handed out twice, and how fast the Runs page reads a full table.

    python benchmarks/queue.py --json

Limits: no double claims; the page's query stays under 50 ms with 10,000 runs in the table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run by its path, this directory's queue.py would stand in for the standard library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import sqlalchemy as sa

from benchmarks.postgres import LocalPostgres, binaries
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.runs.store import RUNS
from pituning.workspace.database import DATABASE_VARIABLE, writing
from pituning.workspace.layout import Workspace

RUNS_COUNT, WORKERS, TABLE = 2000, 4, 10_000
PAGE_LIMIT = 200
REPEATS = 20


def _take(root: str, name: str, start: Any, results: Any) -> None:
    """A worker: claims and finishes until nothing is left."""
    queue = RunQueue(Workspace(Path(root), embedded=None))
    queue.counts()  # connected before the clock runs
    taken: list[str] = []
    start.wait()
    while True:
        run = queue.claim(name)
        if run is None:
            if not queue.counts().get("queued"):
                break
            continue  # the last ones are locked by others
        taken.append(run.id)
        queue.finish(run.claim, "succeeded")
    results.put(taken)


def claims(workspace: Workspace, *, runs: int = RUNS_COUNT, workers: int = WORKERS) -> dict[str, Any]:
    """Queues no-op runs and lets processes take and finish them."""
    queue = RunQueue(workspace)
    ids = queue.submit_all([RunSpec(kind="count", config={"upto": 1, "pause": 0.0})] * runs, batch="benchmark")
    workspace.engine.dispose()
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(workers + 1), context.Queue()
    processes = [
        context.Process(target=_take, args=(str(workspace.root), f"worker-{number}", start, results))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    start.wait()
    began = time.monotonic()
    taken = [run_id for _ in processes for run_id in results.get(timeout=1200)]
    seconds = time.monotonic() - began
    for process in processes:
        process.join()
    double = sum(count - 1 for count in Counter(taken).values())
    attempts = {run.attempt for run in queue.list(states=["succeeded"], batch="benchmark", limit=runs)}
    return {
        "runs": runs, "workers": workers, "seconds": round(seconds, 3), "claims_per_second": round(runs / seconds, 1),
        "double_claims": double + (attempts != {1}), "missing": len(set(ids) - set(taken)),
    }  # fmt: skip


def page(workspace: Workspace, *, table: int = TABLE) -> dict[str, Any]:
    """Fills the table up, and times what the Runs page reads: its runs, the counts and what holds the queue up."""
    queue = RunQueue(workspace)
    spec = RunSpec(kind="tune", config={"target": "digits", "shots": 16, "seed": 0})
    missing = table - sum(queue.counts().values())
    while missing > 0:
        queue.submit_all([spec] * min(1000, missing))
        missing -= 1000
    with writing(workspace.engine) as connection:
        waiting = sa.select(RUNS.c.id).where(RUNS.c.state == "queued").order_by(RUNS.c.id).offset(20)
        connection.execute(sa.update(RUNS).where(RUNS.c.id.in_(waiting)).values(state="succeeded"))
        if workspace.engine.dialect.name == "postgresql":
            connection.execute(sa.text("ANALYZE runs"))
    queries = {"list": lambda: queue.list(limit=PAGE_LIMIT), "counts": queue.counts, "waiting": queue.waiting}
    return {"table": sum(queue.counts().values()), **{f"{name}_ms": _median_ms(call) for name, call in queries.items()}}


def _median_ms(call: Any) -> float:
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return round(1000 * statistics.median(seconds), 2)


def measure(*, runs: int = RUNS_COUNT, workers: int = WORKERS, table: int = TABLE) -> dict[str, Any]:
    """Both databases, one after the other; PostgreSQL is left out where no server is installed."""
    report: dict[str, Any] = {}
    given = os.environ.pop(DATABASE_VARIABLE, None)
    try:
        for name in ("sqlite", "postgresql"):
            if name == "postgresql" and binaries() is None:
                report[name] = None
                continue
            server = LocalPostgres() if name == "postgresql" else None
            with tempfile.TemporaryDirectory(prefix="pituning-queue-") as directory:
                try:
                    if server is not None:
                        os.environ[DATABASE_VARIABLE] = server.database()
                    workspace = Workspace(Workspace.open(Path(directory) / "ws").root, embedded=None)
                    report[name] = claims(workspace, runs=runs, workers=workers) | page(workspace, table=table)
                    workspace.engine.dispose()
                finally:
                    os.environ.pop(DATABASE_VARIABLE, None)
                    if server is not None:
                        server.close()
    finally:
        if given is not None:
            os.environ[DATABASE_VARIABLE] = given
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; 1 when a run was handed out twice or not at all."""
    parser = argparse.ArgumentParser(prog="python benchmarks/queue.py")
    parser.add_argument("--runs", type=int, default=RUNS_COUNT)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--table", type=int, default=TABLE)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    report = measure(runs=given.runs, workers=given.workers, table=given.table)
    if given.json:
        print(json.dumps(report, indent=1))
    else:
        for name, values in report.items():
            print(name, values)
    return int(any(figures and (figures["double_claims"] or figures["missing"]) for figures in report.values()))


if __name__ == "__main__":
    sys.exit(main())
