"""Runs on a whole zoo: built, measured and gone on with, on a tiny backbone and tasks of one's own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pituning.errors import BadInput, RunCancelled
from pituning.experts.card import read_card
from pituning.progress import Silent
from pituning.runs.outline import Subject, outline
from pituning.runs.plans import forecast, size_factor
from pituning.runs.queue import RunQueue
from pituning.runs.spec import RunSpec
from pituning.runs.study_configs import LowshotRun, TransferRun, ZooRun
from pituning.runs.study_outline import transfer_left
from pituning.runs.supervisor import Supervisor
from pituning.runs.sweep import changes_of
from pituning.studies.targets import tasks_of
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.registry import TaskSource
from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace
from pituning.workspace.transfer import read_rows
from tests.conftest import make_text_task

OWN = ("mood-a", "mood-b", "mood-c")
BUILD = ZooRun(backbone="tiny", steps=3, batch_size=6, fisher_examples=8, train_examples=5, test_examples=6)


class Told(Silent):
    """Remembers the phases, and cancels after so many steps of one whose name begins so."""

    def __init__(self, cancel: str = "never", after: int = 1):
        self.phases: list[tuple[str, int]] = []
        self.lines: list[str] = []
        self._cancel, self._left = cancel, after

    def phase(self, name: str, total: int) -> None:
        self.phases.append((name, total))

    def advance(self, steps: int = 1) -> None:
        if self.phases[-1][0].startswith(self._cancel):
            self._left -= steps
            if self._left <= 0:
                raise RunCancelled("stop")

    def log(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def studio(workspace: Workspace, tiny_backbone_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with a backbone and three tasks of its own, and nothing of the embedded data."""
    monkeypatch.setenv("PITUNING_DATA", "")
    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "tiny")
    for name in OWN:
        save_task(replace(make_text_task(), name=name), workspace)
    made = Workspace(workspace.root, embedded=None)
    yield made
    made.engine.dispose()


def test_settings_of_all_kinds_are_checked_and_survive_the_queue() -> None:
    for kind, config in (("zoo", ZooRun(tasks=OWN, steps=5)), ("transfer", TransferRun(tasks=OWN, seeds=(0, 1))),
                         ("lowshot", LowshotRun(tasks=OWN, shots=(0, -1)))):  # fmt: skip
        spec = RunSpec.from_json(RunSpec.of(kind, config).to_json())
        assert spec.settings() == config
        assert "--tasks mood-a,mood-b,mood-c" in spec.command()
    words = ["tasks=mood-a,mood-b", "shots=4", "donor_names=mood-b"]
    spec = RunSpec(kind="transfer", config=changes_of("transfer", words))
    assert spec.settings() == TransferRun(tasks=OWN[:2], shots=(4,), donor_names=("mood-b",))
    for made, says in ((lambda: ZooRun(steps=0), "steps is 0"), (lambda: ZooRun(backbone="No"), "backbone 'No'"),
                       (lambda: ZooRun(fisher_examples=1), "fisher_examples is 1"),
                       (lambda: ZooRun(train_examples=0), "train_examples is 0"),
                       (lambda: TransferRun(processes=0), "processes is 0"),
                       (lambda: TransferRun(dtype="int1"), "dtype 'int1'"),
                       (lambda: LowshotRun(methods=("magic",)), "methods names 'magic'")):  # fmt: skip
        with pytest.raises(BadInput, match=says):
            made()


def test_the_suite_is_the_default_of_mini_alone(studio: Workspace) -> None:
    source = TaskSource(studio)
    assert tasks_of(studio.zoo(), ["lora"], source) == TASK_NAMES
    with pytest.raises(BadInput, match="the zoo of tiny has no lora expert .* pituning zoo build .* --backbone tiny"):
        tasks_of(studio.zoo("tiny"), ["lora"], source)


