"""What each expert kind is in PEFT's terms: its config, and where its parameters sit in a Florence-2."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PrefixTuningConfig, TaskType
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from pituning.errors import BadInput
from pituning.experts.bottleneck import BottleneckConfig
from pituning.experts.space import DEFAULT_CONFIG, ExpertSpace, Site, TensorSlot, check_kind

LAYERS = r"model\.language_model\.(encoder|decoder)\.layers\.\d+\."
# A plain list of names would also hit the vision tower.
LORA_TARGETS = LAYERS + r"(fc1|fc2|(self_attn|encoder_attn)\.(q_proj|v_proj))"
BOTTLENECK_TARGETS = LAYERS + r"(fc2|(self_attn|encoder_attn)\.out_proj)"

CHECKPOINT_ROOT = "base_model.model."
"""What PEFT puts before a module's name in a checkpoint."""
PREFIX_TENSOR = "prompt_embeddings"
"""The prefix's one tensor in a PEFT checkpoint."""

ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "lora": {"attn": ("q_proj", "v_proj"), "ffn": ("fc1", "fc2")},
    "bottleneck": {"attn": ("out_proj",), "ffn": ("fc2",)},
}
PARTS: dict[str, tuple[str, ...]] = {
    "lora": ("lora_A.weight", "lora_B.weight"),
    "bottleneck": (
        "bottleneck_down.weight",
        "bottleneck_down.bias",
        "bottleneck_up.weight",
        "bottleneck_up.bias",
    ),
}


def full_config(kind: str, config: Mapping[str, float] | None = None) -> dict[str, float]:
    """The kind's defaults with ``config`` over them.

    Raises:
        BadInput: for an unknown kind, an unknown key or a size below 1.
    """
    merged = dict(DEFAULT_CONFIG[check_kind(kind)])
    for key, value in (config or {}).items():
        if key not in merged:
            raise BadInput(f"{kind} has no setting {key!r}; it has {', '.join(merged)}")
        usable = isinstance(value, int | float) and math.isfinite(value) and value > 0
        if not usable or (key != "scale" and int(value) != value):
            raise BadInput(f"{kind} setting {key} is {value!r}; give a number above 0, whole where it is a size")
        merged[key] = value
    return merged


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


def prefix_layers(layers: int) -> int:
    """How many layers of prefix to ask PEFT for, so that each of ``layers`` decoder layers gets a prefix of its own.

    For encoder-decoder models PEFT 0.21 doubles the list of its N key and value pairs and gives layer j the pair
    2j mod N (`PeftModel.get_prompt`): all different for odd N, while for even N two layers share a pair and half of
    them do nothing.
    """
    return layers if layers % 2 else layers + 1


def prefix_pair(layer: int, layers: int) -> int:
    """Which pair of PEFT's prefix table acts on decoder layer ``layer`` of ``layers``; see `prefix_layers`."""
    return 2 * layer % prefix_layers(layers)


def build_space(kind: str, config: Mapping[str, float], text_config: Any) -> ExpertSpace:
    """The flat layout of an expert of ``kind`` on a language model with ``text_config``."""
    sites: list[Site] = []
    position = 0

    def add(name: str, layer: str, module: str, shapes: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        nonlocal position
        slots = []
        for slot, shape in shapes:
            slots.append(TensorSlot(slot, shape, position))
            position = slots[-1].stop
        sites.append(Site(name, layer, module, tuple(slots)))

    root = "model.language_model"
    if kind == "prefix":
        shape = (int(config["tokens"]), text_config.d_model)
        for layer in range(text_config.decoder_layers):
            name = f"decoder.{layer}"
            parts = [(f"{PREFIX_TENSOR}.{name}.{part}", shape) for part in ("key", "value")]
            add(f"{name}.self_attn", name, f"{root}.decoder.layers.{layer}.self_attn", parts)
        return ExpertSpace(kind, dict(config), tuple(sites))
    for stack, layers, width in (
        ("encoder", text_config.encoder_layers, text_config.encoder_ffn_dim),
        ("decoder", text_config.decoder_layers, text_config.decoder_ffn_dim),
    ):
        blocks = ("self_attn", "ffn") if stack == "encoder" else ("self_attn", "encoder_attn", "ffn")
        for layer in range(layers):
            for block in blocks:
                module = f"{root}.{stack}.layers.{layer}" + ("" if block == "ffn" else f".{block}")
                shapes = [
                    (
                        f"{CHECKPOINT_ROOT}{module}.{linear}.{part}",
                        _shape(part, linear, config, text_config.d_model, width),
                    )
                    for linear in ROLES[kind]["ffn" if block == "ffn" else "attn"]
                    for part in PARTS[kind]
                ]
                add(f"{stack}.{layer}.{block}", f"{stack}.{layer}", module, shapes)
    return ExpertSpace(kind, dict(config), tuple(sites))


def _shape(part: str, linear: str, config: Mapping[str, float], d_model: int, width: int) -> tuple[int, ...]:
    d_in = width if linear == "fc2" else d_model
    d_out = width if linear == "fc1" else d_model
    inner = int(config["rank"] if "rank" in config else config["size"])
    return {
        "lora_A.weight": (inner, d_in),
        "lora_B.weight": (d_out, inner),
        "bottleneck_down.weight": (inner, d_out),
        "bottleneck_down.bias": (inner,),
        "bottleneck_up.weight": (d_out, inner),
        "bottleneck_up.bias": (d_out,),
    }[part]


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
