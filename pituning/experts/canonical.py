"""Checkpoints of others in the form in which experts are kept, with the same outputs. Torch-free.

A LoRA has one rank and one scale: smaller ranks are padded with zeros, other scales folded into ``lora_B``. A prefix
has the table that gives every layer a pair of its own, a soft prompt the embeddings that act.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pituning.backbones.places import Places
from pituning.errors import BadInput

Tensors = Mapping[str, np.ndarray]

ROOT = "base_model.model."
"""What PEFT puts before a module's name in a checkpoint."""
LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"
TABLE = "prompt_embeddings"


@dataclass(frozen=True)
class Converted:
    """A checkpoint in the form in which it is kept.

    Args:
        document: ``adapter_config.json``.
        tensors: by name, float32.
        what: was done, for people.
    """

    document: Mapping[str, Any]
    tensors: Tensors
    what: str


Convert = Callable[[Mapping[str, Any], Tensors, Places], Converted | None]
"""From ``adapter_config.json``, tensors and the places of a backbone; None where nothing has to be changed.

Raises `BadInput` for what cannot be converted, to stand after the name of the file."""


def lora(document: Mapping[str, Any], tensors: Tensors, places: Places) -> Converted | None:
    """A LoRA of one rank and one scale that does the same as one with patterns or ``use_rslora``."""
    ranks, scales = document.get("rank_pattern") or {}, document.get("alpha_pattern") or {}
    if not (ranks or scales or document.get("use_rslora")):
        return None
    rooted = bool(document.get("use_rslora"))
    rank_of: dict[str, int] = {}
    scale_of: dict[str, float] = {}
    for name, tensor in tensors.items():
        if not name.endswith(LORA_A):
            continue
        module = name.removeprefix(ROOT).removesuffix(LORA_A)
        rank = int(_by_pattern(ranks, module, document["r"]))
        if tensor.ndim != 2 or tensor.shape[0] != rank:
            raise BadInput(f"has the tensor {name!r} with shape {tensor.shape}, and its config says rank {rank}")
        rank_of[module] = rank
        alpha = float(_by_pattern(scales, module, document["lora_alpha"]))
        scale_of[module] = alpha / (math.sqrt(rank) if rooted else rank)
    if not rank_of:
        return None
    widest = max(rank_of.values())
    # The commonest scale stays, so that most maps are kept to the last bit.
    values = list(scale_of.values())
    scale = max(values, key=values.count)
    widened = {}
    for name, tensor in tensors.items():
        module = name.removeprefix(ROOT).removesuffix(LORA_A).removesuffix(LORA_B)
        if module not in rank_of or tensor.ndim != 2:
            widened[name] = tensor
            continue
        missing = widest - rank_of[module]
        if name.endswith(LORA_A):
            widened[name] = np.pad(tensor, ((0, missing), (0, 0)))
        else:
            folded = tensor if scale_of[module] == scale else (tensor * (scale_of[module] / scale)).astype(np.float32)
            widened[name] = np.pad(folded, ((0, 0), (0, missing)))
    plain = {
        **document, "r": widest, "lora_alpha": scale * widest, "use_rslora": False, "rank_pattern": {},
        "alpha_pattern": {},
    }  # fmt: skip
    return Converted(plain, widened, f"made one rank ({widest}) and one scale ({scale:g})")


def prefix(document: Mapping[str, Any], tensors: Tensors, places: Places) -> Converted | None:
    """A prefix whose table gives each decoder layer a pair of its own, whatever PEFT gives it of theirs."""
    attention = places.attention
    layers, pairs = len(attention.layers), int(document.get("num_layers") or 0)
    projected = bool(document.get("prefix_projection"))
    twice = document.get("num_transformer_submodules") != 1
    if twice != attention.encoder_decoder:
        wanted = 2 if attention.encoder_decoder else 1
        raise BadInput(f"has num_transformer_submodules {3 - wanted}, this backbone wants {wanted}; train it with that")
    usual = pairs == attention.table_layers and not projected
    if usual or TABLE not in tensors:
        return None
    theirs, width = tensors[TABLE], attention.width
    if theirs.ndim != 2 or theirs.shape[1] != 2 * pairs * width:
        raise BadInput(f"has a table of shape {theirs.shape}, this backbone wants {pairs} pairs of width {width}")
    acts = [2 * layer % pairs if twice else layer for layer in range(layers)]
    if not pairs or max(acts) >= pairs:
        raise BadInput(f"has keys and values of {pairs} layers, this backbone has {layers}")
    tokens = theirs.shape[0]
    source = theirs.reshape(tokens, pairs, 2, width)
    table = np.zeros((tokens, attention.table_layers, 2, width), np.float32)
    for layer, pair in enumerate(acts):
        table[:, attention.pair_of(layer)] = source[:, pair]
    plain = {
        **document, "num_layers": attention.table_layers, "prefix_projection": False,
        "num_transformer_submodules": 2 if attention.encoder_decoder else 1,
    }  # fmt: skip
    return Converted(plain, {**tensors, TABLE: table.reshape(tokens, -1)}, "made one pair of keys and values a layer")


def prompt(document: Mapping[str, Any], tensors: Tensors, places: Places) -> Converted | None:
    """The first n embeddings, which PEFT puts in front of the input; by default it keeps n more for a decoder."""
    tokens = int(document["num_virtual_tokens"])
    encoded = document["peft_type"] == "P_TUNING"
    if TABLE not in tensors or (len(tensors[TABLE]) <= tokens and not encoded):
        return None
    # P-tuning's encoder has done its work when a checkpoint is written.
    plain = {key: value for key, value in document.items() if not key.startswith("encoder_")}
    plain |= {"peft_type": "PROMPT_TUNING", "num_transformer_submodules": 1}
    first = tensors[TABLE][:tokens].copy()
    return Converted(plain, {**tensors, TABLE: first}, f"kept the {tokens} embeddings that act")


_LOOPS = re.compile(r"\)[*+?{]|\{")


def _by_pattern(patterns: Mapping[str, Any], module: str, usual: Any) -> Any:
    """What the first matching pattern says of a module, as `peft.utils.other.get_pattern_key` matches."""
    for pattern, value in patterns.items():
        # Whoever uploads a pattern must not be able to keep this process busy with it.
        if len(pattern) > 200 or len(re.findall(r"[*+]", pattern)) > 4 or _LOOPS.search(pattern):
            raise BadInput(f"has the pattern {pattern[:60]!r}, which takes too long to match; name the modules plainly")
        try:
            matches = re.match(rf"(.*\.)?({pattern})$", module)
        except re.error as error:
            raise BadInput(f"has the pattern {pattern[:60]!r}, which is none ({error}); correct it") from error
        if matches:
            return value
    return usual
