"""Every kind of experts on every family of backbones."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.families import FAMILIES
from pituning.errors import BadInput
from pituning.experts.kinds import full_settings, mixable_kinds
from pituning.experts.kinds.lora import common_space, placed
from pituning.experts.model import ExpertModel
from pituning.tasks.base import Task
from tests.backbones.making import Tiny
from tests.backbones.tiny import TINY, each, pairs
from tests.experts.contract import KindContract, noisy


@pytest.fixture(scope="module", params=each())
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.param


@pytest.fixture(scope="module")
def directory(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def backbone(directory: Path) -> Backbone:
    return Backbone.load(directory)


@pytest.mark.parametrize(("tiny", "kind"), pairs(), indirect=["tiny"], scope="module")
class TestKinds(KindContract):
    pass


def test_a_kind_that_a_family_cannot_have_is_refused_with_the_reason(backbone: Backbone) -> None:
    for kind, reason in backbone.record.without.items():
        with pytest.raises(BadInput, match=f"^{kind} experts cannot be used on backbone .*: {re.escape(reason)}"):
            ExpertModel(backbone, kind)


@pytest.mark.parametrize("kind", ["lora", "bottleneck", "ia3"])
def test_the_start_is_the_backbone_itself(kind: str, backbone: Backbone, text_task: Task) -> None:
    model = ExpertModel(backbone, kind)
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    with torch.no_grad():
        torch.testing.assert_close(model.forward(model.initial(7), batch), backbone.logits(batch))


def test_loras_of_other_ranks_scales_and_maps_meet_in_one_space(backbone: Backbone, text_task: Task) -> None:
    usual = ExpertModel(backbone, "lora")
    narrow = ExpertModel(backbone, "lora", {"rank": 2, "scale": 8.0})
    some = replace(narrow.space, sites=narrow.space.sites[:1])
    models = [usual, narrow, ExpertModel(backbone, "lora", space=some)]
    space = common_space([model.space for model in models])
    together = ExpertModel(backbone, "lora", space=space)
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    with torch.no_grad():
        for number, model in enumerate(models):
            values = noisy(model, number)
            expected = model.forward(values, batch)
            found = together.forward(placed(values, model.space, space), batch)
            assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_predictions_with_an_expert_are_restored_after_an_error(backbone: Backbone, text_task: Task) -> None:
    batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    for kind in [kind for kind in mixable_kinds() if kind not in backbone.record.without]:
        model = ExpertModel(backbone, kind)
        with torch.no_grad():
            before = backbone.logits(batch)
            with pytest.raises(RuntimeError), model.using(noisy(model)):
                raise RuntimeError
            assert torch.equal(backbone.logits(batch), before)
        with pytest.raises(BadInput, match="shape"):
            model.forward(torch.zeros(3), batch)


@pytest.mark.parametrize(
    ("kind", "config", "match"),
    [
        ("bottle", None, "unknown expert kind 'bottle'; did you mean bottleneck"),
        ("lora", {"size": 3}, "no setting 'size'"),
        ("lora", {"rank": 0}, "rank is 0"),
        ("bottleneck", {"size": 2.5}, "size is 2.5"),
        ("prefix", {"tokens": "x"}, "tokens is 'x'"),
    ],
)
def test_unknown_kinds_and_settings(kind: str, config: dict[str, float] | None, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        full_settings(kind, config)


def test_a_prefix_on_prepared_examples_gives_the_same_loss(tiny_backbone: Backbone, vision_task: Task) -> None:
    model = ExpertModel(tiny_backbone, "prefix")
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train")[:9])
    values = model.initial(3)
    plain = model.loss(values, encoded.batch(range(9)))
    prepared = model.prepare(encoded)
    assert prepared.states is not None
    torch.testing.assert_close(model.loss(values, prepared.batch(range(9))), plain, atol=1e-5, rtol=1e-5)
    assert model.predict(values, prepared, vision_task) == model.predict(values, encoded, vision_task)
    assert ExpertModel(tiny_backbone, "lora").prepare(encoded) is encoded


def test_large_maps_mix_in_activation_space_as_small_ones_merged(
    tiny_backbone: Backbone, text_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pituning.experts.kinds import lora
    from pituning.tuning.interpolation import Mixture

    model = ExpertModel(copy.deepcopy(tiny_backbone), "lora")
    experts = torch.stack([noisy(model, seed) for seed in range(3)])
    weights = torch.rand(len(model.space.sites), 3, generator=torch.Generator().manual_seed(1))
    batch = model.backbone.encode(text_task, text_task.split("train")[:4]).batch(range(4))
    with torch.no_grad():
        merged = Mixture(model).forward(experts, weights, batch)
        monkeypatch.setattr(lora, "MERGED_AT_MOST", 0)
        torch.testing.assert_close(Mixture(model).forward(experts, weights, batch), merged, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 8, 32])
def test_maps_are_merged_where_that_is_fewer_operations(count: int) -> None:
    """All of the shipped backbone's, whose numbers must stay; none of a real model's, whatever is mixed."""
    from pituning.experts.kinds.lora import merging_is_cheaper

    for d_out, d_in in ((128, 128), (128, 512), (512, 128)):
        assert merging_is_cheaper(d_out, d_in, 4 * count)
    for d_out, d_in in ((512, 512), (256, 1024), (768, 768), (1024, 4096)):
        assert not merging_is_cheaper(d_out, d_in, 4 * count)


def test_a_mixer_keeps_nothing_of_the_size_of_a_weight(tiny_backbone: Backbone) -> None:
    from pituning.tuning.interpolation import Mixture

    model = ExpertModel(tiny_backbone, "lora")
    mixture = Mixture(model)
    with mixture.using(torch.stack([noisy(model)] * 2), mixture.uniform(2)):
        pass
    plan = mixture._mixer.plan(2)  # type: ignore[attr-defined]
    assert plan.groups
    assert not any(
        isinstance(value, torch.Tensor) and value.dim() > 1 for g in plan.groups for value in vars(g).values()
    )


@pytest.mark.parametrize(
    "tiny", each([tiny for tiny in TINY if "prompt" not in FAMILIES[tiny.family].without]),
    indirect=True, scope="module",
)  # fmt: skip
def test_a_prompt_starts_from_ordinary_tokens_and_leaves_room_for_the_text(backbone: Backbone, text_task: Task) -> None:
    model = ExpertModel(backbone, "prompt", {"tokens": 40})
    table = backbone.model.get_input_embeddings()(torch.arange(len(backbone.tokenizer))).float()
    distances = torch.cdist(model.initial(2).view(40, -1), table)
    assert distances.amin(dim=1).max() < 0.1
    drawn = set(distances.argmin(dim=1).tolist())
    assert len(drawn) > 10
    assert not drawn & set(backbone.tokenizer.all_special_ids)
    too_long = replace(text_task.split("train")[0], text="good " * backbone.max_tokens)
    encoded = backbone.encode(text_task, [too_long, text_task.split("train")[1]])
    values = noisy(model)
    with torch.no_grad():
        together = model.loss(values, encoded.batch(range(2)))
        alone = torch.cat([model.loss(values, encoded.batch([row])) for row in range(2)])
    torch.testing.assert_close(together, alone, atol=5e-5, rtol=1e-4)
    with pytest.raises(BadInput, match=rf"takes {backbone.max_tokens} tokens in all"):
        ExpertModel(backbone, "prompt", {"tokens": backbone.max_tokens})
