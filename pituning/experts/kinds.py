"""What each expert kind is in PEFT's terms: its config, and where its parameters sit in a Florence-2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PrefixTuningConfig, TaskType
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from pituning.experts.bottleneck import BottleneckConfig
from pituning.experts.shapes import prefix_layers
from pituning.experts.space import ExpertSpace

LAYERS = r"model\.language_model\.(encoder|decoder)\.layers\.\d+\."
# A plain list of names would also hit the vision tower.
LORA_TARGETS = LAYERS + r"(fc1|fc2|(self_attn|encoder_attn)\.(q_proj|v_proj))"
BOTTLENECK_TARGETS = LAYERS + r"(fc2|(self_attn|encoder_attn)\.out_proj)"


def peft_config(kind: str, config: Mapping[str, float], text_config: Any) -> PeftConfig:
    """The PEFT config of an expert of ``kind`` on a language model with ``text_config``."""
    if kind == "lora":
        rank = int(config["rank"])
        return LoraConfig(
            task_type=TaskType.SEQ_2_SEQ_LM,
            target_modules=LORA_TARGETS,
            r=rank,
            lora_alpha=_plain(config["scale"] * rank),
            lora_dropout=0.0,
        )
    if kind == "bottleneck":
        return BottleneckConfig(
            task_type=TaskType.SEQ_2_SEQ_LM, target_modules=BOTTLENECK_TARGETS, size=int(config["size"])
        )
    return PrefixTuningConfig(
        task_type=TaskType.SEQ_2_SEQ_LM,
        num_virtual_tokens=int(config["tokens"]),
        num_layers=prefix_layers(text_config.decoder_layers),
        token_dim=text_config.d_model,
        num_attention_heads=text_config.decoder_attention_heads,
        num_transformer_submodules=2,
        encoder_hidden_size=text_config.d_model,
    )


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def prefix_pair(layer: int, layers: int) -> int:
    """Which pair of PEFT's prefix table acts on decoder layer ``layer`` of ``layers``; see `prefix_layers`."""
    return 2 * layer % prefix_layers(layers)


def initial_values(space: ExpertSpace, seed: int) -> Tensor:
    """(P,) starting values, the same for the same seed. LoRA and bottleneck start as the backbone itself."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.zeros(space.size)
    for slot in space.slots():
        if slot.name.endswith((".bias", "lora_B.weight", "bottleneck_up.weight")):
            continue
        fan_in = slot.shape[1]
        if space.kind == "prefix":
            drawn = torch.randn(slot.size, generator=generator) * PREFIX_SPREAD
        else:
            # Uniform within 1/sqrt(fan_in), as PyTorch and PEFT start a linear map and lora_A.
            drawn = (torch.rand(slot.size, generator=generator) * 2 - 1) / math.sqrt(fan_in)
        values[slot.start : slot.stop] = drawn
    return values


PREFIX_SPREAD = 0.2
"""Standard deviation of a prefix's starting keys and values."""


def prefix_cache(pairs: Tensor, heads: int) -> EncoderDecoderCache:
    """The decoder cache that a prefix starts with.

    Args:
        pairs: (B, L, 2, n, D) keys and values of each decoder layer; gradients flow through.
        heads: attention heads of the decoder.
    """
    size, layers, _, tokens, width = pairs.shape
    split = pairs.view(size, layers, 2, tokens, heads, width // heads).transpose(3, 4)  # (B, L, 2, heads, n, D/heads)
    own = [(split[:, layer, 0], split[:, layer, 1]) for layer in range(layers)]
    return EncoderDecoderCache(DynamicCache(own), DynamicCache())


def prefix_table(values: Tensor, layers: int, tokens: int, width: int) -> Tensor:
    """(n, 2 N D), PEFT's prefix table, from flat values; pairs that act on no layer are zero."""
    pairs = values.new_zeros(prefix_layers(layers), 2, tokens, width)
    pairs[[prefix_pair(layer, layers) for layer in range(layers)]] = values.view(layers, 2, tokens, width)
    return pairs.permute(2, 0, 1, 3).reshape(tokens, -1)


def prefix_values(table: Tensor, layers: int, tokens: int, width: int) -> Tensor:
    """(P,), the inverse of `prefix_table`."""
    pairs = table.view(tokens, prefix_layers(layers), 2, width).permute(1, 2, 0, 3)
    return pairs[[prefix_pair(layer, layers) for layer in range(layers)]].reshape(-1)
