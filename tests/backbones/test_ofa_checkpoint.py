"""Conversion of published weights, the tokenizer and the preprocessing."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pituning.backbones.files import FILES
from pituning.backbones.ofa.checkpoint import convert_checkpoint
from pituning.backbones.ofa.model import OfaForConditionalGeneration
from pituning.backbones.ofa.pixels import pixel_values
from pituning.backbones.ofa.tokenizer import BINS, CODES, ofa_tokenizer, read_bpe
from pituning.errors import ArtefactError, BadInput, PiTuningError
from tests.backbones.ofa_models import SMALL, TIED, drawn_model

MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("c", "a"), ("ca", "t")]
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
WORDS = [*BYTES, *("".join(pair) for pair in MERGES)]
VOCABULARY = {word: index for index, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS, "<mask>"])}
SIZES = {**SMALL, "encoder_layers": 1, "decoder_layers": 2, "vocab_size": len(VOCABULARY) + CODES + BINS}

TO_FAIRSEQ = (
    (r"^(encoder\.layers\.\d+)\.self_attn_mid_layer_norm", r"\1.attn_ln"),
    (r"^(decoder\.layers\.\d+)\.self_attn_mid_layer_norm", r"\1.self_attn_ln"),
    (r"^(decoder\.layers\.\d+)\.cross_attn_mid_layer_norm", r"\1.cross_attn_ln"),
    (r"^(decoder\.layers\.\d+)\.cross_attn_layer_norm", r"\1.encoder_attn_layer_norm"),
    (r"^(decoder\.layers\.\d+)\.cross_attn\.", r"\1.encoder_attn."),
    (r"\.ffn_layer_norm\.", ".ffn_layernorm."),
)


@pytest.fixture(scope="module")
def model() -> OfaForConditionalGeneration:
    return drawn_model(**SIZES)


@pytest.fixture(scope="module")
def published(model) -> dict[str, torch.Tensor]:
    """The tensors of a published file: tied ones repeated, computed buffers and counters among them."""
    tensors = dict(model.state_dict())
    for side in ("encoder", "decoder"):
        tensors[f"{side}.token_rp_bucket"] = torch.zeros(8, 8, dtype=torch.long)
        tensors[f"{side}.image_rp_bucket"] = torch.zeros(8, 8, dtype=torch.long)
    tensors["decoder.image_position_idx"] = torch.zeros(1025, dtype=torch.long)
    tensors["encoder.embed_images.bn1.num_batches_tracked"] = torch.tensor(7)
    return tensors


@pytest.fixture
def bpe(tmp_path) -> Path:
    """A directory with the vocabulary in the hub's layout."""
    directory = tmp_path / "hub"
    directory.mkdir()
    (directory / "vocab.json").write_text(json.dumps(VOCABULARY), encoding="utf-8")
    (directory / "merges.txt").write_text("#version: 0.2\n" + _pairs(), encoding="utf-8")
    return directory


@pytest.fixture
def hub(bpe, published) -> Path:
    """A directory of the hub's layout, with fields that only the authors' code reads."""
    torch.save(published, bpe / "pytorch_model.bin")
    config = {
        **SIZES,
        "model_type": "ofa",
        "architectures": ["OFAModel"],
        "num_hidden_layers": SIZES["encoder_layers"],
        "activation_function": "gelu",
        "entangle_position_embedding": False,
        "normformer": True,
        "dropout": 0.1,
        "encoder_drop_path_rate": 0.0,
        "forced_eos_token_id": 2,
        "resnet_model_path": None,
        "torch_dtype": "float32",
        "transformers_version": "4.16.0.dev0",
    }
    (bpe / "config.json").write_text(json.dumps(config))
    return bpe


