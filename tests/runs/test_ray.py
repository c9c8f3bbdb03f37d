"""Runs on a real Ray cluster of two nodes, with a real PostgreSQL server; one node dies."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from pituning.errors import BadInput
from pituning.runs import supervisor as supervisor_module
from pituning.runs.counting import link
from pituning.runs.executors.base import ClusterError
from pituning.runs.executors.choice import EXECUTOR_VARIABLE, make_executor
from pituning.runs.executors.local import LocalExecutor
from pituning.runs.executors.ray import ADDRESS_VARIABLE, RayConfig, RayExecutor, job_environment, job_name
from pituning.runs.processes import WORKER_MODULE
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.runs.study_configs import TransferRun, ZooRun
from pituning.runs.supervisor import Supervisor
from pituning.tasks.saved import save_task
from pituning.workspace.database import DATABASE_VARIABLE
from pituning.workspace.layout import Workspace
from pituning.workspace.transfer import read_rows
from tests.conftest import lacking, make_text_task
from tests.runs.ray_cluster import LocalRay, kill_all

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
PATIENCE = 240.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    if find_spec("ray") is None:
        lacking("Ray is not installed: pip install 'ray[default]'")
    made = LocalRay()
    try:
        made.add_nodes(2)
        yield made
    finally:
        made.close()


@pytest.fixture
def supervisor(cluster: LocalRay, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(ADDRESS_VARIABLE, cluster.address)
    monkeypatch.setenv(EXECUTOR_VARIABLE, "ray")
    return Supervisor(workspace, executor=make_executor(workspace, gpus=0))


def count(queue: RunQueue, seed: int, *, upto: int, pause: float = 0.05) -> str:
    config = {"upto": upto, "pause": pause, "checkpoint_every": 5, "seed": seed}
    return queue.submit(RunSpec(kind="count", config=config))


def counted(queue: RunQueue, run_id: str) -> list[int]:
    """The curve of a run that counts."""
    points = [point for point in queue.curves_of(run_id) if point.series == "count"]
    assert all(point.value == point.step for point in points)
    return [point.step for point in points]


def digest(seed: int, upto: int) -> str:
    """What a run that counted every step once and in order ends with."""
    found = link("", seed)
    for step in range(1, upto + 1):
        found = link(found, step)
    return found


def step_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, [
            (run.id, run.state, run.attempt, run.error, [e.message for e in supervisor.queue.events_of(run.id)])
            for run in supervisor.queue.list()
        ]
        supervisor.step()
        time.sleep(0.5)


def workers_of(process: psutil.Process) -> dict[str, psutil.Process]:
    """The workers on that node by what they run."""
    found = {}
    for child in process.children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if WORKER_MODULE in words:
            found[words[words.index(WORKER_MODULE) + 1]] = child
    return found


@on_postgresql
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_is_done_on_the_cluster_and_its_log_comes_back(supervisor: Supervisor, workspace: Workspace) -> None:
    queue = supervisor.queue
    run_id = count(queue, 3, upto=5)
    step_until(supervisor, lambda: not queue.get(run_id).active)
    supervisor.step()

    run = queue.get(run_id)
    assert (run.state, run.attempt) == ("succeeded", 1)
    assert "attempt 1 begins in slot ray" in [event.message for event in queue.events_of(run_id)]
    assert queue.result_of(run_id)["digest"] == digest(3, 5)
    log = queue.log_of(run_id)
    assert f"Ray job {job_name(run.claim)}" in log
    assert f"run {run_id}: succeeded" in log
    assert counted(queue, run_id) == [1, 2, 3, 4, 5]


@on_postgresql
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_the_cluster_is_cancelled(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "TERM_SECONDS", 1.0)
    queue = supervisor.queue
    running = [count(queue, seed, upto=3000) for seed in range(2)]
    step_until(supervisor, lambda: all(queue.get(run_id).done > 0 for run_id in running))
    waiting = count(queue, 9, upto=5)  # both nodes are taken: it waits in Ray
    step_until(supervisor, lambda: queue.get(waiting).state == "running")

    for run_id in (waiting, *running):
        queue.cancel(run_id)
    step_until(supervisor, lambda: all(queue.get(run_id).state == "cancelled" for run_id in (waiting, *running)))

    assert queue.get(waiting).pid is None


@on_postgresql
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_runs_survive_the_death_of_a_node(supervisor: Supervisor, cluster: LocalRay, workspace: Workspace) -> None:
    queue = supervisor.queue
    # The first of each node takes long enough to be found at work; the others keep nobody waiting.
    runs = {count(queue, seed, upto=20, pause=0.5 if seed < 2 else 0.05): seed for seed in range(10)}
    victim, survivor = cluster.nodes
    caught: list[str] = []

    def caught_at_work() -> bool:
        """Whether both nodes work and the victim's worker, which has left a checkpoint, was stopped before its end."""
        spared = workers_of(survivor)
        for run_id, worker in workers_of(victim).items() if spared else ():
            with suppress(psutil.NoSuchProcess):
                worker.suspend()
                if (run := queue.get(run_id)).state == "running" and run.done > 6:
                    caught.append(run_id)
                else:
                    worker.resume()
        return bool(caught)

    step_until(supervisor, caught_at_work)
    (struck,), spared = caught, list(workers_of(survivor))
    done = [run.id for run in queue.list(states=["succeeded"])]
    kill_all(victim)
    cluster.nodes.remove(victim)

    # A new supervisor, as after a restart of its host: it finds the jobs again.
    following = Supervisor(workspace, executor=make_executor(workspace, gpus=0))
    step_until(following, lambda: not any(run.active for run in queue.list()))

    assert {run.id: run.state for run in queue.list()} == dict.fromkeys(runs, "succeeded")
    for run_id, seed in runs.items():
        assert queue.result_of(run_id)["digest"] == digest(seed, 20)
        assert counted(queue, run_id) == list(range(1, 21)), "each step once, in order"
    attempts = {run_id: queue.get(run_id).attempt for run_id in runs}
    assert attempts[struck] == 2
    assert {attempts[run_id] for run_id in (*spared, *done)} == {1}
    # Until Ray notices that a node is dead, it may still place a job there, which then has to be placed again.
    assert max(attempts.values()) == 2, {run_id: queue.events_of(run_id) for run_id in runs}


