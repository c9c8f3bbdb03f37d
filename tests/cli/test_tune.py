"""`pituning tune` through the real queue, supervisor and worker, on a tiny backbone with untrained experts."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pituning.runs.queue import RunQueue
from pituning.tasks.base import Task
from pituning.tasks.saved import save_task
from pituning.workspace.atomic import TEMPORARY_PREFIX
from pituning.workspace.layout import Workspace
from tests.cli.conftest import Outcome

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone

Run = Callable[..., Outcome]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FEW = ("--shots", "4", "--donors", "2", "--donor-names", "mood-a,mood-b", "--steps", "4", "--folds", "1")


@pytest.fixture
def lenders(workspace: Workspace, tiny_backbone_dir: Path, tiny_backbone: Backbone, text_task: Task) -> Workspace:
    """The workspace with the tiny backbone as its own, a target and two tasks that lend experts."""
    import torch

    from pituning.experts.model import ExpertModel
    from pituning.experts.store import make_expert, save_expert

    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    model = ExpertModel(tiny_backbone, "lora")
    save_task(replace(text_task, name="target"), workspace)
    for number, name in enumerate(("mood-a", "mood-b")):
        save_task(replace(text_task, name=name), workspace)
        noise = np.random.default_rng(number).normal(scale=0.05, size=model.space.size)
        values = model.initial(0) + torch.from_numpy(noise).float()
        expert = make_expert(model, values, name=name, task=name, seed=0)
        save_expert(expert, model, workspace.zoo().new_expert_dir("lora", name))
    return workspace


def test_tune_gives_the_same_numbers_when_repeated(pituning: Run, lenders: Workspace, tmp_path: Path) -> None:
    words = ("tune", "target", *FEW, "--baselines", "single,uniform,random,placebo", "--json")
    first, second = pituning(*words), pituning(*words)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    result = first.json
    assert {"target", "kind", "shots", "seed", "donors", "weights", "score", "baselines", "expert", "run"} <= set(
        result
    )
    assert result["donors"] == ["mood-a", "mood-b"]
    assert set(result["baselines"]) == {"single", "uniform", "random", "placebo"}
    assert {**second.json, "run": None} == {**result, "run": None}
    assert pituning("experts", "export", result["expert"], tmp_path / "out").code == 0
    assert (tmp_path / "out" / "adapter_model.safetensors").stat().st_size > 0
    shown = pituning("runs", "show", result["run"], "--json").json
    assert (shown["state"], shown["result"]["score"]) == ("succeeded", result["score"])


def test_ctrl_c_stops_the_worker_and_leaves_nothing_half_written(lenders: Workspace) -> None:
    words = [sys.executable, "-m", "pituning.cli", "tune", "target", *FEW[:-4], "--steps", "100000", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "attempt 1 begins" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out == ""
    assert "interrupted" in err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert [run.state for run in RunQueue(lenders).list()] == ["cancelled"]
    assert list(lenders.zoo().all_expert_dirs("lora")) == [*lenders.zoo().expert_dirs("lora")]
    assert list(lenders.root.rglob(f"{TEMPORARY_PREFIX}*")) == []
