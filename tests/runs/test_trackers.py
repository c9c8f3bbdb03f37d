"""Trackers against the programs that read them: TensorBoard's own reader, and MLflow's own store and client."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pituning.errors import RunCancelled, RunFailed
from pituning.progress import Silent
from pituning.runs.queue import RunQueue
from pituning.runs.records import Run
from pituning.runs.spec import RunSpec
from pituning.runs.trackers import following
from pituning.runs.trackers.following import TRACKERS_VARIABLE, followed
from pituning.runs.trackers.mlflow import EXPERIMENT, URI_VARIABLE
from pituning.runs.trackers.tensorboard import DIRECTORY_VARIABLE
from pituning.workspace.layout import Workspace


class Logging(Silent):
    """A reporter that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def run(queue: RunQueue) -> Run:
    queue.submit(RunSpec(kind="train", config={"task": "digits", "shots": 4, "name": "quick"}), name="a quick one")
    taken = queue.claim("somebody")
    assert taken is not None
    return taken


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TRACKERS_VARIABLE, DIRECTORY_VARIABLE, URI_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv(TRACKERS_VARIABLE, "mlflow")
    monkeypatch.setenv(URI_VARIABLE, uri)
    return MlflowClient(uri)


def curve(reporter, first: int, last: int) -> None:
    for step in range(first, last + 1):
        reporter.curve("pi", step, {"loss": 1 / step})
        reporter.alpha(
            step, ["encoder", "decoder"], ["own", "nli"], [[0.75, 0.25], [0.25 + step / 100, 0.75 - step / 100]]
        )
    reporter.curve("single", last, {"score": 61.5})


def read(directory: Path) -> EventAccumulator:
    found = EventAccumulator(str(directory), purge_orphaned_data=True)
    found.Reload()
    return found


def again(queue: RunQueue, run: Run) -> Run:
    """The next attempt of a run whose worker is gone."""
    queue.lost(run.claim, "gone")
    taken = queue.claim("somebody else")
    assert taken is not None
    assert (taken.id, taken.attempt) == (run.id, 2)
    return taken


def test_nothing_is_on_by_default(workspace: Workspace, run: Run) -> None:
    reporter = Logging()
    with followed(run, workspace, reporter) as given:
        assert given is reporter
        curve(given, 1, 3)

    assert not (workspace.root / "tensorboard").exists()


def test_tensorboard_reads_the_curves(workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACKERS_VARIABLE, "tensorboard")
    before = time.time()
    with followed(run, workspace, Logging()) as reporter:
        curve(reporter, 1, 5)

    directory = workspace.root / "tensorboard" / run.id
    loss = read(directory / "pi").Scalars("loss")
    assert [event.step for event in loss] == [1, 2, 3, 4, 5]
    assert [event.value for event in loss] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert before <= loss[0].wall_time <= loss[-1].wall_time <= time.time()
    assert [event.value for event in read(directory / "single").Scalars("score")] == [61.5]
    # Mean over the two sites: (0.75 + 0.25 + step / 100) / 2.
    own = read(directory / "alpha").Scalars("own")
    assert [event.value for event in own] == pytest.approx([0.5 + step / 200 for step in range(1, 6)])
    (settings,) = read(directory).Tensors("settings")
    assert b"pituning experts train digits" in settings.tensor_proto.string_val[0]


def test_tensorboard_forgets_what_a_later_attempt_does_again(
    workspace: Workspace, queue: RunQueue, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACKERS_VARIABLE, "tensorboard")
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "elsewhere"))
    with followed(run, workspace, Logging()) as reporter:
        curve(reporter, 1, 5)
    with followed(again(queue, run), workspace, Logging()) as reporter:
        curve(reporter, 4, 6)  # from the checkpoint of step 3

    loss = read(tmp_path / "elsewhere" / run.id / "pi").Scalars("loss")
    assert [event.step for event in loss] == [1, 2, 3, 4, 5, 6]
    assert not (workspace.root / "tensorboard").exists()