@on_postgresql
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_zoo_is_built_and_measured_on_the_cluster(
    supervisor: Supervisor, workspace: Workspace, tiny_backbone_dir: Path
) -> None:
    """Studies are runs like others: their tables come out as those of a worker beside the queue."""
    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "tiny")
    tasks, queue = ("mood-a", "mood-b", "mood-c"), supervisor.queue
    for name in tasks:
        save_task(replace(make_text_task(), name=name), workspace)
    build = ZooRun(backbone="tiny", tasks=tasks, steps=2, batch_size=4, fisher_examples=4, test_examples=4)
    measure = TransferRun(backbone="tiny", tasks=tasks[:1], shots=(0, 2), steps=2, test_examples=4, processes=1)
    for kind, config in (("zoo", build), ("transfer", measure)):
        run_id = queue.submit(RunSpec.of(kind, config))
        step_until(supervisor, lambda run_id=run_id: not queue.get(run_id).active)
        assert queue.get(run_id).state == "succeeded", queue.log_of(run_id)
        assert f"Ray job {job_name(queue.get(run_id).claim)}" in queue.log_of(run_id)

    zoo = workspace.zoo("tiny")
    assert zoo.similarity("lora", "probe").names == tasks
    assert (
        len(read_rows(zoo.transfer_path("lora"))) == 2 * 3
    )  # zero and two shots; from no donor and from the two others


def test_the_password_of_the_database_does_not_go_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://studio:geheim@db.example.org:5433/studio?sslmode=require")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "geheim")

    given = job_environment()

    assert given[DATABASE_VARIABLE] == "postgresql://studio@db.example.org:5433/studio?sslmode=require"
    assert "geheim" not in str(given)


def test_sqlite_is_refused(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match=f"needs PostgreSQL.*{DATABASE_VARIABLE}"):
        RayExecutor(workspace, RayConfig(address="http://127.0.0.1:1"))


@on_postgresql
def test_a_cluster_that_does_not_answer_is_told(workspace: Workspace) -> None:
    with pytest.raises(ClusterError, match=r"at http://127.0.0.1:1 cannot be asked .*is its head node up"):
        RayExecutor(workspace, RayConfig(address="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("name", "environment", "options", "says"),
    [
        ("slurm", {}, {}, "executor 'slurm' is unknown; choose local or ray"),
        (None, {EXECUTOR_VARIABLE: "Ray"}, {}, "executor 'Ray' is unknown"),
        ("ray", {}, {}, f"needs {ADDRESS_VARIABLE}"),
        ("ray", {ADDRESS_VARIABLE: "head:8265"}, {}, "'head:8265'; give the address"),
        ("ray", {ADDRESS_VARIABLE: "http://head:8265", "PITUNING_RAY_GPUS": "two"}, {}, "PITUNING_RAY_GPUS is 'two'"),
        ("ray", {ADDRESS_VARIABLE: "http://head:8265"}, {"gpus": -1.0}, "cannot have -1.0 GPUs"),
        ("local", {}, {"gpus": 1.0}, "gpus is for the executor ray"),
    ],
)
def test_what_is_not_set_up_is_told(workspace: Workspace, monkeypatch, name, environment, options, says) -> None:
    for variable in (EXECUTOR_VARIABLE, ADDRESS_VARIABLE, "PITUNING_RAY_GPUS"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    with pytest.raises(BadInput) as caught:
        make_executor(workspace, name, **options)

    assert says in str(caught.value)


def test_this_machine_is_the_default(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EXECUTOR_VARIABLE, raising=False)

    assert isinstance(make_executor(workspace, slots=3), LocalExecutor)
    assert len(make_executor(workspace, slots=3).places) == 3
