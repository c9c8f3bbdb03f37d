"""A run that was killed, again and again, ends in the same numbers as one that was not."""

from __future__ import annotations

import shutil
import time

import pytest

from benchmarks.chaos_roles import SMALL, curves_json, final_words
from benchmarks.tiny import make_tiny_workspace
from pituning.runs import processes
from pituning.runs.counting import link
from pituning.runs.executors.local import LocalExecutor
from pituning.runs.queue import RunQueue
from pituning.runs.slots import Slot
from pituning.runs.spec import RunSpec
from pituning.runs.supervisor import Supervisor
from pituning.workspace.layout import DATA_VARIABLE, Workspace


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    made = make_tiny_workspace(tmp_path_factory.mktemp("tiny") / "template")
    made.engine.dispose()
    return made.root


@pytest.fixture
def outcome(template, tmp_path, monkeypatch):
    """Does a run in a new workspace, killed as told; gives what must be the same, and the run."""
    monkeypatch.setenv(DATA_VARIABLE, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(processes, "WORKER_MODULE", "tests.runs.killed_worker")

    def do(spec: RunSpec, kill_after: str):
        monkeypatch.setenv("KILL_AFTER", kill_after)
        workspace = Workspace(shutil.copytree(template, tmp_path / f"ws-{kill_after or 'whole'}"), embedded=None)
        queue = RunQueue(workspace)
        run_id = queue.submit(spec, max_attempts=9)
        supervisor = Supervisor(workspace, executor=LocalExecutor(workspace, slots=[Slot("cpu 0")]))
        while supervisor.step():
            time.sleep(0.1)
        run = queue.get(run_id)
        assert run.state == "succeeded", queue.log_of(run_id)
        return final_words(workspace, spec.kind, queue.result_of(run_id)), run, queue

    return do


def curves(queue, run):
    return curves_json(queue.curves_of(run.id), queue.alphas_of(run.id))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("spec", "kill_after"),
    [
        # One attempt each: while it searches, while it trains, while it tests; then it is left alone.
        (RunSpec(kind="tune", config={"target": "mood-a", **SMALL}), "8,12,16"),
        # After two checkpoints of 25 steps, then after one more, each time between two of them.
        (RunSpec(kind="train", config={"task": "mood-b", "shots": 8, "steps": 110, "batch_size": 6}), "60,50"),
    ],
    ids=["tune", "train"],
)
def test_a_killed_run_ends_in_the_same_numbers(outcome, spec, kill_after):
    whole, run, queue = outcome(spec, "")
    whole_curves = curves(queue, run)
    assert run.attempt == 1
    resumed, run, queue = outcome(spec, kill_after)
    assert run.attempt == kill_after.count(",") + 2
    assert resumed == whole
    assert curves(queue, run) == whole_curves
    if spec.kind == "train":
        steps = [point.step for point in queue.curves_of(run.id) if (point.series, point.name) == ("single", "loss")]
        assert steps == sorted(set(steps))  # curves have no step twice
        assert steps[-1] == 110


@pytest.mark.slow
def test_counting_is_the_same_through_kills_and_a_damaged_checkpoint(outcome):
    spec = RunSpec(kind="count", config={"upto": 12, "pause": 0.0, "seed": 3})
    actual, run, _ = outcome(spec, "4,9,3")
    digest = link("", 3)
    for step in range(1, 13):
        digest = link(digest, step)
    assert actual == {"counted": 12, "digest": digest, "seed": 3}
    assert run.attempt == 4