@pytest.mark.slow
def test_mlflow_has_settings_curves_and_outcome(
    workspace: Workspace, run: Run, mlflow_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Logging()
    with followed(run, workspace, reporter) as given:
        curve(given, 1, 5)

    assert reporter.lines == []
    experiment = mlflow_store.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (kept,) = mlflow_store.search_runs([experiment.experiment_id])
    assert kept.info.run_name == "a quick one"
    assert kept.info.status == "FINISHED"
    assert kept.data.tags["pituning.run"] == run.id
    assert kept.data.params == {"task": "digits", "shots": "4", "name": "quick", "backbone": "mini"}
    loss = sorted(mlflow_store.get_metric_history(kept.info.run_id, "pi/loss"), key=lambda metric: metric.step)
    assert [(metric.step, metric.value) for metric in loss] == [(step, 1 / step) for step in range(1, 6)]
    assert kept.data.metrics["single/score"] == 61.5
    assert kept.data.metrics["alpha/own"] == pytest.approx(0.525)


@pytest.mark.slow
def test_mlflow_goes_on_in_the_same_run(
    workspace: Workspace, queue: RunQueue, run: Run, mlflow_store: MlflowClient
) -> None:
    with pytest.raises(RunFailed), followed(run, workspace, Logging()) as reporter:
        curve(reporter, 1, 2)
        raise RunFailed("loss is NaN at step 3; choose a smaller learning rate")
    experiment = mlflow_store.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    (failed,) = mlflow_store.search_runs([experiment.experiment_id])
    assert failed.info.status == "FAILED"
    assert failed.data.tags["pituning.error"].startswith("loss is NaN at step 3")

    with pytest.raises(RunCancelled), followed(again(queue, run), workspace, Logging()) as reporter:
        curve(reporter, 3, 4)
        raise RunCancelled("asked to stop")

    (kept,) = mlflow_store.search_runs([experiment.experiment_id])
    assert kept.info.run_id == failed.info.run_id
    assert kept.info.status == "KILLED"
    steps = sorted(metric.step for metric in mlflow_store.get_metric_history(kept.info.run_id, "pi/loss"))
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("chosen", "uri", "says"),
    [
        ("wandb", None, "tracker wandb: PITUNING_TRACKERS names it, but there are only mlflow, tensorboard"),
        ("mlflow", None, "tracker mlflow: no MLflow server is named; set MLFLOW_TRACKING_URI"),
        ("mlflow", "http://127.0.0.1:9", "tracker mlflow: "),
    ],
)
def test_a_tracker_that_fails_is_told_of_once_and_harms_nobody(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch, chosen: str, uri: str | None, says: str
) -> None:
    monkeypatch.setenv(TRACKERS_VARIABLE, f"{chosen}, tensorboard")
    monkeypatch.setattr(following, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(following, "PARTING_SECONDS", 60.0)
    if uri is not None:
        monkeypatch.setenv(URI_VARIABLE, uri)
    reporter = Logging()
    with followed(run, workspace, reporter) as given:
        curve(given, 1, 5)
        time.sleep(1)  # room for a second try, which is not told

    (line,) = reporter.lines
    assert line.startswith(says)
    assert line.endswith("the run goes on, and the tracker is tried again")
    assert len(read(workspace.root / "tensorboard" / run.id / "pi").Scalars("loss")) == 5


def test_a_server_that_never_answers_does_not_hold_up_the_work(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PARTING_SECONDS", 0.5)
    monkeypatch.setenv(TRACKERS_VARIABLE, "mlflow")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setenv(URI_VARIABLE, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        deaf.settimeout(60)
        with followed(run, workspace, Logging()) as reporter:
            caller, _ = deaf.accept()  # the tracker waits for an answer from now on
            curve(reporter, 1, 200)
        caller.close()


def test_a_tracker_that_comes_back_gets_what_it_missed(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(TRACKERS_VARIABLE, "tensorboard")
    place = tmp_path / "not-yet"
    place.write_text("a file where the directory should be")
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(place))
    monkeypatch.setattr(following, "AGAIN_SECONDS", 0.1)
    reporter = Logging()
    with followed(run, workspace, reporter) as given:
        curve(given, 1, 5)
        deadline = time.monotonic() + 60
        while not reporter.lines and time.monotonic() < deadline:
            time.sleep(0.05)
        place.unlink()

    assert len(reporter.lines) == 1
    assert [event.step for event in read(place / run.id / "pi").Scalars("loss")] == [1, 2, 3, 4, 5]
