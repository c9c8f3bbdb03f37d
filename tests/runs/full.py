"""A workspace with something of everything, and what is in a workspace, to be compared."""

from __future__ import annotations

import hashlib

import numpy as np

from pituning.experts.card import TENSORS, ExpertCard, write_card
from pituning.runs.queue import RunQueue
from pituning.runs.records import AlphaPoint, CurvePoint
from pituning.runs.rows import rows_of
from pituning.runs.spec import RunSpec
from pituning.tasks.saved import save_task
from pituning.workspace.atomic import write_bytes, write_json
from pituning.workspace.similarity import ZooSimilarity, save_similarity
from tests.conftest import make_text_task

NAMES = ("nli", "moods", "rte")


def make_full(workspace):
    """Fills a workspace: a task, its expert, its place in a graph, and a run that has succeeded and made an expert."""
    queue = RunQueue(workspace)
    save_task(make_text_task(name="moods", train=6, test=3), workspace)
    zoo = workspace.zoo()
    for name, task in (("moods", "moods"), ("moods-pi-16-shot-0", "moods")):
        folder = zoo.new_expert_dir("lora", name)
        write_bytes(folder / TENSORS, name.encode())
        write_card(ExpertCard(name=name, kind="lora", task=task, config={}, backbone="mini", fingerprint=""), folder)
    write_bytes(zoo.new_embedding_path("lora", "own", "moods"), b"embedding")
    measure(workspace, 0.1)
    queue.submit(RunSpec(kind="tune", config={"target": "moods"}))
    claim = queue.claim("me").claim
    queue.report(
        claim, progress={"phase": "train"}, metrics=[CurvePoint("pi", n, "loss", 0.1 / n) for n in (1, 2)],
        alphas=[AlphaPoint(1, ("a",), ("x", "y"), ((0.25, 0.75),))],
    )  # fmt: skip
    path = workspace.run_dir(claim.run_id) / "result.json"
    write_json(path, {"score": 1.0})
    queue.finish(claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
    return workspace


def measure(workspace, value):
    matrix = np.full((3, 3), value) + np.eye(3)
    similarity = ZooSimilarity(names=NAMES, matrix=matrix, replicates=matrix[None])
    save_similarity(workspace.zoo().new_similarity_path("lora", "probe"), similarity)


def files(workspace):
    return {
        str(path.relative_to(workspace.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in workspace.root.rglob("*")
        if path.is_file() and path.relative_to(workspace.root).parts[0] != "bin" and "studio.db" not in path.name
    }


def rows(workspace):
    queue = RunQueue(workspace)
    with queue._reading() as connection:
        found = [rows_of(connection, run.id) for run in queue.list()]
    for each in found:
        each["events"] = [row["message"] for row in each["events"] if "restored" not in row["message"]]
        each["metrics"] = [(row["step"], row["value"]) for row in each["metrics"]]
        each["alphas"] = [(row["step"], row["data"]) for row in each["alphas"]]
    return found
