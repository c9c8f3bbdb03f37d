"""On a device that only pretends to be one: the jobs put every tensor there. `test_device.py` runs these."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.tiny import make_tiny_workspace
from pituning.backbones import loading
from pituning.backbones.base import Backbone
from pituning.embedding.fisher import example_gradients, fisher
from pituning.errors import RunCancelled
from pituning.experts.kinds import mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.pretraining import unseen
from pituning.pretraining.recipe import pretrain
from pituning.progress import Silent
from pituning.runs import jobs
from pituning.runs.configs import EmbedRun, TrainRun
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.training.single import full_finetune, train_expert
from pituning.tuning.config import TuneConfig
from pituning.tuning.run import tune
from pituning.workspace.layout import Workspace
from tests.pretend_device import Elsewhere, pretended_device, register
from tests.pretraining.test_recipe import SMALL, StopAfter

ROUNDING = {"fourier": 3e-6}
"""What may be left of gradients that cancel: those of a spectrum are sums over a whole weight."""

register()  # before the first backward pass of the process, when the autograd engine counts devices


def test_the_pretended_device_is_as_strict_as_a_gpu() -> None:
    with pretended_device() as there:
        here, away = torch.ones(3), torch.ones(3, device=there)
        assert (away + away.sum()).tolist() == [4, 4, 4]
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            here + away
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()


@pytest.mark.parametrize("kind", mixable_kinds())
def test_loss_gradients_answers_and_fisher_of_a_kind(tiny_backbone_dir, vision_task, kind: str) -> None:
    def work(device: torch.device) -> dict[str, Any]:
        backbone = Backbone.load(tiny_backbone_dir, device=device)
        model = ExpertModel(backbone, kind)
        encoded = model.prepare(backbone.encode(vision_task, vision_task.split("train")[:8]))
        values = model.initial(3).requires_grad_(True)
        assert isinstance(values, Elsewhere) == (device.type != "cpu")
        losses = model.loss(values, encoded.batch(range(8)))
        (gradient,) = torch.autograd.grad(losses.sum(), values)
        kept = values.detach().cpu()
        return {
            "losses": losses.detach().cpu(),
            "gradient": gradient.cpu(),
            "each": example_gradients(model, kept, encoded.batch(range(4))).cpu(),
            "answers": model.predict(kept, encoded, vision_task),
            "fisher": torch.from_numpy(fisher(model, kept, encoded, estimator="centred", groups=2).groups),
            "batch": torch.from_numpy(fisher(model, kept, encoded, estimator="batch", labels="model").mean),
        }

    expected = work(torch.device("cpu"))
    with pretended_device() as there:
        actual = work(there)

    assert actual.pop("answers") == expected.pop("answers")
    for name, value in expected.items():
        atol = ROUNDING.get(kind, 1e-6)
        torch.testing.assert_close(actual[name], value, rtol=1e-4, atol=atol, msg=name)


def test_an_interrupted_training_goes_on_there(tiny_backbone_dir, vision_task: Task, tmp_path: Path) -> None:
    """Also with a checkpoint that another device has left."""
    config = TrainConfig(steps=4, batch_size=4, learning_rate=1e-2, warmup=1, checkpoint_every=1)

    def work(device: torch.device, *, checkpoint: Path, stop: bool) -> torch.Tensor:
        backbone = Backbone.load(tiny_backbone_dir, device=device)
        model = ExpertModel(backbone, "lora")
        encoded = backbone.encode(vision_task, vision_task.split("train")[:8])
        reporter = StopAfter(2) if stop else Silent()
        return train_expert(model, encoded, config, reporter=reporter, checkpoint=checkpoint).values.cpu()

    here = torch.device("cpu")
    expected = work(here, checkpoint=tmp_path / "whole", stop=False)
    with pytest.raises(RunCancelled):
        work(here, checkpoint=tmp_path / "parts", stop=True)
    with pretended_device() as there:
        torch.testing.assert_close(work(there, checkpoint=tmp_path / "parts", stop=False), expected)
        with pytest.raises(RunCancelled):
            work(there, checkpoint=tmp_path / "others", stop=True)
    torch.testing.assert_close(work(here, checkpoint=tmp_path / "others", stop=False), expected)


def test_full_fine_tuning_there(tiny_backbone_dir, vision_task: Task) -> None:
    config = TrainConfig(steps=2, batch_size=4, learning_rate=1e-3, warmup=1)

    def work(device: torch.device) -> list[float]:
        backbone = Backbone.load(tiny_backbone_dir, device=device)
        encoded = backbone.encode(vision_task, vision_task.split("train")[:8], keep_pixels=True)
        return full_finetune(backbone, encoded, config)[1].losses

    expected = work(torch.device("cpu"))
    with pretended_device() as there:
        # Adam's first steps follow the signs of gradients, of which rounding decides the smallest.
        assert work(there) == pytest.approx(expected, rel=1e-2)


def test_the_jobs_run_there(tmp_path: Path, monkeypatch) -> None:
    workspace = make_tiny_workspace(tmp_path / "ws")
    tuning = TuneConfig(
        target="mood-a", shots=4, steps=4, donors=2, test_examples=12, folds=1,
        baselines=("backbone", "full", "placebo"),
    )  # fmt: skip

    def work(place: Workspace) -> dict[str, Any]:
        checkpoint = place.root / "checkpoint"
        checkpoint.mkdir()
        trained = jobs.train(TrainRun(task="mood-b", shots=4, steps=4), place, Silent(), checkpoint)
        jobs.embed(EmbedRun(kind="lora"), place, Silent(), checkpoint)
        tuned = tune(tuning, place, Silent(), checkpoint)
        again = tune(tuning, place, Silent(), checkpoint)  # from what was kept of the first time
        assert again == tuned
        return {"trained": trained["score"], "tuned": tuned["score"], "baselines": tuned["baselines"]}

    expected = work(_copy(workspace, tmp_path / "here"))
    with pretended_device() as there:
        monkeypatch.setattr(loading, "best_device", lambda: there)
        actual = work(_copy(workspace, tmp_path / "there"))

    assert json.dumps(actual) == json.dumps(expected)


def test_pretraining_goes_on_there(tmp_path: Path, tiny_backbone: Backbone, monkeypatch) -> None:
    monkeypatch.setattr(unseen, "SEEN_DRAWS", 20)
    tiny_backbone.tokenizer.save_pretrained(tmp_path / "tokenizer")
    with pretended_device() as there:
        with pytest.raises(RunCancelled):
            pretrain(SMALL, tmp_path, StopAfter(SMALL.all_steps - 1), device=there, save_every=1)
        made = pretrain(SMALL, tmp_path, device=there, save_every=1)

    assert all(torch.isfinite(p).all() for p in Backbone.load(made).model.parameters())


def _copy(workspace: Workspace, root: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(workspace.root, root)), embedded=None)