def test_a_zoo_of_ones_own_is_built_measured_and_gone_on_with(studio: Workspace, tmp_path: Path) -> None:
    from pituning.runs.study_jobs import build

    queue = RunQueue(studio)
    named = replace(BUILD, tasks=OWN)
    parts = [part.name for part in outline(RunSpec.of("zoo", named), Subject(), studio)]
    assert [name for name in parts if name.startswith("train")] == ["train mood-a", "train mood-b", "train mood-c"]
    stopped = Told(cancel="train mood-b", after=2)
    with pytest.raises(RunCancelled):
        build(named, studio, stopped, tmp_path)
    assert list(studio.zoo("tiny").expert_dirs("lora")) == ["mood-a"]
    left = [part.name for part in outline(RunSpec.of("zoo", named), Subject(), studio)]
    assert "train mood-a" not in left
    told = Told()
    result = build(named, studio, told, tmp_path)
    assert result["trained"] == ["mood-b", "mood-c"]
    assert result["tasks"] == list(OWN)
    assert tasks_of(studio.zoo("tiny"), ["lora"], TaskSource(studio)) == OWN
    assert studio.zoo("tiny").similarity("lora", "probe").names == OWN
    assert studio.zoo("tiny").projection_files("lora")
    assert read_card(studio.zoo("tiny").expert_dir("lora", "mood-a")).spec["data"] == "5 examples"
    assert {name for name, _ in told.phases} <= {*parts, "encode images"}
    # Now without names: all that the zoo has, and nothing is left to do.
    again = Told()
    assert build(BUILD, studio, again, tmp_path)["trained"] == []
    assert not [name for name, _ in again.phases if name.startswith(("train", "embed", "project"))]
    assert forecast(queue, RunSpec.of("zoo", BUILD)).seconds < forecast(queue, RunSpec.of("zoo", replace(
        BUILD, steps=4))).seconds  # fmt: skip


def test_how_long_it_takes_depends_on_the_backbone(studio: Workspace, tmp_path: Path) -> None:
    assert size_factor(studio, "mini") == size_factor(studio, "tiny") == size_factor(studio, "none") == 1.0
    import numpy as np
    from safetensors.numpy import save_file

    (studio.root / "backbones" / "large").mkdir()
    save_file({"w": np.zeros((2_712_064 * 4,), np.float16)}, studio.root / "backbones" / "large" / "model.safetensors")
    assert size_factor(studio, "large") == pytest.approx(4**0.87)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_transfer_and_methods_are_measured_by_the_queue(studio: Workspace, tmp_path: Path) -> None:
    from pituning.runs.study_jobs import build

    build(replace(BUILD, tasks=OWN), studio, Silent(), tmp_path)
    queue, zoo = RunQueue(studio), studio.zoo("tiny")
    config = TransferRun(backbone="tiny", shots=(0, 2), steps=2, test_examples=6, processes=1)
    assert len(transfer_left(config, studio).missing) == 3 * 3 * 2
    some = queue.submit(RunSpec.of("transfer", replace(config, tasks=("mood-a",), donor_names=("mood-b",))))
    _work(studio, some)
    assert queue.result_of(some)["cells"] == 4
    rows = read_rows(zoo.transfer_path("lora"))
    # What is measured is kept: the rest alone is left, and another run adds it to the same table.
    left = transfer_left(config, studio)
    assert (left.cells, len(left.missing)) == (18, 14)
    everything = queue.submit(RunSpec.of("transfer", config))
    _work(studio, everything)
    assert transfer_left(config, studio).missing == ()
    table = read_rows(zoo.transfer_path("lora"))
    assert len(table) == 18
    assert rows.merge(table).shape == rows.shape
    assert "4 of 18 cells are measured already" in queue.log_of(everything)
    assert queue.get(everything).total == 14
    # What cells cost here is known now.
    assert forecast(queue, RunSpec.of("transfer", replace(config, seeds=(5,)))).runs == 2
    lowshot = LowshotRun(
        backbone="tiny", shots=(0, 2), seeds=(0,), steps=2, test_examples=6, processes=1, donors=2,
        methods=("backbone", "single", "mixture"),
    )  # fmt: skip
    run = queue.submit(RunSpec.of("lowshot", lowshot))
    _work(studio, run)
    assert queue.result_of(run)["cells"] == 3 * 3
    assert outline(RunSpec.of("lowshot", lowshot), Subject(), studio)[-1].total == 0


def _work(workspace: Workspace, run_id: str) -> None:
    """Does a run in a worker process, as the supervisor does."""
    supervisor, queue = Supervisor(workspace), RunQueue(workspace)
    while queue.get(run_id).active:
        supervisor.step()
        time.sleep(0.2)
    assert queue.get(run_id).state == "succeeded", (queue.get(run_id).error, queue.log_of(run_id))
