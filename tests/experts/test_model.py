from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from pituning.backbones.base import nll_per_example
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.space import KINDS


def noisy(model: ExpertModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return model.initial(0) + 0.3 * torch.randn(model.space.size, generator=generator)


@pytest.fixture(scope="module")
def batch(two_layer_backbone, text_task):
    return two_layer_backbone.encode(text_task, text_task.split("train")[:7]).batch(range(7))


def peft_logits(model: ExpertModel, batch) -> torch.Tensor:
    return model.peft_model(
        inputs_embeds=batch.inputs_embeds,
        attention_mask=batch.attention_mask,
        decoder_input_ids=batch.decoder_input_ids,
    ).logits


@pytest.mark.parametrize("kind", KINDS)
def test_forward_equals_the_peft_model(kind, two_layer_backbone, vision_task, text_task):
    model = ExpertModel(two_layer_backbone, kind)
    values = noisy(model)
    model.load_values(values)
    for task in (vision_task, text_task):
        batch = two_layer_backbone.encode(task, task.split("train")[:7]).batch(range(7))
        with torch.no_grad():
            ours = model.forward(values, batch)
            torch.testing.assert_close(ours, peft_logits(model, batch), atol=1e-5, rtol=0)
            torch.testing.assert_close(ours, model.network(batch), atol=0, rtol=0)
            assert (ours - two_layer_backbone.network(batch)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_autograd_through_the_peft_model(kind, two_layer_backbone, batch):
    model = ExpertModel(two_layer_backbone, kind)
    values = noisy(model).requires_grad_(True)
    model.loss(values, batch).sum().backward()

    model.load_values(values)
    parameters = {name: p for name, p in model.peft_model.named_parameters() if "default" in name}
    leaves = {name: p.detach().clone().requires_grad_(True) for name, p in parameters.items()}
    inputs = {
        "inputs_embeds": batch.inputs_embeds,
        "attention_mask": batch.attention_mask,
        "decoder_input_ids": batch.decoder_input_ids,
    }
    logits = functional_call(model.peft_model, leaves, (), inputs).logits
    nll_per_example(logits, batch.labels).sum().backward()
    if kind == "prefix":
        expected = model.values_of({"prompt_embeddings": leaves["prompt_encoder.default.embedding.weight"].grad})
    else:
        expected = torch.cat([leaves[model.parameter_name(slot)].grad.flatten() for slot in model.space.slots()])
    torch.testing.assert_close(values.grad, expected, atol=1e-5, rtol=1e-4)
    for slot in model.space.slots():
        assert values.grad[slot.start : slot.stop].abs().max() > 0, slot.name


@pytest.mark.parametrize("kind", ["lora", "bottleneck"])
def test_start_is_the_backbone_itself(kind, two_layer_backbone, batch):
    model = ExpertModel(two_layer_backbone, kind)
    with torch.no_grad():
        torch.testing.assert_close(model.forward(model.initial(7), batch), two_layer_backbone.network(batch))


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_follow_the_seed_alone(kind, tiny_backbone):
    model = ExpertModel(tiny_backbone, kind)
    torch.manual_seed(0)
    first = model.initial(1)
    assert torch.equal(first, ExpertModel(tiny_backbone, kind).initial(1))
    assert not torch.equal(first, model.initial(2))
    state = torch.get_rng_state()
    ExpertModel(tiny_backbone, kind)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_space_covers_the_trainable_parameters(kind, two_layer_backbone):
    model = ExpertModel(two_layer_backbone, kind)
    space = model.space
    parameters = {name: p.numel() for name, p in model.peft_model.named_parameters() if "default" in name}
    if kind == "prefix":  # one pair of keys and values more than there are layers
        assert space.size == parameters["prompt_encoder.default.embedding.weight"] * 2 // 3
    else:
        assert {model.parameter_name(slot): slot.size for slot in space.slots()} == parameters
    assert sum(space.site_sizes) == sum(space.sizes) == space.size
    expected = [
        f"{stack}.{layer}.{block}"
        for stack, blocks in (("encoder", ("self_attn", "ffn")), ("decoder", ("self_attn", "encoder_attn", "ffn")))
        for layer in range(2)
        for block in blocks
        if kind != "prefix" or (stack == "decoder" and block == "self_attn")
    ]
    assert list(space.site_names) == expected
    modules = dict(two_layer_backbone.model.named_modules())
    assert all(site.module in modules for site in space.sites)


def test_vision_tower_has_no_expert(two_layer_backbone):
    for kind in KINDS:
        names = [n for n, _ in ExpertModel(two_layer_backbone, kind).peft_model.named_parameters() if "default" in n]
        assert not any("vision" in name or "projector" in name for name in names)


def test_using_restores_and_checks_the_shape(tiny_backbone, text_task):
    batch = tiny_backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
    for kind in KINDS:
        model = ExpertModel(tiny_backbone, kind)
        with torch.no_grad():
            before = model.network(batch)
            with pytest.raises(RuntimeError), model.using(noisy(model)):
                raise RuntimeError
            torch.testing.assert_close(model.network(batch), before, atol=0, rtol=0)
        with pytest.raises(BadInput, match="shape"):
            model.forward(torch.zeros(3), batch)


@pytest.mark.parametrize("kind", KINDS)
def test_predict_decodes_with_the_expert(kind, tiny_backbone, vision_task):
    """One decoder step with distinct first tokens: the answer is the label with the best first token."""
    model = ExpertModel(tiny_backbone, kind)
    values = noisy(model)
    encoded = tiny_backbone.encode(vision_task, vision_task.split("test"))
    first = [ids[0] for ids in tiny_backbone.token_ids(vision_task.labels)]
    with torch.no_grad():
        logits = model.forward(values, encoded.batch(range(len(encoded))))[:, 0, first]
    assert model.predict(values, encoded, vision_task, batch_size=5) == [
        vision_task.labels[index] for index in logits.argmax(dim=1).tolist()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_open_answers_with_the_expert_use_the_cache_rightly(kind, two_layer_backbone, box_task):
    """Against a loop that runs everything anew for each token."""
    model = ExpertModel(two_layer_backbone, kind)
    values = noisy(model)
    encoded = two_layer_backbone.encode(box_task, box_task.split("test")[:3])
    expected = []
    for index in range(3):
        batch = encoded.batch([index])
        ids = [two_layer_backbone.start_token]
        for _ in range(5):
            batch.decoder_input_ids = torch.tensor([ids])
            with torch.no_grad():
                ids.append(int(model.forward(values, batch)[0, -1].argmax()))
            if ids[-1] == two_layer_backbone.end_token:
                break
        expected.append(two_layer_backbone.tokenizer.decode(ids, skip_special_tokens=True).strip())
    assert model.predict(values, encoded, box_task) == expected


@pytest.mark.parametrize(
    ("kind", "config", "match"),
    [
        ("ia4", None, "unknown expert kind 'ia4'; choose one of lora, bottleneck, prefix"),
        ("lora", {"size": 3}, "no setting 'size'"),
        ("lora", {"rank": 0}, "rank is 0"),
        ("bottleneck", {"size": 2.5}, "size is 2.5"),
        ("prefix", {"tokens": "x"}, "tokens is 'x'"),
    ],
)
def test_unknown_kinds_and_settings(kind, config, match, tiny_backbone):
    with pytest.raises(BadInput, match=match):
        ExpertModel(tiny_backbone, kind, config)


def test_a_prefix_on_prepared_examples_gives_the_same_loss(tiny_backbone, vision_task) -> None:
    model = ExpertModel(tiny_backbone, "prefix")
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train")[:9])
    values = model.initial(3)
    plain = model.loss(values, encoded.batch(range(9)))
    prepared = model.prepare(encoded)
    assert prepared.states is not None
    torch.testing.assert_close(model.loss(values, prepared.batch(range(9))), plain, atol=1e-5, rtol=1e-5)
    assert model.predict(values, prepared, vision_task) == model.predict(values, encoded, vision_task)
    assert ExpertModel(tiny_backbone, "lora").prepare(encoded) is encoded
