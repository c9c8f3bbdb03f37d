"""Where an expert's parameters sit in a Florence-2, and what a PEFT checkpoint of them holds. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError, BadInput
from pituning.experts.space import DEFAULT_CONFIG, ExpertSpace, Site, TensorSlot, check_kind
from pituning.workspace.atomic import read_json

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


@dataclass(frozen=True, kw_only=True)
class TextShape:
    """The sizes of a backbone's language model that experts depend on."""

    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int

    @classmethod
    def read(cls, backbone: Path) -> TextShape:
        """That of the backbone in a directory.

        Raises:
            ArtefactError: its ``config.json`` is missing or does not say.
        """
        path = backbone / "config.json"
        document = read_json(path)
        text = document.get("text_config") if isinstance(document, dict) else None
        sizes = {field.name: text.get(field.name) if isinstance(text, dict) else None for field in fields(cls)}
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise ArtefactError(f"{path} has text_config.{name} {value!r}; restore or rebuild the backbone")
        return cls(**{name: int(value) for name, value in sizes.items() if value is not None})


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


def prefix_layers(layers: int) -> int:
    """How many layers of prefix to ask PEFT for, so that each of ``layers`` decoder layers gets a prefix of its own.

    For encoder-decoder models PEFT 0.21 doubles the list of its N key and value pairs and gives layer j the pair
    2j mod N (`PeftModel.get_prompt`): all different for odd N, while for even N two layers share a pair and half of
    them do nothing.
    """
    return layers if layers % 2 else layers + 1


def build_space(kind: str, config: Mapping[str, float], text_config: Any) -> ExpertSpace:
    """The flat layout of an expert of ``kind`` on a language model of that size.

    Args:
        text_config: the backbone's, or a `TextShape` read from its files.
    """
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


def expected_shapes(space: ExpertSpace, layers: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a PEFT checkpoint of this layout, by name."""
    if space.kind == "prefix":
        tokens, width = next(space.slots()).shape
        return {PREFIX_TENSOR: (tokens, 2 * prefix_layers(layers) * width)}
    return {slot.name: slot.shape for slot in space.slots()}
