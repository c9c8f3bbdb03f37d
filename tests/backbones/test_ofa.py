"""The model: reference logits, padding, caches, prefixes, soft prompts, PEFT, saving."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from pituning.backbones.ofa.config import OfaConfig
from pituning.backbones.ofa.model import OfaForConditionalGeneration
from pituning.backbones.ofa.positions import patch_buckets, patch_positions, text_buckets
from pituning.backbones.ofa.resnet import patch_grid
from pituning.errors import BadInput
from tests.backbones.ofa_models import ROOT, SMALL, TIED, drawn_model, shared

PAD, END = 1, 2


@pytest.fixture(scope="module")
def small() -> OfaForConditionalGeneration:
    return drawn_model(**SMALL)


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    """Two texts of 9 and 6 tokens, two images of 3 x 4 patches, 7 decoder tokens."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(4, 2000, (2, 9), generator=generator)
    ids[1, 6:] = PAD
    return {
        "input_ids": ids,
        "pixel_values": torch.randn(2, 3, 48, 64, generator=generator),
        "decoder_input_ids": torch.randint(4, 2000, (2, 7), generator=generator),
    }


def empty_cache() -> EncoderDecoderCache:
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


@torch.no_grad()
def logits(model, **arguments) -> torch.Tensor:
    return model(**arguments).logits


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return (one - other).abs().max().item()


