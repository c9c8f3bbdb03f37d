"""`pituning predict` through the real queue and worker, on a tiny backbone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pituning.runs.queue import RunQueue
from pituning.tasks.base import Task
from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace
from tests.cli.conftest import Outcome

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone

Run = Callable[..., Outcome]


@pytest.fixture
def moods(workspace: Workspace, tiny_backbone_dir: Path, tiny_backbone: Backbone, text_task: Task) -> Workspace:
    """The workspace with an expert for texts."""
    from pituning.experts.model import ExpertModel
    from pituning.experts.store import make_expert, save_expert

    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    save_task(replace(text_task, about={"columns": {"review": "text", "mood": "answer"}}), workspace)
    model = ExpertModel(tiny_backbone, "lora")
    expert = make_expert(model, model.initial(0) + 0.1, name="moods", task=text_task.name)
    save_expert(expert, model, workspace.zoo().new_expert_dir("lora", "moods"))
    return workspace


def test_what_cannot_be_labelled_is_told_before_a_run(pituning: Run, moods: Workspace, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("id,text\n1,happy\n")
    for words, message in (
        (("predict", "moods"), "there is no file to label; give one after the name of the expert"),
        (("predict", "moods", tmp_path / "gone.csv"), "gone.csv' does not exist; check the path"),
        (("predict", "moods", table), "has no column 'review', which task 'tiny-mood' reads; it has 'id', 'text': name"
         " the column with the text, --text-columns"),
        (("predict", "moods", table, "--text-columns", "text", "--out", tmp_path), "is a directory; give --out"),
        (("predict", "mood", table), "did you mean moods"),
        (("predict", "moods", table, "--top", "0"), "top is 0; give a whole number"),
    ):  # fmt: skip
        outcome = pituning(*words)
        assert outcome.code == 2
        assert message in outcome.error
    assert RunQueue(moods).list() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_worker_and_a_stopped_command_change_nothing(pituning: Run, moods: Workspace, tmp_path: Path) -> None:
    small, large = tmp_path / "three.csv", tmp_path / "many.csv"
    small.write_text("review\nhappy\nsad old\nround\n")
    first = pituning("predict", "moods", small, "--out", tmp_path / "three-answers.csv", "--no-probabilities", "--json")
    assert first.code == 0, first.err
    assert (first.json["rows"], first.json["answers"]) == (3, str(tmp_path / "three-answers.csv"))
    lines = (tmp_path / "three-answers.csv").read_text().splitlines()
    assert lines[0] == "review,answer,probability,problem"
    assert [line.split(",")[0] for line in lines[1:]] == ["happy", "sad old", "round"]

    large.write_text("review\n" + "".join(f"happy {'sad ' * (n % 7)}{n}\n" for n in range(6_000)))
    out, expected = tmp_path / "answers.csv", tmp_path / "expected.csv"
    command = [sys.executable, "-m", "pituning.cli", "predict", "moods", str(large), "--out"]
    stopped = subprocess.Popen([*command, str(out)], stderr=subprocess.DEVNULL)
    queue = RunQueue(moods)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        runs = [
            run for run in queue.list(kind="predict") if run.active and run.phase == "label rows" and run.done > 500
        ]
        if runs:
            break
        time.sleep(0.05)
    (run,) = runs
    os.kill(run.pid, signal.SIGKILL)
    stopped.send_signal(signal.SIGINT)
    stopped.wait(120)
    assert not out.exists()
    again = pituning("predict", "moods", large, "--out", out)
    assert again.code == 0, again.err
    assert f"6,000 rows of many.csv labelled by moods: {out}" in again.out
    assert "not calibrated" in again.out
    assert queue.get(run.id).state == "succeeded"
    assert pituning("predict", "moods", large, "--out", expected).code == 0
    assert out.read_bytes() == expected.read_bytes()