@pytest.fixture
def fairseq(tmp_path, published) -> Path:
    """A fairseq checkpoint in half precision with the vocabulary of that release beside it."""
    tensors = {}
    for key, tensor in published.items():
        for pattern, replacement in TO_FAIRSEQ:
            key = re.sub(pattern, replacement, key)
        tensors[key] = tensor.half() if tensor.is_floating_point() else tensor
    tensors["encoder.version"] = tensors["decoder.version"] = torch.tensor([3.0])
    tensors["decoder.image_position_idx"] = torch.zeros(1026, dtype=torch.long)
    directory = tmp_path / "fairseq"
    directory.mkdir()
    content = {"model": tensors, "args": argparse.Namespace(arch="ofa_tiny"), "cfg": None, "extra_state": {"epoch": 3}}
    torch.save(content, directory / "ofa_small.pt")
    # GPT-2 numbers its words otherwise than OFA, whose order is that of dict.txt.
    gpt2 = {word: index for index, word in enumerate(reversed(WORDS))}
    (directory / "encoder.json").write_text(json.dumps(gpt2), encoding="utf-8")
    (directory / "vocab.bpe").write_text("#version: 0.2\n" + _pairs(), encoding="utf-8")
    (directory / "dict.txt").write_text("".join(f"{gpt2[word]} 10\n" for word in WORDS))
    return directory / "ofa_small.pt"


def _pairs() -> str:
    return "".join(f"{first} {second}\n" for first, second in MERGES)


def loaded(directory: Path) -> OfaForConditionalGeneration:
    model, info = OfaForConditionalGeneration.from_pretrained(directory, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


@torch.no_grad()
def logits(model) -> torch.Tensor:
    pixels = torch.linspace(-1, 1, 3 * 32 * 48).view(1, 3, 32, 48)
    ids = torch.tensor([[0, 7, 300, 2]])
    return model(input_ids=ids, pixel_values=pixels, decoder_input_ids=ids).logits


def test_hub_layout(hub, model, tmp_path):
    target = tmp_path / "converted"
    convert_checkpoint(hub, target, image_size=64)
    assert {path.name for path in target.iterdir()} >= set(FILES)
    tensors = load_file(target / "model.safetensors")
    assert set(tensors) == set(model.state_dict()) - set(TIED)
    assert torch.equal(logits(loaded(target)), logits(model))
    config = json.loads((target / "config.json").read_text())
    assert config["architectures"] == ["OfaForConditionalGeneration"]
    assert {name: config[name] for name in SIZES} == SIZES
    assert "resnet_model_path" not in config
    preprocessing = json.loads((target / "preprocessor_config.json").read_text())
    assert (preprocessing["size"], preprocessing["resample"]) == ({"height": 64, "width": 64}, 3)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(target)
    assert tokenizer(" the cat")["input_ids"] == ofa_tokenizer(VOCABULARY, MERGES)(" the cat")["input_ids"]
    assert not list(tmp_path.glob(".tmp-*"))


def test_hub_layout_with_safetensors_needs_no_pickle(hub, published, model, tmp_path):
    distinct = {key: tensor.clone() for key, tensor in published.items()}
    save_file(distinct, hub / "model.safetensors")
    (hub / "pytorch_model.bin").write_bytes(b"not read")
    convert_checkpoint(hub, tmp_path / "converted")
    assert torch.equal(logits(loaded(tmp_path / "converted")), logits(model))


def test_fairseq_checkpoint(fairseq, model, tmp_path):
    convert_checkpoint(fairseq, tmp_path / "converted")
    converted = loaded(tmp_path / "converted")
    assert {name: getattr(converted.config, name) for name in SIZES} == SIZES
    expected = {key: tensor.half().float() for key, tensor in model.state_dict().items()}
    assert all(torch.equal(tensor, expected[key]) for key, tensor in converted.state_dict().items())
    assert (logits(converted) - logits(model)).abs().max() < 0.02
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path / "converted").get_vocab().items() >= VOCABULARY.items()


