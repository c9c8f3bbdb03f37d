"""The parts that `benchmarks.chaos` lets play: the app, whoever queues runs, and the trial that nobody disturbs."""

from __future__ import annotations

import json
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
from pituning.runs.records import AlphaPoint, CurvePoint
from pituning.runs.reporter import MEMORY
from pituning.runs.spec import RunSpec
from pituning.runs.supervisor import ensure_supervisor
from pituning.workspace.atomic import read_json, sha256_file, write_json
from pituning.workspace.bounded import child_environment
from pituning.workspace.layout import Workspace

UPTO, PAUSE = 60, 0.05
TIMED = {"examples_per_second"}
"""Curves of the clock, of which no two are the same; so is the series of the process's memory."""

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
            config = {"task": "mood-b", "shots": 8, "steps": 300, "batch_size": 6, "seed": number}
            spec = RunSpec(kind="train", config=config)
        else:
            spec = RunSpec(kind="count", config={"upto": UPTO, "pause": PAUSE, "seed": number})
        made[f"chaos {number}"] = spec
    return made


class Curves(Silent):
    """A reporter that keeps what is told of curves and weights."""

    def __init__(self) -> None:
        self.points: list[CurvePoint] = []
        self.alphas: list[AlphaPoint] = []

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self.points += [CurvePoint(series, step, name, float(value)) for name, value in values.items()]

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self.alphas.append(AlphaPoint(step, tuple(sites), tuple(experts), tuple(map(tuple, weights))))


def curves_json(points: Sequence[CurvePoint], alphas: Sequence[AlphaPoint]) -> dict[str, Any]:
    """All points but those of the clock, each curve in order of its steps, and the weights, as JSON has them."""
    kept = [point for point in points if point.series != MEMORY[0] and point.name not in TIMED]
    curves = sorted([point.series, point.name, point.step, point.value] for point in kept)
    weights = sorted([alpha.step, alpha.sites, alpha.experts, alpha.weights] for alpha in alphas)
    return {"curves": json.loads(json.dumps(curves)), "weights": json.loads(json.dumps(weights))}


def final_words(workspace: Workspace, run_kind: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same whatever happened on the way: the result, and the tensors of the expert it made."""
    kept = {key: value for key, value in result.items() if key != "run"}
    if run_kind in ("train", "tune"):
        expert = workspace.zoo().new_expert_dir("lora", str(result.get("expert")))
        kept["sha256"] = sha256_file(expert / "adapter_model.safetensors")
    return kept


def reference(base: Path, wanted: Mapping[str, RunSpec]) -> dict[str, Any]:
    """The results and curves of a trial that nobody disturbs. Leaves ``base/template``, the workspace to start from.

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
            points = [CurvePoint("count", step, "value", float(step)) for step in range(1, UPTO + 1)]
            words = {"counted": UPTO, "digest": digest, "seed": spec.config["seed"]}
            expected[name] = {**words, **curves_json(points, [])}
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
        curves = Curves()
        result = job(spec.settings(), alone, curves, directory)
        write_json(directory / "result.json", result)
        words = final_words(alone, spec.kind, read_json(directory / "result.json"))
        expected[name] = {**words, **curves_json(curves.points, curves.alphas)}
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
                queue.submit(wanted[missing[0]], name=missing[0])
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
