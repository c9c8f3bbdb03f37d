"""The config of an OFA from the shapes of its tensors, and whether tensors are exactly those of a config."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from pituning.backbones.ofa.config import RESNET_BLOCKS, OfaConfig
from pituning.backbones.ofa.model import OfaForConditionalGeneration
from pituning.backbones.ofa.weights import COPIES, TIED
from pituning.errors import ArtefactError


def sizes_of(weights: Mapping[str, Tensor], *, where: str) -> dict[str, Any]:
    """The fields of `OfaConfig` that shapes tell.

    Args:
        weights: as `port_weights` gives them.
        where: what the checkpoint is called, for messages.

    Raises:
        ArtefactError: a tensor that tells a size is missing, or the ResNet is none of OFA's.
    """

    def rows(key: str) -> int:
        return _shape(weights, key, where)[0]

    blocks = tuple(_count(weights, rf"encoder\.embed_images\.layer{stage}\.(\d+)\.") for stage in (1, 2, 3))
    names = {value: name for name, value in RESNET_BLOCKS.items()}
    if blocks not in names:
        raise ArtefactError(f"{where}: its ResNet has {blocks} blocks; OFA has one of {', '.join(map(str, names))}")
    sizes: dict[str, Any] = {
        "vocab_size": rows(TIED),
        "d_model": _shape(weights, TIED, where)[-1],
        "resnet_type": names[blocks],
        "max_position_embeddings": rows("encoder.embed_positions.weight") - 2,
        "image_bucket_size": math.isqrt(rows("encoder.embed_image_positions.weight") - 1),
        "token_bucket_size": (rows("encoder.token_rel_pos_table_list.0.weight") + 1) // 2,
    }
    for side in ("encoder", "decoder"):
        sizes[f"{side}_layers"] = _count(weights, rf"{side}\.layers\.(\d+)\.")
        sizes[f"{side}_ffn_dim"] = rows(f"{side}.layers.0.fc1.weight")
        sizes[f"{side}_attention_heads"] = rows(f"{side}.layers.0.self_attn.c_attn")
    return sizes


def _shape(weights: Mapping[str, Tensor], key: str, where: str) -> torch.Size:
    if key not in weights or not weights[key].ndim:
        raise ArtefactError(f"{where} lacks the tensor {key!r}; give a whole OFA checkpoint")
    return weights[key].shape


def _count(keys: Iterable[str], pattern: str) -> int:
    """One more than the highest number in keys that begin with the pattern."""
    numbers = [int(match[1]) for key in keys if (match := re.match(pattern, key))]
    return max(numbers, default=-1) + 1


def check_tensors(weights: Mapping[str, Tensor], config: OfaConfig, *, where: str) -> None:
    """Raises ArtefactError, naming the first tensor, unless ``weights`` are exactly those of ``config``'s model."""
    with torch.device("meta"):
        expected = OfaForConditionalGeneration(config).state_dict()
    for copy in COPIES:
        expected.pop(copy)
    missing = [key for key in expected if key not in weights]
    if missing:
        raise ArtefactError(f"{where} lacks {len(missing)} tensors, first {missing[0]!r}; give a whole OFA checkpoint")
    foreign = [key for key in weights if key not in expected]
    if foreign:
        raise ArtefactError(
            f"{where} holds {len(foreign)} tensors that OFA has not, first {foreign[0]!r}; "
            "give the published checkpoint, without adapters or heads"
        )
    for key, tensor in expected.items():
        if weights[key].shape != tensor.shape:
            raise ArtefactError(
                f"{where}: {key!r} has the shape {tuple(weights[key].shape)}, the config needs "
                f"{tuple(tensor.shape)}; give a config and weights that belong together"
            )
