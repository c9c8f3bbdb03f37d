"""The recipe on a model of a few thousand parameters: it learns, resumes bit for bit, keeps new words apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pituning.backbones.base import Backbone
from pituning.errors import RunCancelled
from pituning.pretraining import recipe, unseen
from pituning.pretraining.config import READING_RATE, RELATING_RATE, PretrainConfig, curriculum_level, learning_rate
from pituning.pretraining.recipe import pretrain
from pituning.progress import Silent

SMALL = PretrainConfig(
    steps=2,
    reading=1,
    relating=2,
    images=2,
    texts=4,
    warmup=1,
    workers=1,
    d_model=32,
    layers=1,
    vision_dims=(32, 32),
    learning_rate=1e-3,
)


class StopAfter(Silent):
    def __init__(self, steps: int):
        self.left = steps

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left == 0:
            raise RunCancelled("stopped")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tiny_backbone: Backbone):
    monkeypatch.setattr(unseen, "SEEN_DRAWS", 20)

    def directory(path: Path) -> Path:
        path.mkdir()
        tiny_backbone.tokenizer.save_pretrained(path / "tokenizer")
        return path

    return directory


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 3, 4])  # between two steps of a part, and where the last part begins
def test_a_stopped_run_ends_in_the_same_weights(tmp_path: Path, quick, stop: int) -> None:
    whole = pretrain(SMALL, quick(tmp_path / "whole"), save_every=2)
    parts = quick(tmp_path / "parts")
    with pytest.raises(RunCancelled):
        pretrain(SMALL, parts, StopAfter(stop), save_every=1)
    resumed = pretrain(SMALL, parts, save_every=1)
    one, two = (load_file(p / "model.safetensors") for p in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert Backbone.load(whole).fingerprint == Backbone.load(resumed).fingerprint


def test_the_last_part_goes_on_from_a_checkpoint(tmp_path: Path, quick) -> None:
    """What comes before is left out, and the weights are the checkpoint's."""
    first = pretrain(PretrainConfig(**{**vars(SMALL), "relating": 0}), quick(tmp_path / "first"))
    begun, state = load_file(first / "model.safetensors"), tmp_path / "parts" / recipe.STATE
    state.parent.mkdir()
    recipe.begin_from(first, state.parent, SMALL)
    kept = load_file(state)
    assert {name[6:] for name in kept} <= set(begun)  # "model.", then the parameter's name
    assert all(torch.equal(kept[name], begun[name[6:]].float()) for name in kept)
    told = StopAfter(SMALL.relating_begins + 1)
    with pytest.raises(RunCancelled):
        pretrain(SMALL, state.parent, told)
    assert told.left == 0


def test_two_workers_take_the_same_step_as_one(tmp_path: Path, quick) -> None:
    """Each sample is in exactly one share, so the summed gradients are those of the whole batch."""
    pictures, texts = recipe.step_samples(SMALL, 0)
    for samples in (pictures, texts):
        shares = [recipe._share(samples, rank, 2) for rank in range(2)]
        assert sorted(map(repr, shares[0] + shares[1])) == sorted(map(repr, samples))
        images = [{id(s.image) for s in share if s.image is not None} for share in shares]
        assert not images[0] & images[1]


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    config = PretrainConfig(steps=100, reading=100, relating=100, warmup=10, decay=0.4, learning_rate=1.0)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 30) == 1.0
    assert learning_rate(config, 80) == pytest.approx(0.5)
    assert learning_rate(config, 99) == pytest.approx(0.025)
    assert learning_rate(config, 150) == pytest.approx(READING_RATE / 2)
    assert learning_rate(config, 199) == pytest.approx(READING_RATE / 100)
    assert learning_rate(config, 250) == pytest.approx(RELATING_RATE / 2)
    assert learning_rate(config, 300) == 0.0


def test_the_curriculum_goes_from_seeing_to_comparing() -> None:
    config = PretrainConfig(curriculum=(10, 20))
    steps = (0, 10, 15, 20, 99, config.steps, config.relating_begins - 1, config.relating_begins)
    assert [curriculum_level(config, step) for step in steps] == [0, 0, 0.5, 1, 1, 2, 2, 3]


@pytest.mark.slow
def test_loss_falls_and_the_curve_is_kept(tmp_path: Path, quick) -> None:
    config = PretrainConfig(
        **{**vars(SMALL), "steps": 200, "reading": 0, "relating": 0, "images": 1, "learning_rate": 3e-3}
    )
    directory = quick(tmp_path / "run")
    pretrain(config, directory)
    lines = [json.loads(line) for line in (directory / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [100, 200]
    first, last = (sum(line["train"].values()) / len(line["train"]) for line in lines)
    assert last < 0.8 * first


def test_unseen_tokens_get_embeddings_of_their_own(tmp_path: Path, quick) -> None:
    backbone = Backbone.load(pretrain(SMALL, quick(tmp_path / "run")))
    weight = backbone.model.get_input_embeddings().weight
    ids = [backbone.tokenizer.convert_tokens_to_ids(token) for token in "0123456789"]
    directions = torch.nn.functional.normalize(weight[ids] - weight.mean(0), dim=1)
    cosines = (directions @ directions.T).fill_diagonal_(0)
    assert cosines.abs().max() < 0.9
