"""Published weights as tensors under the port's key names. Pickles are read with ``weights_only=True``, never else."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pituning.backbones.ofa.model import COMPUTED
from pituning.errors import ArtefactError

TIED = "encoder.embed_tokens.weight"
"""The one tensor that embeds and predicts tokens; published files repeat it under the other names."""

COPIES = ("decoder.embed_tokens.weight", "decoder.output_projection.weight")

RENAMED = (
    (r"^encoder\.layers\.(\d+)\.attn_ln\.", r"encoder.layers.\1.self_attn_mid_layer_norm."),
    (r"^decoder\.layers\.(\d+)\.self_attn_ln\.", r"decoder.layers.\1.self_attn_mid_layer_norm."),
    (r"^decoder\.layers\.(\d+)\.cross_attn_ln\.", r"decoder.layers.\1.cross_attn_mid_layer_norm."),
    (r"^decoder\.layers\.(\d+)\.encoder_attn\.", r"decoder.layers.\1.cross_attn."),
    (r"^decoder\.layers\.(\d+)\.encoder_attn_layer_norm\.", r"decoder.layers.\1.cross_attn_layer_norm."),
    (r"\.ffn_layernorm\.", ".ffn_layer_norm."),
)
"""From fairseq's names to the port's, as patterns; none of them matches a name of the port."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by key, of a ``.safetensors`` file or of a pickle, which may be a fairseq checkpoint.

    Raises:
        ArtefactError: the file is missing, damaged, or a pickle that needs more than tensors and plain values.
    """
    if not path.is_file():
        raise ArtefactError(f"OFA weights {path} are missing; give the published file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ArtefactError(f"OFA weights {path} cannot be read ({_line(error)}); fetch them again") from error
    content = _unpickle(path)
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict):
        raise ArtefactError(f"OFA weights {path} hold a {type(content).__name__}; give a file of named tensors")
    foreign = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if foreign or not content:
        named = f"{foreign[0]!r} is no tensor" if foreign else "they are empty"
        raise ArtefactError(f"OFA weights {path} are no file of named tensors: {named}; give the published file")
    return content


def _unpickle(path: Path) -> Any:
    """The content of a pickle; fairseq's keep their arguments as a Namespace, which is harmless."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        if needed is None:
            raise ArtefactError(f"OFA weights {path} are no whole PyTorch file; fetch them again") from error
        raise ArtefactError(
            f"OFA weights {path} need {needed[1]} to be unpickled, which could run foreign code; "
            "give a file that holds tensors only, best as safetensors"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:  # torch's kinds for a damaged archive
        raise ArtefactError(f"OFA weights {path} cannot be read ({_line(error)}); fetch them again") from error


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def port_weights(weights: dict[str, Tensor], *, where: str) -> dict[str, Tensor]:
    """The learned tensors as float32 under the names of the Hugging Face port, the tied one once.

    Raises:
        ArtefactError: two names became one, or the tied embeddings differ.
    """
    named: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        if any(re.search(pattern, key) for pattern in COMPUTED):
            continue
        name = key
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        if name in named:
            raise ArtefactError(f"{where} holds {name!r} under two names, one of them {key!r}; give the published file")
        named[name] = tensor
    for copy in COPIES:
        if copy not in named:
            continue
        tensor = named.pop(copy)
        if not torch.equal(tensor, named.setdefault(TIED, tensor)):
            raise ArtefactError(f"{where}: {copy!r} differs from {TIED!r}; OFA ties them, give the published file")
    return {name: tensor.detach().float().contiguous() for name, tensor in named.items()}