def case_logits(model, tensors, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ours and the reference's."""
    ours = logits(
        model,
        input_ids=tensors[f"{name}.input_ids"],
        pixel_values=tensors.get(f"{name}.pixels"),
        decoder_input_ids=tensors[f"{name}.decoder_input_ids"],
    )
    return ours, tensors[f"{name}.logits"]


@pytest.mark.parametrize("case", ["text", "long"])
def test_golden_logits_of_the_small_model(small, case):
    """`long` has 300 tokens and 4 x 6 patches, so logarithmic buckets and both relative tables take part."""
    tensors = load_file(ROOT / "tests/backbones/data/ofa-small.safetensors")
    ours, reference = case_logits(small, tensors, f"small.{case}")
    assert distance(ours[..., ::4], reference) < 1e-5


@pytest.mark.parametrize("name", ["small", "tiny", "base"])
def test_reference_logits(name):
    model_facts = json.loads(shared("keys.json").read_text())[name]
    tensors = load_file(shared("fixtures.safetensors"))
    model = drawn_model(**model_facts["config"], vocab_size=model_facts["vocab_size"])
    assert {key: list(tensor.shape) for key, tensor in model.state_dict().items()} == model_facts["keys"]
    cases = sorted({key.rsplit(".", 1)[0] for key in tensors if key.startswith(f"{name}.")})
    assert cases
    for case in cases:
        ours, reference = case_logits(model, tensors, case)
        assert distance(ours, reference) < 1e-4, case


@pytest.mark.parametrize(
    ("sizes", "parameters"),
    [
        pytest.param((256, 4, 4, 4, "resnet50"), 33.49, id="tiny"),
        pytest.param((512, 4, 4, 8, "resnet101"), 92.89, id="medium"),
        pytest.param((768, 6, 6, 12, "resnet101"), 182.24, id="base"),
        pytest.param((1024, 12, 12, 16, "resnet152"), 472, id="large"),
        pytest.param((1280, 24, 12, 16, "resnet152"), 930, id="huge"),
    ],
)
def test_published_sizes(sizes, parameters):
    width, encoder, decoder, heads, resnet = sizes
    with torch.device("meta"):
        model = OfaForConditionalGeneration(
            OfaConfig(
                d_model=width,
                encoder_layers=encoder,
                decoder_layers=decoder,
                encoder_attention_heads=heads,
                decoder_attention_heads=heads,
                encoder_ffn_dim=4 * width,
                decoder_ffn_dim=4 * width,
                resnet_type=resnet,
            )
        )
    assert sum(tensor.numel() for tensor in model.parameters()) / 1e6 == pytest.approx(parameters, rel=0.01)


def test_buckets_are_those_of_the_published_buffers():
    place = torch.arange(1024)
    text = text_buckets(place, place, size=256, longest=1024)
    assert text[0, 0] == 255
    assert text[128, 0] == 383
    assert text[129, 0] == 384
    assert (text.min(), text.max()) == (0, 510)
    assert torch.equal(text + text.T, torch.full_like(text, 510))
    positions = patch_positions((42, 42), size=42)
    assert torch.equal(positions, torch.arange(1, 1765))
    image = patch_buckets(positions, size=42)
    assert (image[0, 0], image[-1, 0], image[0, -1]) == (41 * 83 + 41, 6888, 0)
    assert torch.equal(patch_positions((2, 3), size=42), torch.tensor([1, 2, 3, 43, 44, 45]))


def test_padding_and_batch_mates_change_nothing(small, inputs):
    together = logits(small, **inputs)
    alone = logits(
        small,
        input_ids=inputs["input_ids"][1:, :6],
        pixel_values=inputs["pixel_values"][1:],
        decoder_input_ids=inputs["decoder_input_ids"][1:],
    )
    assert distance(together[1:], alone) < 2e-6
    mask = inputs["input_ids"] != PAD
    other_padding = {**inputs, "input_ids": inputs["input_ids"].masked_fill(~mask, 7), "attention_mask": mask.long()}
    assert distance(together, logits(small, **other_padding)) < 2e-6


def test_decoder_is_causal(small, inputs):
    shorter = {**inputs, "decoder_input_ids": inputs["decoder_input_ids"][:, :3]}
    assert distance(logits(small, **inputs)[:, :3], logits(small, **shorter)) < 2e-6


def test_features_computed_once_give_the_same_as_pixels(small, inputs):
    rest = {key: value for key, value in inputs.items() if key != "pixel_values"}
    with torch.no_grad():
        features = small.image_features(inputs["pixel_values"])
    grid = patch_grid(48, 64)
    assert (grid, features.shape) == ((3, 4), (2, 12, 64))
    assert small.patch_positions(grid).tolist() == [1, 2, 3, 4, 43, 44, 45, 46, 85, 86, 87, 88]
    assert distance(logits(small, **inputs), logits(small, **rest, image_features=features, image_grid=grid)) == 0


def test_encoder_output_carries_what_the_decoder_needs(small, inputs):
    with torch.no_grad():
        encoded = small.get_encoder()(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"])
    assert encoded.last_hidden_state.shape == encoded.position_embedding.shape == (2, 21, 64)
    assert encoded.attention_mask.sum(dim=1).tolist() == [21, 18]
    again = logits(small, encoder_outputs=encoded, decoder_input_ids=inputs["decoder_input_ids"])
    assert distance(again, logits(small, **inputs)) == 0
    assert torch.equal(small.encoder.position_embedding(9, (3, 4))[0], encoded.position_embedding[0])


def test_soft_prompts_enter_as_embedded_text(small, inputs):
    embedded = small.get_input_embeddings()(inputs["input_ids"])
    mask = inputs["input_ids"] != PAD
    others = {key: value for key, value in inputs.items() if key != "input_ids"}
    as_ids = logits(small, **inputs)
    assert distance(as_ids, logits(small, **others, inputs_embeds=embedded, attention_mask=mask)) == 0
    decoder = small.decoder.embed_tokens(others.pop("decoder_input_ids"))
    given = {**others, "inputs_embeds": embedded, "attention_mask": mask, "decoder_inputs_embeds": decoder}
    assert distance(as_ids, logits(small, **given)) == 0


@pytest.mark.parametrize("steps", [(1,) * 7, (3, 1, 3)], ids=["one by one", "in pieces"])
def test_incremental_decoding_equals_teacher_forcing(small, inputs, steps):
    whole = logits(small, **inputs)
    cache, parts = empty_cache(), []
    with torch.no_grad():
        encoded = small.get_encoder()(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"])
        for piece in inputs["decoder_input_ids"].split(steps, dim=1):
            output = small(encoder_outputs=encoded, decoder_input_ids=piece, past_key_values=cache, use_cache=True)
            assert output.past_key_values is cache
            parts.append(output.logits)
    assert cache.get_seq_length() == 7
    assert distance(torch.cat(parts, dim=1), whole) < 1e-5


def best(scores: torch.Tensor) -> torch.Tensor:
    """The best token (B, 1) that is not the end."""
    scores[:, END] = -torch.inf
    return scores.argmax(dim=1, keepdim=True)


def greedy(model, steps: int, **arguments) -> torch.Tensor:
    """Slow and obvious: everything anew for each token."""
    ids = torch.zeros(2, 1, dtype=torch.long)
    for _ in range(steps):
        ids = torch.cat([ids, best(logits(model, **arguments, decoder_input_ids=ids)[:, -1])], dim=1)
    return ids


def test_greedy_decoding(small, inputs):
    source = {key: inputs[key] for key in ("input_ids", "pixel_values")}
    expected = greedy(small, 6, **source)
    cache, ids = empty_cache(), torch.zeros(2, 1, dtype=torch.long)
    with torch.no_grad():
        encoded = small.get_encoder()(**source)
        for _ in range(6):
            scores = small(encoder_outputs=encoded, decoder_input_ids=ids[:, -1:], past_key_values=cache).logits[:, -1]
            ids = torch.cat([ids, best(scores)], dim=1)
    assert torch.equal(ids, expected)
    generated = small.generate(**source, max_new_tokens=6, min_new_tokens=6, do_sample=False, num_beams=1)
    assert torch.equal(generated, expected)


def test_beam_search_of_transformers(small, inputs):
    """Beams are batch mates: the same whether an example is decoded alone or with another."""
    source = {key: inputs[key] for key in ("input_ids", "pixel_values")}
    settings = {"num_beams": 5, "max_new_tokens": 6, "no_repeat_ngram_size": 3}
    both = small.generate(**source, **settings)
    alone = small.generate(**{key: value[:1] for key, value in source.items()}, **settings)
    assert torch.equal(both[:1, : alone.shape[1]], alone)


def prefixed_cache(model, size: int, length: int) -> EncoderDecoderCache:
    cache, generator = empty_cache(), torch.Generator().manual_seed(9)
    for layer in range(model.config.decoder_layers):
        shape = (1, 4, length, 16)
        keys, values = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
        cache.self_attention_cache.update(keys.expand(size, -1, -1, -1), values.expand(size, -1, -1, -1), layer)
    return cache


def test_prefix_has_no_position(small, inputs):
    """Real tokens begin at position 0 whatever the prefix: one that takes no attention changes nothing."""
    plain = logits(small, **inputs)
    arguments = {"past_key_values": prefixed_cache(small, 2, 5), "prefix_length": 5}
    prefixed = logits(small, **inputs, **arguments)
    assert prefixed.shape == plain.shape
    assert distance(prefixed, plain) > 1e-3
    cache, parts = prefixed_cache(small, 2, 5), []
    for piece in inputs["decoder_input_ids"].split([1, 4, 2], dim=1):
        given = {**inputs, "decoder_input_ids": piece, "past_key_values": cache, "prefix_length": 5}
        parts.append(logits(small, **given))
    assert distance(torch.cat(parts, dim=1), prefixed) < 1e-5
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = prefixed_cache(small, 2, 5)
    for layer in shuffled.self_attention_cache.layers:
        layer.keys, layer.values = layer.keys[:, :, order], layer.values[:, :, order]
    assert distance(logits(small, **inputs, past_key_values=shuffled, prefix_length=5), prefixed) < 1e-5


def test_prefix_that_is_not_seen_changes_nothing(small, inputs, monkeypatch):
    """Scores of a prefix are products alone, without bias; where they are very low it is as if it were absent."""
    plain = logits(small, **inputs)
    cache = prefixed_cache(small, 2, 3)
    real = torch.nn.functional.scaled_dot_product_attention

    def unseen(queries, keys, values, attn_mask, scale):
        mask = attn_mask.clone()
        if keys.shape[2] == 3 + 7:
            assert (mask[..., :3] == 0).all()
            mask[..., :3] = torch.finfo(mask.dtype).min
        return real(queries, keys, values, attn_mask=mask, scale=scale)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", unseen)
    assert distance(logits(small, **inputs, past_key_values=cache, prefix_length=3), plain) < 2e-6


def test_training_mode_changes_nothing(small, inputs):
    model = copy.deepcopy(small)
    before = {key: tensor.clone() for key, tensor in model.named_buffers()}
    assert "encoder.embed_images.bn1.running_mean" in before
    assert distance(logits(model.train(), **inputs), logits(small, **inputs)) == 0
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.named_buffers())


def test_bfloat16(small, inputs):
    model = copy.deepcopy(small).to(torch.bfloat16)
    output = logits(model, **inputs)
    assert output.dtype == torch.bfloat16
    assert distance(output.float(), logits(small, **inputs)) < 0.05
    steps = [
        logits(model, **{**inputs, "decoder_input_ids": piece}, past_key_values=cache)
        for cache in [empty_cache()]
        for piece in inputs["decoder_input_ids"].split(1, dim=1)
    ]
    assert distance(torch.cat(steps, dim=1).float(), output.float()) < 0.05


def test_gradients_reach_inputs_and_weights(small, inputs):
    model = copy.deepcopy(small).requires_grad_(True)
    model(**inputs).logits.logsumexp(-1).sum().backward()
    without = [name for name, tensor in model.named_parameters() if tensor.grad is None]
    unused = ("code_layernorm_embedding", "embed_image_positions", "image_pos_ln", "image_rel_pos_table_list")
    assert without
    assert all(name.startswith("decoder.") and name.split(".")[1] in unused for name in without)
    assert all(torch.isfinite(tensor.grad).all() for tensor in model.parameters() if tensor.grad is not None)


def test_save_and_load(small, inputs, tmp_path):
    small.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert not set(file.keys()) & set(TIED)
    loaded, info = OfaForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert loaded.decoder.output_projection.weight is loaded.encoder.embed_tokens.weight
    assert loaded.decoder.embed_tokens.weight is loaded.encoder.embed_tokens.weight
    assert distance(logits(loaded, **inputs), logits(small, **inputs)) == 0


def test_computed_buffers_of_published_files_are_passed_over(small, inputs, tmp_path):
    small.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for side in ("encoder", "decoder"):
        tensors[f"{side}.token_rp_bucket"] = torch.zeros(1024, 1024, dtype=torch.long)
        tensors[f"{side}.image_rp_bucket"] = torch.zeros(1765, 1765, dtype=torch.long)
    tensors["decoder.image_position_idx"] = torch.zeros(1025, dtype=torch.long)
    tensors["encoder.embed_images.bn1.num_batches_tracked"] = torch.tensor(3)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded, info = OfaForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert distance(logits(loaded, **inputs), logits(small, **inputs)) == 0


@pytest.mark.parametrize("task_type", [None, "SEQ_2_SEQ_LM"])
def test_lora_is_injected_saved_and_loaded(small, inputs, tmp_path, task_type):
    targets = ["q_proj", "k_proj", "v_proj", "out_proj"]
    config = LoraConfig(r=4, target_modules=targets, init_lora_weights=False, task_type=task_type)
    tuned = get_peft_model(copy.deepcopy(small), config).eval()
    assert sum("lora_A" in name for name, _ in tuned.named_parameters()) == 4 * (2 + 2 + 2)
    expected = logits(tuned, **inputs)
    assert distance(expected, logits(small, **inputs)) > 1e-3
    tuned.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(copy.deepcopy(small), tmp_path).eval()
    assert distance(logits(again, **inputs), expected) == 0
    assert distance(logits(again.merge_and_unload(), **inputs), expected) < 1e-5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_ids": None}, "neither input_ids nor inputs_embeds"),
        ({"decoder_input_ids": None}, "neither of decoder_input_ids"),
        ({"attention_mask": torch.ones(2, 21)}, r"\(2, 21\).*\(2, 9\)"),
        ({"pixel_values": torch.zeros(2, 1, 32, 32)}, r"\(2, 1, 32, 32\)"),
        ({"pixel_values": torch.zeros(2, 3, 16, 688)}, "1 x 43 patches"),
        ({"pixel_values": None, "image_features": torch.zeros(2, 6, 64)}, "image_grid"),
        ({"pixel_values": None, "image_features": torch.zeros(2, 6, 64), "image_grid": (2, 2)}, r"\(2, 4, D\)"),
        ({"image_features": torch.zeros(2, 6, 64)}, "both pixel_values and image_features"),
        ({"input_ids": torch.full((2, 1025), 5)}, "1025 tokens"),
        ({"decoder_input_ids": torch.full((2, 1025), 5)}, "1025 decoder tokens"),
        ({"prefix_length": 3}, "prefix_length is 3"),
        ({"past_key_values": DynamicCache()}, "DynamicCache"),
        ({"encoder_outputs": BaseModelOutput(torch.zeros(2, 9, 64))}, "position_embedding"),
        ({"labels": torch.zeros(2, 7)}, "'labels'"),
    ],
)
def test_bad_input_is_named_in_one_line(small, inputs, changes, words):
    with pytest.raises(BadInput, match=words) as caught:
        small(**{**inputs, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"entangle_position_embedding": True}, "entangle_position_embedding is True"),
        ({"resnet_type": "resnet18"}, "'resnet18'"),
        ({"encoder_attention_heads": 5}, "encoder_attention_heads is 5"),
        ({"decoder_attention_heads": 8}, "8 in the decoder"),
    ],
)
def test_config_of_another_ofa_is_refused(changes, words):
    with pytest.raises(BadInput, match=words):
        OfaForConditionalGeneration(OfaConfig(**{**SMALL, **changes}))