def test_fairseq_checkpoint_with_the_vocabulary_elsewhere(fairseq, bpe, tmp_path):
    alone = fairseq.rename(tmp_path / "ofa.pt")
    with pytest.raises(ArtefactError, match=r"holds no vocabulary"):
        convert_checkpoint(alone, tmp_path / "converted")
    convert_checkpoint(alone, tmp_path / "converted", tokenizer_files=bpe)
    loaded(tmp_path / "converted")


class Foreign:
    """What a pickle must not be able to bring in."""


def rewrite(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(hub: Path) -> None:
        tensors = torch.load(hub / "pytorch_model.bin", weights_only=True)
        torch.save(change(tensors) or tensors, hub / "pytorch_model.bin")

    return damage


def drop(*keys: str) -> Callable[[Path], None]:
    return rewrite(lambda tensors: {key: tensor for key, tensor in tensors.items() if key not in keys})


def edit(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(hub: Path) -> None:
        document = json.loads((hub / name).read_text(encoding="utf-8"))
        change(document)
        (hub / name).write_text(json.dumps(document), encoding="utf-8")

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda hub: (hub / "pytorch_model.bin").unlink(), r"pytorch_model\.bin are missing"),
        (lambda hub: (hub / "pytorch_model.bin").write_bytes(b"PK\x03\x04 half"), r"pytorch_model\.bin .*fetch them"),
        (lambda hub: (hub / "pytorch_model.bin").write_bytes(b""), r"pytorch_model\.bin .*fetch them"),
        (lambda hub: (hub / "model.safetensors").write_bytes(b"1234"), r"model\.safetensors cannot be read"),
        (rewrite(lambda t: {**t, "x": Foreign()}), r"need [\w.]*Foreign to be unpickled"),
        (rewrite(lambda t: {**t, "x": os.system}), r"need posix\.system to be unpickled"),
        (rewrite(lambda t: {**t, "step": 4}), "'step' is no tensor"),
        (rewrite(lambda t: list(t.values())), "hold a list"),
        (drop("decoder.layers.1.fc2.bias"), r"lacks 1 tensors.*fc2\.bias"),
        (drop("encoder.embed_tokens.weight", *TIED), r"lacks the tensor 'encoder\.embed_tokens\.weight'"),
        (rewrite(lambda t: t.update({"decoder.adapter.weight": torch.ones(2)})), r"OFA has not.*adapter"),
        (rewrite(lambda t: t.update({"encoder.layer_norm.bias": torch.ones(3)})), r"shape \(3,\).*\(64,\)"),
        (rewrite(lambda t: t.update({TIED[0]: torch.ones(2, 64)})), "differs from"),
        (rewrite(lambda t: t.update({"encoder.embed_images.layer3.6.bn1.bias": torch.ones(2)})), r"\(3, 4, 7\) blocks"),
        (lambda hub: (hub / "config.json").unlink(), r"config\.json is missing"),
        (edit("config.json", lambda c: c.update(model_type="bart")), "'bart' model"),
        (edit("config.json", lambda c: c.update(d_model=128)), "has d_model 128, the tensors 64"),
        (edit("config.json", lambda c: c.update(d_model="wide")), r"config\.json cannot be used.*d_model"),
        (edit("config.json", lambda c: c.update(attn_scale_factor="2")), "config.json cannot be used.*attn_scale"),
        (edit("config.json", lambda c: c.update(normformer=False)), "normformer is False"),
        (lambda hub: (hub / "vocab.json").unlink(), "holds no vocabulary"),
        (lambda hub: (hub / "merges.txt").unlink(), r"merges\.txt is missing"),
        (lambda hub: (hub / "merges.txt").write_text("a b c\n"), r"merges\.txt, line 1"),
        (lambda hub: (hub / "merges.txt").write_text("x y\n"), "do not fit together"),
        (edit("vocab.json", lambda v: v.update(more=len(v))), "belongs to it"),
        (edit("vocab.json", lambda v: v.update(more=5000)), "without gaps"),
        (edit("vocab.json", lambda v: v.update({"<pad>": 0, "<s>": 1})), "<s> the id 1, not 0"),
        (edit("vocab.json", lambda v: v.pop("<mask>")), "lacks <mask>"),
    ],
)  # fmt: skip
def test_damage_is_named_in_one_line_and_nothing_is_written(hub, tmp_path, damage, words):
    damage(hub)
    with pytest.raises(PiTuningError, match=words) as caught:
        convert_checkpoint(hub, tmp_path / "converted")
    assert isinstance(caught.value, ArtefactError | BadInput)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "converted").exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_image_size_beyond_the_positions(hub, tmp_path):
    with pytest.raises(BadInput, match="image size 688.*1 to 672"):
        convert_checkpoint(hub, tmp_path / "converted", image_size=688)


