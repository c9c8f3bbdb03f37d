"""Mixtures against the definition, one site and one expert at a time."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import Florence2ForConditionalGeneration

from pituning.backbones.base import Backbone
from pituning.errors import BadInput, RunFailed
from pituning.experts import store
from pituning.experts.kinds import mixable_kinds
from pituning.experts.kinds.base import mix
from pituning.experts.model import ExpertModel
from pituning.tasks.base import Task
from pituning.tuning.interpolation import Collapsed, Mixture, collapse, identity_check


def make(backbone: Backbone, kind: str, count: int = 3) -> tuple[Mixture, torch.Tensor, torch.Tensor]:
    model = ExpertModel(backbone, kind)
    generator = torch.Generator().manual_seed(5)
    experts = model.initial(0) + 0.2 * torch.randn(count, model.space.size, generator=generator)
    alpha = torch.randn(len(model.space.sites), count, generator=generator)
    return Mixture(model), experts, alpha.softmax(1)


def merged_by_hand(backbone: Backbone, mixture: Mixture, experts: torch.Tensor, weights: torch.Tensor) -> Backbone:
    """A copy of the backbone with Σ w s B A added to its weights, map by map and expert by expert."""
    changed = deepcopy(backbone)
    parameters = dict(changed.model.named_parameters())
    with torch.no_grad():
        for site_number, site in enumerate(mixture.space.sites):
            for a, b in zip(site.slots[::2], site.slots[1::2], strict=True):
                name = a.name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
                for i, values in enumerate(experts):
                    product = values[b.start : b.stop].view(b.shape) @ values[a.start : a.stop].view(a.shape)
                    parameters[name] += weights[site_number, i] * 2.0 * product
    return changed


def test_lora_mixes_products(two_layer_backbone: Backbone, vision_task: Task) -> None:
    mixture, experts, weights = make(two_layer_backbone, "lora")
    batch = two_layer_backbone.encode(vision_task, vision_task.split("train")[:5]).batch(range(5))
    expected = merged_by_hand(two_layer_backbone, mixture, experts, weights).logits(batch)
    plain = two_layer_backbone.logits(batch)
    assert (expected - plain).abs().max() > 0.1
    assert torch.allclose(mixture.forward(experts, weights, batch), expected, atol=2e-4)
    assert torch.equal(two_layer_backbone.logits(batch), plain)


@pytest.mark.parametrize("kind", ["bottleneck", "prefix"])
def test_others_mix_values(kind: str, two_layer_backbone: Backbone, text_task: Task) -> None:
    mixture, experts, weights = make(two_layer_backbone, kind)
    flat = torch.zeros(mixture.space.size)
    for number, site in enumerate(mixture.space.sites):
        for i in range(len(experts)):
            flat[site.start : site.stop] += weights[number, i] * experts[i, site.start : site.stop]
    assert torch.allclose(mix(mixture.space, experts, weights), flat, atol=1e-6)
    batch = two_layer_backbone.encode(text_task, text_task.split("train")[:4]).batch(range(4))
    expected = mixture.model.forward(flat, batch)
    assert torch.allclose(mixture.forward(experts, weights, batch), expected, atol=1e-4)


@pytest.mark.parametrize("kind", mixable_kinds())
def test_gradients_reach_experts_and_weights(kind: str, tiny_backbone: Backbone, text_task: Task) -> None:
    """Against finite differences along random directions, in float64."""
    backbone = deepcopy(tiny_backbone)
    model = ExpertModel(backbone, kind)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:3])
    backbone.model.double()
    mixture = Mixture(model)
    batch = encoded.batch(range(3))
    batch.inputs_embeds = batch.inputs_embeds.double()
    generator = torch.Generator().manual_seed(0)
    shape = (2, model.space.size)
    experts = (model.initial(0) + 0.2 * torch.randn(shape, generator=generator)).double().requires_grad_(True)
    alpha = torch.randn(len(model.space.sites), 2, generator=generator).double().requires_grad_(True)

    def loss(e: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return mixture.loss(e, a.softmax(1), batch).sum()

    gradients = torch.autograd.grad(loss(experts, alpha), (experts, alpha))
    for position, gradient in enumerate(gradients):
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            moved = [experts.detach(), alpha.detach()]
            moved[position] = moved[position] + sign * 1e-5 * direction
            ends.append(loss(*moved).item())
        assert (gradient * direction).sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3)


@pytest.mark.parametrize("kind", mixable_kinds())
def test_collapses_to_one_expert_that_plain_peft_loads(
    kind: str, tiny_backbone: Backbone, tiny_backbone_dir: Path, vision_task: Task, tmp_path: Path
) -> None:
    mixture, experts, weights = make(tiny_backbone, kind)
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train")[:4])
    batch = encoded.batch(range(4))
    collapsed = collapse(mixture, experts, weights)
    actual = identity_check(mixture, experts, weights, collapsed, batch)
    assert max(actual.values()) < 1e-4
    if kind == "lora":
        assert collapsed.model.space.config == {"rank": 12, "scale": 2.0}
    expert = store.make_expert(collapsed.model, collapsed.values, name="mixed", task=vision_task.name)
    store.save_expert(expert, collapsed.model, tmp_path / "mixed")
    plain = PeftModel.from_pretrained(
        Florence2ForConditionalGeneration.from_pretrained(tiny_backbone_dir, dtype=torch.float32), tmp_path / "mixed"
    ).eval()
    with torch.no_grad():
        logits = plain(
            inputs_embeds=batch.inputs_embeds,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
        ).logits
        expected = mixture.forward(experts, weights, batch)
    assert (logits - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_one_expert_alone_collapses_to_itself(tiny_backbone: Backbone) -> None:
    mixture, experts, weights = make(tiny_backbone, "lora")
    alone = torch.zeros_like(weights)
    alone[:, 1] = 1
    collapsed = collapse(mixture, experts, alone)
    assert collapsed.model is mixture.model
    assert torch.equal(collapsed.values, experts[1])


def test_identity_check_catches_a_wrong_merge(tiny_backbone: Backbone, text_task: Task) -> None:
    mixture, experts, weights = make(tiny_backbone, "lora")
    batch = tiny_backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    factors_averaged = Collapsed(mixture.model, mix(mixture.space, experts, weights))
    with pytest.raises(RunFailed, match="collapsed expert differs"):
        identity_check(mixture, experts, weights, factors_averaged, batch)


def test_wrong_shapes(tiny_backbone: Backbone, text_task: Task) -> None:
    mixture, experts, weights = make(tiny_backbone, "prefix")
    with pytest.raises(BadInput, match="do not fit"), mixture.using(experts[:2], weights):
        pass
