"""The work itself, on a tiny backbone."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from pituning.errors import BadInput, RunCancelled
from pituning.experts.card import read_card
from pituning.progress import Silent
from pituning.runs.configs import TrainRun
from pituning.tasks.saved import save_task
from tests.conftest import make_text_task

CONFIG = TrainRun(task="tiny-mood", shots=4, steps=12, batch_size=6)


class StopAt(Silent):
    """Cancels the training after so many steps, as a request to stop does."""

    def __init__(self, steps: int):
        self.left = steps

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left <= 0:
            raise RunCancelled("stop")


@pytest.fixture
def studio(workspace, tiny_backbone_dir):
    shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
    save_task(make_text_task(), workspace)
    return workspace


def test_train_goes_on_where_it_was_stopped(studio, tmp_path):
    from pituning.runs.jobs import train

    result = train(CONFIG, studio, Silent(), tmp_path / "a")
    expert = studio.zoo().expert_dir("lora", "tiny-mood-4-shot-0")
    whole = (expert / "adapter_model.safetensors").read_bytes()
    card = read_card(expert)
    assert card.temperature is not None
    assert card.calibration["rows"] == 12  # the validation split
    assert card.calibration["before"]["rows"] == card.calibration["after"]["rows"] == 24
    assert result["expert"] == expert.name
    assert result["examples"] == 12
    assert 0.0 <= result["score"] <= 100.0
    shutil.rmtree(expert)
    with pytest.raises(RunCancelled):
        train(CONFIG, studio, StopAt(7), tmp_path / "b")
    assert list((tmp_path / "b").iterdir())
    assert not expert.exists()
    train(CONFIG, studio, Silent(), tmp_path / "b")
    assert (expert / "adapter_model.safetensors").read_bytes() == whole


def test_a_run_has_the_precision_of_its_own_configuration(studio, tmp_path, monkeypatch):
    import torch

    from pituning.runs import jobs

    seen = []

    def watched(model, encoded, settings, **given):
        seen.append((model.backbone.dtype, model.initial(0).dtype, settings.accumulate, settings.checkpointing))
        return train_expert(model, encoded, settings, **given)

    train_expert = jobs.train_expert
    monkeypatch.setattr(jobs, "train_expert", watched)
    monkeypatch.setenv("PITUNING_DTYPE", "float32")
    less = replace(CONFIG, steps=2, dtype="bfloat16", accumulate=2, checkpointing=True)
    jobs.train(less, studio, Silent(), tmp_path / "a")
    jobs.train(replace(CONFIG, steps=2, name="other"), studio, Silent(), tmp_path / "b")
    assert seen == [(torch.bfloat16, torch.float32, 2, True), (torch.float32, torch.float32, 1, False)]


def test_bad_input_is_told_before_anything_is_written(studio, tmp_path):
    from pituning.runs.jobs import train

    with pytest.raises(BadInput, match="fewer than 30 shots"):
        train(TrainRun(task="tiny-mood", shots=30), studio, Silent(), tmp_path)
    with pytest.raises(BadInput, match="task 'tiny-mod' is unknown; did you mean 'tiny-mood'"):
        train(TrainRun(task="tiny-mod"), studio, Silent(), tmp_path)
    assert not studio.zoo().expert_dir("lora", "tiny-mood-30-shot-0").exists()


def test_a_run_on_another_backbone_stays_in_its_own_zoo(studio, two_layer_backbone_dir, tmp_path):
    from pituning.runs.jobs import train

    shutil.copytree(two_layer_backbone_dir, studio.root / "backbones" / "two")
    config = TrainRun(task="tiny-mood", shots=4, steps=1, batch_size=6, backbone="two")
    result = train(config, studio, Silent(), tmp_path)
    assert result["backbone"] == "two"
    assert not studio.zoo().root.exists()
    card = read_card(studio.zoo("two").expert_dir("lora", result["expert"]))
    assert card.backbone == "two"
    with pytest.raises(BadInput, match="unknown backbone 'tow'; did you mean two"):
        train(TrainRun(task="tiny-mood", shots=4, backbone="tow"), studio, Silent(), tmp_path)
