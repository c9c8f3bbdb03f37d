"""Runs seen from the command line; a thread plays the worker, so no process starts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from pituning.commands import follow
from pituning.runs import supervisor
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.workspace.atomic import write_json
from pituning.workspace.database import writing
from pituning.workspace.layout import Workspace
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "ensure_supervisor", lambda *_, **__: False)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(Workspace, "backbone_dir", lambda *_: None)


def play_worker(workspace: Workspace, end: str) -> threading.Thread:
    """Takes the next run and ends it in the given way."""

    def work() -> None:
        queue = RunQueue(workspace)
        run = None
        while run is None:
            time.sleep(0.02)
            run = queue.claim("thread")
        queue.report(run.claim, progress={"phase": "train", "done": 1, "total": 2, "eta_s": 3.0})
        time.sleep(0.1)
        if end == "done":
            path = workspace.run_dir(run.id) / "result.json"
            result = {"expert": "e", "task": "nli", "kind": "lora", "examples": 4, "score": 71.25, "run": run.id}
            write_json(path, result)
            queue.finish(run.claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
        elif end == "failed":
            queue.finish(run.claim, "failed", error="loss is nan at step 3; choose a smaller learning rate")
        else:
            while not queue.report(run.claim, progress={"phase": "train"}):
                time.sleep(0.02)
            queue.finish(run.claim, "cancelled")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_run_is_followed_to_its_result(pituning: Run, workspace: Workspace) -> None:
    play_worker(workspace, "done")
    outcome = pituning("experts", "train", "nli", "--shots", "1", "--json")
    assert outcome.code == 0
    assert outcome.json["score"] == 71.25
    run_id = outcome.json["run"]
    assert pituning("runs", "list", "--json").json["runs"][0]["state"] == "succeeded"
    shown = pituning("runs", "show", run_id, "--json").json
    assert shown["result"]["score"] == 71.25
    assert shown["command"].startswith("pituning experts train nli --kind lora --shots 1")
    assert "71.25" in pituning("runs", "show", run_id).out
    assert run_id in pituning("runs", "list").out


def test_a_failed_run_says_why_and_exits_with_1(pituning: Run, workspace: Workspace) -> None:
    play_worker(workspace, "failed")
    outcome = pituning("experts", "train", "nli", "--json")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.strip().splitlines()[-1].endswith("loss is nan at step 3; choose a smaller learning rate")


def test_ctrl_c_cancels_the_run(pituning: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = play_worker(workspace, "cancelled")
    show = follow.StatusLine.show

    def interrupted_once_it_trains(self: follow.StatusLine, words: str, fraction: float | None) -> None:
        show(self, words, fraction)
        if words.startswith("train"):
            raise KeyboardInterrupt

    monkeypatch.setattr(follow.StatusLine, "show", interrupted_once_it_trains)
    outcome = pituning("experts", "train", "nli", "--json")
    worker.join(5)
    assert outcome.code == 1
    assert "interrupted" in outcome.err
    assert [run.state for run in RunQueue(workspace).list()] == ["cancelled"]


def test_queued_runs_can_be_cancelled_resumed_and_retried(pituning: Run, workspace: Workspace) -> None:
    run_id = RunQueue(workspace).submit(RunSpec(kind="train", config={"task": "nli"}))
    assert pituning("runs", "cancel", run_id, "--json").json == {"run": run_id, "state": "cancelled"}
    for verb in ("resume", "retry"):
        assert pituning("runs", verb, run_id, "--detach", "--json").json == {"run": run_id}
        assert RunQueue(workspace).get(run_id).state == "queued"
        outcome = pituning("runs", verb, run_id, "--detach")
        assert outcome.code == 2
        pituning("runs", "cancel", run_id)
    assert pituning("runs", "list", "--state", "queued", "--json").json["runs"] == []


def test_logs(pituning: Run, workspace: Workspace) -> None:
    run_id = RunQueue(workspace).submit(RunSpec(kind="train", config={"task": "nli"}))
    directory = workspace.run_dir(run_id)
    directory.mkdir(parents=True)
    (directory / "log.txt").write_text("one\ntwo\nthree\n")
    assert pituning("runs", "logs", run_id, "-n", "2").out == "two\nthree\n"
    assert pituning("runs", "logs", run_id, "--json").json["log"] == "one\ntwo\nthree"


def test_a_run_that_has_ended_can_be_deleted(pituning: Run, workspace: Workspace) -> None:
    run_id = RunQueue(workspace).submit(RunSpec(kind="train", config={"task": "nli"}))
    outcome = pituning("runs", "delete", run_id)
    assert outcome.code == 2
    assert f"run '{run_id}' is queued; cancel it first: pituning runs cancel {run_id}" in outcome.error
    pituning("runs", "cancel", run_id)
    outcome = pituning("runs", "delete", run_id)
    assert outcome.code == 2
    assert f"Delete run {run_id}? Give --yes" in outcome.error
    deleted = pituning("runs", "delete", run_id, "--yes", "--json").json
    assert deleted == {"run": run_id, "deleted": True, "expert": None, "bin": deleted["bin"]}
    assert pituning("runs", "list", "--json").json["runs"] == []


def test_a_sweep_is_one_batch_that_can_be_cancelled(pituning: Run, workspace: Workspace) -> None:
    made = pituning(
        "runs", "sweep", "nli,rte", "--kinds", "lora,prefix", "--shots", "4", "--seeds", "0,1", "--set", "steps=20",
        "--batch", "first", "--priority", "2", "--json",
    ).json  # fmt: skip
    queue = RunQueue(workspace)
    waiting = queue.waiting()
    assert made == {"batch": "first", "runs": [run.id for run in waiting]}
    assert [(r.spec.config["target"], r.spec.config["kind"], r.spec.config["seed"]) for r in waiting] == [
        (target, kind, seed) for target in ("nli", "rte") for kind in ("lora", "prefix") for seed in (0, 1)
    ]
    assert {(r.priority, r.batch, r.spec.config["steps"], r.spec.config["shots"]) for r in waiting} == {
        (2, "first", 20, 4)
    }  # fmt: skip
    other = queue.submit(RunSpec(kind="train", config={"task": "nli"}))
    listed = pituning("runs", "list", "--batch", "first", "--json").json
    assert {run["id"] for run in listed["runs"]} == set(made["runs"])
    assert listed["held_up"] is None
    assert set(pituning("runs", "cancel", "--batch", "first", "--json").json["states"].values()) == {"cancelled"}
    assert queue.get(other).state == "queued"
    for arguments, message in (
        (("sweep", "nli,rtee"), "did you mean 'rte'"),
        (("sweep", "nli", "--seeds", "0,a"), "seeds is '0,a'; give whole numbers"),
        (("cancel",), "give the id of a run, or --batch"),
        (("cancel", "--batch", "nope"), "there is no batch 'nope'"),
    ):
        outcome = pituning("runs", *arguments)
        assert outcome.code == 2
        assert message in outcome.error


def test_the_order_and_a_pause(pituning: Run, workspace: Workspace) -> None:
    queue = RunQueue(workspace)
    first, second = (queue.submit(RunSpec(kind="train", config={"task": task})) for task in ("nli", "rte"))
    assert pituning("runs", "move", second, "--json").json == {"run": second, "place": 1}
    assert pituning("runs", "priority", first, "3", "--json").json == {"run": first, "priority": 3, "place": 1}
    assert "starts in a moment" in pituning("runs", "show", first).out
    pituning("runs", "pause", "--reason", "the GPU is lent")
    assert queue.claim("me") is None
    outcome = pituning("runs", "list")
    assert "nothing is taken: the queue is paused (the GPU is lent)" in outcome.err
    assert pituning("runs", "list", "--json").json["runs"][0]["waits"].startswith("the queue is paused")
    pituning("runs", "unpause")
    claimed = queue.claim("me")
    assert claimed is not None
    assert claimed.id == first


def test_duplicate(pituning: Run, workspace: Workspace) -> None:
    queue = RunQueue(workspace)
    run_id = queue.submit(RunSpec(kind="tune", config={"target": "nli", "shots": 4}))
    made = pituning("runs", "duplicate", run_id, "--set", "shots=8", "--set", "baselines=single,full", "--json").json
    expected = {"target": "nli", "shots": 8, "baselines": ["single", "full"], "backbone": "mini"}
    assert dict(queue.get(made["run"]).spec.config) == expected
    outcome = pituning("runs", "duplicate", run_id, "--set", "shots=0")
    assert (outcome.code, "shots is 0" in outcome.error) == (2, True)


def test_extend(pituning: Run, workspace: Workspace) -> None:
    queue = RunQueue(workspace)
    run_id = queue.submit(RunSpec(kind="tune", config={"target": "nli", "baselines": ["single"]}))
    outcome = pituning("runs", "extend", run_id, "--baselines", "full", "--detach")
    assert (outcome.code, "is queued; more can be added" in outcome.error) == (2, True)
    claimed = queue.claim("me")
    assert claimed is not None
    queue.finish(claimed.claim, "succeeded")
    made = pituning("runs", "extend", run_id, "--baselines", "full,bitfit", "--detach", "--json").json
    assert queue.get(made["run"]).spec.config["baselines"] == ["single", "full", "bitfit"]


def test_a_failure_shows_its_class_and_mend(pituning: Run, workspace: Workspace) -> None:
    queue = RunQueue(workspace)
    run_id = queue.submit(RunSpec(kind="train", config={"task": "nli"}))
    claimed = queue.claim("me")
    assert claimed is not None
    queue.finish(claimed.claim, "failed", failure="out_of_memory", error="32 do not fit", fix="a batch of 8 fits")
    shown = pituning("runs", "show", run_id)
    assert "out_of_memory" in shown.out
    assert "a batch of 8 fits" in shown.out
    assert pituning("runs", "show", run_id, "--json").json["failure"] == "out_of_memory"


def test_worker_ends_when_idle(pituning: Run) -> None:
    assert pituning("worker", "--idle", "0").code == 0


@pytest.mark.slow
def test_ctrl_c_ends_the_worker_quietly(workspace: Workspace) -> None:
    process = subprocess.Popen([sys.executable, "-m", "pituning.cli", "worker"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("working on the queue of")
    while not supervisor.supervisor_running(workspace):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_a_run_of_any_kind_is_queued_by_its_settings(pituning: Run, workspace: Workspace) -> None:
    done = pituning("runs", "submit", "count", "--set", "upto=3", "--detach", "--json")
    run = RunQueue(workspace).get(done.json["run"])
    assert (run.kind, run.spec.config["upto"]) == ("count", 3)
    wrong = pituning("runs", "submit", "counts", "--set", "upto=3")
    assert "unknown run kind 'counts'; did you mean count?" in wrong.error


def test_a_cut_list_says_so_and_a_damaged_run_is_in_it(pituning: Run, workspace: Workspace) -> None:
    queue = RunQueue(workspace)
    spec = RunSpec(kind="train", config={"task": "nli", "shots": 4})
    ids = queue.submit_all([spec] * 3)
    with writing(workspace.engine) as connection:
        connection.exec_driver_sql("UPDATE runs SET spec = '{half' WHERE id = ?", (ids[2],))
    told = pituning("runs", "list", "--limit", "2")
    assert "newest 2 of 3 runs; all: --limit 3" in told.err
    assert f"pituning runs delete {ids[2]}" in told.out.replace("\n", " ")
    whole = pituning("runs", "list", "--json").json
    assert (whole["total"], [run["damage"] is None for run in whole["runs"]]) == (3, [False, True, True])
    assert "its spec cannot be read" in pituning("runs", "show", ids[2]).out
    pituning("runs", "cancel", ids[2])
    assert pituning("runs", "delete", ids[2], "--yes").code == 0
    assert len(queue.list()) == 2