def test_tokenizer():
    tokenizer = ofa_tokenizer(VOCABULARY, MERGES)
    words = VOCABULARY
    assert tokenizer(" the cat")["input_ids"] == [0, words["Ġthe"], words["Ġ"], words["cat"], 2]
    assert tokenizer("the", add_special_tokens=False)["input_ids"] == [words["t"], words["he"]]
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (
        0,
        1,
        2,
        3,
    )
    first_code = words["<mask>"] + 1
    assert tokenizer.convert_tokens_to_ids(["<code_0>", "<code_8191>"]) == [first_code, first_code + CODES - 1]
    assert tokenizer.convert_tokens_to_ids(["<bin_0>", "<bin_999>"]) == [
        first_code + CODES,
        first_code + CODES + BINS - 1,
    ]
    assert len(tokenizer) == SIZES["vocab_size"]


def test_boxes_are_one_token_a_side_and_survive_decoding():
    tokenizer = ofa_tokenizer(VOCABULARY, MERGES)
    box = [f"<bin_{index}>" for index in (7, 0, 999, 37)]
    ids = tokenizer.convert_tokens_to_ids(box)
    for text in (" " + " ".join(box), "".join(box)):
        assert tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == ids
    assert re.findall(r"<bin_\d+>", tokenizer.decode([0, *ids, 2, 1], skip_special_tokens=True)) == box


@pytest.mark.parametrize("text", [" the cat", "Ünïcode — 猫 🐈", "two  blanks ", "line\nbreak"])
def test_texts_survive(text):
    tokenizer = ofa_tokenizer(VOCABULARY, MERGES)
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_both_vocabularies_are_the_same(bpe, fairseq):
    assert read_bpe(bpe) == read_bpe(fairseq.parent) == (VOCABULARY, MERGES)


def test_unknown_line_of_the_dictionary(fairseq):
    (fairseq.parent / "dict.txt").write_text("0 10\nmadeupword0000 0\n")
    assert list(read_bpe(fairseq.parent)[0]) == ["<s>", "<pad>", "</s>", "<unk>", WORDS[-1], "madeupword0000", "<mask>"]
    (fairseq.parent / "dict.txt").write_text("0 10\n99999 0\n")
    with pytest.raises(ArtefactError, match=r"line 2 names '99999'"):
        read_bpe(fairseq.parent)


def test_pixels():
    """Squashed, not cropped; black is −1 and white 1."""
    picture = Image.new("L", (40, 20), 255)
    picture.paste(0, (0, 0, 20, 20))
    pixels = pixel_values([picture, picture.convert("RGBA").resize((7, 90))], 16)
    assert (pixels.shape, pixels.dtype) == ((2, 3, 16, 16), np.float32)
    assert (pixels[:, :, :, 0] == -1).all()
    assert (pixels[:, :, :, -1] == 1).all()
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (30, 50, 3)).astype(np.uint8))
    by_hand = np.asarray(noise.resize((24, 24), Image.Resampling.BICUBIC)).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(pixel_values([noise], 24)[0], by_hand, atol=1e-6)
