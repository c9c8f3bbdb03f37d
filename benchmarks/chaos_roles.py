"""The parts that `benchmarks.chaos` lets play: the app, whoever queues runs, and the trial that nobody disturbs."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pituning.errors import PiTuningError
from pituning.progress import Silent
from pituning.runs.counting import link
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.runs.supervisor import ensure_supervisor
from pituning.workspace.atomic import read_json, sha256_file, write_json
from pituning.workspace.bounded import child_environment
from pituning.workspace.layout import Workspace

UPTO, PAUSE = 30, 0.05
ATTEMPTS = 1000
SMALL = {"shots": 4, "steps": 4, "donors": 2, "test_examples": 12, "folds": 1, "baselines": ["single", "random"]}


def specs(runs: int, *, trained: int, tuned: int) -> dict[str, RunSpec]:
    """The runs of a trial by their names, kinds mixed, so that kills early and late hit all of them."""
    kinds = ["tune"] * tuned + ["train"] * trained + ["count"] * (runs - tuned - trained)
    random.Random(0).shuffle(kinds)
    made: dict[str, RunSpec] = {}
    for number, run_kind in enumerate(kinds):
        if run_kind == "tune":
            spec = RunSpec(kind="tune", config={"target": "mood-a", "seed": number, **SMALL})
        elif run_kind == "train":
            config = {"task": "mood-b", "shots": 8, "steps": 120, "batch_size": 6, "seed": number}
            spec = RunSpec(kind="train", config=config)
        else:
            spec = RunSpec(kind="count", config={"upto": UPTO, "pause": PAUSE, "seed": number})
        made[f"chaos {number}"] = spec
    return made


def final_words(workspace: Workspace, run_kind: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same whatever happened on the way: the result, and the tensors of the expert it made."""
    kept = {key: value for key, value in result.items() if key != "run"}
    if run_kind in ("train", "tune"):
        expert = workspace.zoo().new_expert_dir("lora", str(result.get("expert")))
        kept["sha256"] = sha256_file(expert / "adapter_model.safetensors")
    return kept


def reference(base: Path, wanted: Mapping[str, RunSpec]) -> dict[str, Any]:
    """The results of a trial that nobody disturbs. Leaves ``base/template``, the workspace to start from.

    Counting is done here, by a loop; training and tuning in one process of their own, straight through.
    """
    real = {name: spec.to_json() for name, spec in wanted.items() if spec.kind != "count"}
    write_json(base / "wanted.json", real)
    if real:
        command = [sys.executable, "-m", "benchmarks.chaos_roles", "reference", str(base)]
        subprocess.run(command, check=True, env=child_environment(), cwd=Path(__file__).resolve().parent.parent)
    else:
        Workspace.open(base / "template").engine.dispose()
    expected = dict(read_json(base / "expected.json")) if real else {}
    for name, spec in wanted.items():
        if spec.kind == "count":
            digest = link("", spec.config["seed"])
            for step in range(1, UPTO + 1):
                digest = link(digest, step)
            expected[name] = {"counted": UPTO, "digest": digest, "seed": spec.config["seed"]}
    return expected


def _reference(base: Path) -> None:
    import shutil

    from benchmarks.tiny import make_tiny_workspace
    from pituning.runs import jobs
    from pituning.tuning.run import tune

    made = make_tiny_workspace(base / "template")
    made.engine.dispose()
    alone = Workspace(shutil.copytree(base / "template", base / "alone"), embedded=None)
    expected = {}
    for name, document in read_json(base / "wanted.json").items():
        spec = RunSpec.from_json(document)
        directory = base / "checkpoints" / name
        directory.mkdir(parents=True)
        job = {"tune": tune, "train": jobs.train}[spec.kind]
        result = job(spec.settings(), alone, Silent(), directory)
        write_json(directory / "result.json", result)
        expected[name] = final_words(alone, spec.kind, read_json(directory / "result.json"))
    write_json(base / "expected.json", expected)


def _app(workspace: Workspace) -> None:
    """Looks at the queue as the Runs page does, and makes sure that somebody works on it."""
    queue = RunQueue(workspace)
    while True:
        try:
            if any(run.active for run in queue.list(limit=200)):
                ensure_supervisor(workspace, idle_s=600, slots=3)
        except PiTuningError as error:
            print(error, flush=True)
        time.sleep(0.5)


def _enqueue(workspace: Workspace, runs: int) -> None:
    """Queues what is not queued yet, as far as is allowed by now."""
    queue, base = RunQueue(workspace), workspace.root.parent.parent
    wanted = {name: RunSpec.from_json(document) for name, document in read_json(base / "wanted.json").items()}
    tuned = sum(spec.kind == "tune" for spec in wanted.values())
    wanted = specs(runs, tuned=tuned, trained=len(wanted) - tuned)
    while True:
        try:
            known = {run.name for run in queue.list(limit=10_000)}
            missing = [name for name in wanted if name not in known]
            if not missing:
                return
            if len(known) < int((base / "allowed").read_text() or 0):
                queue.submit(wanted[missing[0]], name=missing[0], max_attempts=ATTEMPTS)
        except (PiTuningError, ValueError) as error:
            print(error, flush=True)
        time.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """One part: ``app``, ``enqueue`` or ``reference``."""
    role, where = arguments
    if role == "reference":
        _reference(Path(where))
    elif role == "app":
        _app(Workspace(Path(where), embedded=None))
    else:
        _enqueue(Workspace(Path(where), embedded=None), int(os.environ["PITUNING_CHAOS_RUNS"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
