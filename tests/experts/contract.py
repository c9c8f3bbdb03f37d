"""What every kind of experts must do on every family; see `pituning.experts.kinds.base`.

A kind passes by standing in `KINDS`; a family by standing in `TINY`.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from peft import PeftModel

import pituning.experts.bottleneck  # noqa: F401 (registers the method with PEFT)
from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch
from pituning.experts.fitting import check_tensors
from pituning.experts.kinds.base import mix
from pituning.experts.model import ExpertModel
from pituning.experts.plain import plain_logits
from pituning.experts.space import load_space, save_space
from pituning.experts.store import load_expert, make_expert, save_expert
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.training.single import train_expert
from pituning.tuning.interpolation import Mixture, collapse, identity_check
from tests.backbones.making import Tiny


def noisy(model: ExpertModel, seed: int = 3, spread: float = 0.3) -> torch.Tensor:
    """Values away from the start, where half of the gradients are zero."""
    generator = torch.Generator().manual_seed(seed)
    return model.initial(0) + spread * torch.randn(model.space.size, generator=generator)


def plain_peft(model: ExpertModel, values: torch.Tensor, base: Path, tiny: Tiny, folder: Path) -> PeftModel:
    """Plain transformers and plain PEFT, from files alone."""
    save_expert(make_expert(model, values, name="one", task="t"), model, folder)
    plain = tiny.plain.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(plain, folder).eval()


class KindContract:
    """A subclass gives the fixtures ``tiny``, ``directory``, ``backbone``, ``kind`` and ``text_task``."""

    @pytest.fixture
    def model(self, backbone: Backbone, kind: str) -> ExpertModel:
        return ExpertModel(backbone, kind)

    @pytest.fixture
    def batch(self, backbone: Backbone, text_task: Task) -> Batch:
        return backbone.encode(text_task, text_task.split("train")[:4]).batch(range(4))

    def test_it_does_what_plain_peft_does(
        self, model: ExpertModel, directory: Path, tiny: Tiny, text_task: Task, tmp_path: Path
    ) -> None:
        values = noisy(model)
        plain = plain_peft(model, values, directory, tiny, tmp_path / "one")
        encoded = model.backbone.encode(text_task, text_task.split("train")[:3])
        with torch.no_grad():
            for row in range(3):
                batch = encoded.batch([row])
                ours, theirs = model.forward(values, batch), plain_logits(plain, model.backbone, batch)
                torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=1e-4)
                assert (ours - model.backbone.logits(batch)).abs().max() > 1e-3

    def test_decoding_goes_through_the_expert(self, model: ExpertModel, text_task: Task) -> None:
        encoded = model.backbone.encode(text_task, text_task.split("train")[:3])
        batch, values = encoded.batch(range(3)), noisy(model)
        with torch.no_grad(), model.using(values):
            forced = model.backbone.logits(batch)
            decoding = model.backbone.start(batch)
            torch.testing.assert_close(decoding.logits, forced[:, 0], atol=5e-5, rtol=1e-4)
            decoding = model.backbone.step(decoding, batch.labels[:, 0])
        torch.testing.assert_close(decoding.logits, forced[:, 1], atol=5e-5, rtol=1e-4)

    def test_who_else_is_in_the_batch_changes_nothing(self, model: ExpertModel, text_task: Task) -> None:
        encoded = model.prepare(model.backbone.encode(text_task, text_task.split("train")[:5]))
        values = noisy(model)
        with torch.no_grad():
            together = model.loss(values, encoded.batch(range(5)))
            alone = torch.stack([model.loss(values, encoded.batch([row]))[0] for row in range(5)])
        torch.testing.assert_close(together, alone, atol=5e-5, rtol=1e-4)

    def test_its_start_is_the_seed_s_alone(self, model: ExpertModel) -> None:
        torch.manual_seed(0)
        first = model.initial(1)
        assert torch.equal(first, ExpertModel(model.backbone, model.kind).initial(1))
        state = torch.get_rng_state()
        model.backbone.spaces.clear()
        ExpertModel(model.backbone, model.kind)
        assert torch.equal(state, torch.get_rng_state())

    def test_its_space_is_what_peft_made(self, model: ExpertModel, tmp_path: Path) -> None:
        space = model.space
        assert space.size == sum(space.sizes) == sum(space.site_sizes) > 0
        assert len(set(space.site_names)) == len(space.site_names)
        assert set(space.layer_of.values()) <= {block.layer for block in model.backbone.blocks}
        assert all(space.label_of.values())
        check_tensors(model.kind, space.config, model.checkpoint_shapes(), model.backbone.places())
        save_space(space, tmp_path / "space.json")
        assert load_space(tmp_path / "space.json") == space

    def test_save_and_load_give_the_values_back(self, model: ExpertModel, tmp_path: Path) -> None:
        values = noisy(model)
        save_expert(make_expert(model, values, name="one", task="t"), model, tmp_path / "one")
        assert torch.equal(load_expert(tmp_path / "one", model).values, values)

    def test_gradients_of_examples_are_those_of_a_slow_loop(self, model: ExpertModel, batch: Batch) -> None:
        values = noisy(model)
        expected = []
        for row in range(len(batch)):
            leaf = values.clone().requires_grad_(True)
            model.loss(leaf, batch)[row].backward()
            assert leaf.grad is not None
            expected.append(leaf.grad)
        with ExitStack() as stack:
            actual = torch.cat([g.flatten(1) for g in model.example_gradients(values, stack)(batch)], dim=1)
        torch.testing.assert_close(actual, torch.stack(expected), atol=1e-5, rtol=1e-3)
        for slot in model.space.slots():
            if slot.module not in model.backbone.picture_modules:
                assert torch.stack(expected)[:, slot.start : slot.stop].abs().max() > 0, slot.name

    def test_a_mixture_is_what_it_says(self, model: ExpertModel, batch: Batch) -> None:
        """One at weight 1 is itself; what it collapses to does the same; gradients reach experts and weights."""
        mixture = Mixture(model)
        experts = torch.stack([noisy(model, seed) for seed in range(3)]).requires_grad_(True)
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(len(model.space.sites), 3, generator=generator).softmax(1).requires_grad_(True)
        collapsed = collapse(mixture, experts, weights)
        assert max(identity_check(mixture, experts, weights, collapsed, batch).values()) < 1e-4
        mixture.loss(experts, weights, batch).sum().backward()
        assert experts.grad is not None
        assert weights.grad is not None
        assert all(experts.grad.abs().sum(1) > 0)
        assert all(weights.grad.abs().sum(0) > 0)

    def test_equal_experts_mix_to_themselves(self, model: ExpertModel, batch: Batch) -> None:
        values = noisy(model)
        mixture = Mixture(model)
        with torch.no_grad():
            mixed = mixture.forward(torch.stack([values, values]), mixture.uniform(2), batch)
            torch.testing.assert_close(mixed, model.forward(values, batch), atol=1e-4, rtol=1e-4)
        assert torch.allclose(mix(model.space, values[None], mixture.uniform(1)), values)

    def test_it_learns_and_leaves_the_backbone_alone(self, model: ExpertModel, text_task: Task) -> None:
        backbone = model.backbone
        encoded = model.prepare(backbone.encode(text_task, text_task.split("train")[:12]))
        before, hooks = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}, _hooks(backbone)
        config = TrainConfig(steps=12, batch_size=12, learning_rate=model.method.record.rate, warmup=2)
        losses = train_expert(model, encoded, config).fit.losses
        assert min(losses[-3:]) < losses[0]
        after = backbone.model.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
        assert _hooks(backbone) == hooks


def _hooks(backbone: Backbone) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in backbone.model.modules())
