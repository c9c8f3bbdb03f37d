"""FourierFT: its updates are those of a Fourier transform, and are mixed exactly, whatever their size and scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import FourierFTConfig
from torch import nn

from pituning.backbones.base import Backbone
from pituning.errors import BadInput
from pituning.experts.checkpoint import peft_settings
from pituning.experts.kinds.base import task_type, views
from pituning.experts.model import ExpertModel
from pituning.experts.plain import plain_logits
from pituning.experts.store import import_expert, load_together, make_expert, open_expert, save_expert
from pituning.tasks.base import Task
from pituning.tuning.interpolation import Mixture
from pituning.workspace.layout import Workspace
from tests.backbones.tiny import TINY
from tests.experts.contract import noisy
from tests.experts.peft_checkpoints import pattern, write_checkpoint

LLAMA = next(tiny for tiny in TINY if tiny.id == "llama")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "llama"
    LLAMA.make(path)
    return path


@pytest.fixture
def backbone(directory: Path) -> Backbone:
    return Backbone.load(directory)


def updated(backbone: Backbone, model: ExpertModel, values: torch.Tensor, weight: float = 1.0) -> None:
    """Adds the updates to the weights themselves, by the definition: an inverse transform of a sparse spectrum."""
    config = model.space.config
    for slot, spectrum in zip(model.space.slots(), views(model.space, values), strict=True):
        parameter: nn.Parameter = backbone.module(slot.module).weight
        generator = torch.Generator().manual_seed(int(config["seed"]))
        drawn = torch.randperm(parameter.numel(), generator=generator)[: int(config["frequencies"])]
        dense = torch.zeros(parameter.numel()).index_put((drawn,), spectrum).view(parameter.shape)
        with torch.no_grad():
            parameter += weight * config["scale"] * torch.fft.ifft2(dense).real


@pytest.mark.parametrize("frequencies", [4, 128])  # the product of thin matrices is cheaper, or the update is
def test_a_mixture_adds_the_weighted_updates(
    frequencies: int, backbone: Backbone, directory: Path, text_task: Task
) -> None:
    model = ExpertModel(backbone, "fourier", {"frequencies": frequencies})
    experts = torch.stack([noisy(model, seed) for seed in range(2)])
    mixture = Mixture(model)
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    weights = torch.tensor([[0.3, 0.7]]).expand(len(model.space.sites), 2)
    other = Backbone.load(directory)
    for values, weight in zip(experts, (0.3, 0.7), strict=True):
        updated(other, model, values, weight)
    with torch.no_grad():
        found, expected = mixture.forward(experts, weights, batch), other.logits(batch)
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-4)


def test_what_is_imported_is_mixed_with_the_usual_ones(
    backbone: Backbone, directory: Path, text_task: Task, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "w", None)
    zoo, usual = workspace.zoo(backbone.name), ExpertModel(backbone, "fourier")
    save_expert(make_expert(usual, noisy(usual), name="usual", task="u"), usual, zoo.new_expert_dir("fourier", "usual"))
    given = {"task_type": task_type(backbone), "target_modules": pattern(backbone, "query", "output")}
    plain = write_checkpoint(
        FourierFTConfig(n_frequency=200, scaling=40, random_loc_seed=777, **given),
        directory,
        LLAMA,
        tmp_path / "theirs",
    )
    write_checkpoint(
        FourierFTConfig(n_frequency=20, random_loc_seed=5, **given), directory, LLAMA, tmp_path / "strange"
    )
    for name in ("theirs", "strange"):
        import_expert(tmp_path / name, task="t", name=name, backbone=backbone, workspace=workspace)
    together = load_together(zoo.all_expert_dirs("fourier"), usual)
    assert list(together.left_out) == ["strange"]
    assert "drawn with the seeds 5, 777 cannot be mixed" in together.left_out["strange"]
    common = together.model_for(together.experts)
    assert common.space.config == {"frequencies": 200, "scale": 150, "seed": 777}
    encoded = backbone.encode(text_task, text_task.split("train")[:3])
    with torch.no_grad():
        for name in together.experts:
            own, model = open_expert(zoo.expert_dir("fourier", name), backbone)
            for row in range(3):
                batch = encoded.batch([row])
                found = common.forward(together.placed(name, common).values, batch)
                torch.testing.assert_close(found, model.forward(own.values, batch), atol=1e-4, rtol=1e-4)
                if name == "theirs":
                    torch.testing.assert_close(found, plain_logits(plain, backbone, batch), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"random_loc_seed": None}, "random_loc_seed: experts without a seed above 0 have no frequencies in common"),
        ({"n_frequency_pattern": {"q_proj": 3}}, "n_frequency_pattern: its maps are not all alike"),
        ({"bias": "all"}, "bias: its biases replace"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save: it replaces whole modules"),
    ],
)
def test_what_cannot_be_mixed_is_kept_with_the_reason(setting: dict[str, Any], reason: str) -> None:
    document = {"peft_type": "FOURIERFT", "n_frequency": 9, "scaling": 150.0, "random_loc_seed": 777, **setting}
    kind, _, why = peft_settings(document, "x", field="file")
    assert kind == "peft"
    assert str(why).startswith(reason)


def test_more_frequencies_than_a_map_has(backbone: Backbone) -> None:
    with pytest.raises(BadInput, match=r"^2000 frequencies are more than the \d+ of '.*'; give fewer$"):
        ExpertModel(backbone, "fourier", {"frequencies": 2000})
