"""OFAs with weights that anyone can draw again, and where the reference logits for them are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pituning.backbones.ofa.config import OfaConfig
from pituning.backbones.ofa.model import OfaForConditionalGeneration

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "vocab_size": 2000,
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "resnet_type": "resnet50",
}
TIED = ("decoder.embed_tokens.weight", "decoder.output_projection.weight")


def shared(name: str) -> Path:
    """A file of the reference implementation's outputs; skips the test where it is not laid out."""
    places = [Path(os.environ["PITUNING_SHARED"])] if "PITUNING_SHARED" in os.environ else [ROOT.parent / "shared"]
    path = places[0] / "ofa" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there: lay shared/ out beside the checkout, or set PITUNING_SHARED to it")
    return path


def drawn(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The random tensor of a key: each has its own stream."""
    generator = np.random.default_rng([0, *key.encode()])
    variance = key.endswith("running_var")
    values = generator.random(shape) + 0.5 if variance else generator.standard_normal(shape) * 0.05
    values = values.astype(np.float32)
    if (len(shape) == 1 and key.endswith("weight")) or key.endswith("c_attn"):
        values += 1
    return torch.from_numpy(values)


def drawn_model(**sizes: int | str) -> OfaForConditionalGeneration:
    """A model with the random tensors of its keys."""
    with torch.device("meta"):
        shapes = {
            key: tuple(tensor.shape) for key, tensor in OfaForConditionalGeneration(_config(sizes)).state_dict().items()
        }
    model = OfaForConditionalGeneration(_config(sizes))
    weights = {key: drawn(key, shape) for key, shape in shapes.items() if key not in TIED}
    result = model.load_state_dict(weights, strict=False)
    assert set(result.missing_keys) == set(TIED)
    assert not result.unexpected_keys
    return model.eval().requires_grad_(False)


def _config(sizes: dict[str, int | str]) -> OfaConfig:
    return OfaConfig(**sizes)
