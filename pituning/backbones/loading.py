"""From a directory to a backbone: the family is chosen by the checkpoint, and what is wrong is told in one line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import logging

from pituning.backbones.base import Backbone
from pituning.backbones.device import DEVICE_VARIABLE, SPREAD, best_device
from pituning.backbones.families import family_of
from pituning.backbones.files import fingerprint, language_home, require_files
from pituning.backbones.places import Places
from pituning.backbones.precision import chosen_dtype, chosen_quantization
from pituning.errors import ArtefactError, BadInput
from pituning.registry import load
from pituning.workspace.atomic import read_json

SMALL_BYTES = 200 * 2**20
"""Weights of up to so many bytes are float32 with ``auto``: halving them would save nothing that matters."""
ROOM = 1.3
"""Memory of a GPU that a model of its own needs, as a multiple of its weights."""

_PLACED: ContextVar[Mapping[str, Any]] = ContextVar("placed", default=MappingProxyType({}))
"""What `from_pretrained` is given besides: where the weights go, and how they are packed."""


def load_backbone(
    path: Path,
    *,
    name: str | None = None,
    device: torch.device | str | None = None,
    dtype: str | None = None,
    quantize: str | None = None,
) -> Backbone:
    """See `Backbone.load`."""
    require_files(path)
    named = str(device or os.environ.get(DEVICE_VARIABLE) or "")
    place = best_device() if device is None or named == SPREAD else torch.device(device)
    wanted, packing = chosen_dtype(dtype), chosen_quantization(quantize)
    try:
        config = read_json(path / "config.json")
    except ArtefactError as error:
        raise _broken(path, error) from error
    record = family_of(config if isinstance(config, dict) else {}, str(path))
    precision = _precision(wanted, path, place)
    placed = _placement(path, place, precision, packing, spread=named == SPREAD, free=not named)
    token = _PLACED.set(placed)
    try:
        family: type[Backbone] = load(record.path)
        with quiet():
            backbone = family.open(
                path, name=name or path.resolve().name, fingerprint=fingerprint(path), device=place, dtype=precision
            )
    except (ArtefactError, BadInput):
        raise
    except Exception as error:  # transformers and safetensors raise many kinds for a broken file
        raise _broken(path, error) from error
    finally:
        _PLACED.reset(token)
    broken = [name for name, tensor in backbone.model.named_parameters() if not torch.isfinite(tensor).all()]
    if broken:
        raise ArtefactError(f"backbone {path} has values that are not finite in {broken[0]!r}; restore or rebuild it")
    if not Places.is_kept(path):
        with suppress(OSError, ArtefactError):  # where it cannot be written it is read from the model again
            backbone.places().save(path)
    return backbone


def from_pretrained(model_class: Any, path: Path, dtype: torch.dtype) -> Any:
    """A transformers model with all its weights, from safetensors in a directory.

    Raises:
        ArtefactError: tensors are missing or have other shapes.
    """
    model, info = model_class.from_pretrained(
        path, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True, **_PLACED.get()
    )
    absent = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
    if absent:
        raise ArtefactError(f"backbone {path} lacks {len(absent)} tensors, first {absent[0]!r}; restore or rebuild it")
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the bars and warnings of transformers off the terminal; what matters in them is checked and raised."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 at speed."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _precision(wanted: str, path: Path, device: torch.device) -> torch.dtype:
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    return torch.bfloat16 if _size(path) > SMALL_BYTES and has_bfloat16(device) else torch.float32


def _placement(
    path: Path, device: torch.device, dtype: torch.dtype, packing: str | None, *, spread: bool, free: bool
) -> dict[str, Any]:
    """How transformers is told to spread the weights over devices and to pack them; nothing where it is one device.

    Args:
        spread: whether that was asked for.
        free: whether no device was named, so that a model too large for one GPU may take several.
    """
    placed: dict[str, Any] = {}
    if spread or (free and _too_large(path, device)):
        placed["device_map"] = "auto"
    if packing is None:
        return placed
    if find_spec("bitsandbytes") is None:
        raise BadInput(
            f"quantize {packing!r} needs bitsandbytes, which is not installed; install it with: "
            "pip install bitsandbytes, or leave quantize out",
            field="quantize",
        )
    four = packing == "4bit"
    config = (
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
        if four
        else {"load_in_8bit": True}
    )
    return {"device_map": {"": str(device)}, "quantization_config": BitsAndBytesConfig(**config), **placed}


def _too_large(path: Path, device: torch.device) -> bool:
    """Whether a model does not fit a GPU, and there are more of them."""
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        return False
    return _size(path) * ROOM > torch.cuda.mem_get_info(device)[0]


def _size(path: Path) -> int:
    homes = {path, language_home(path)}
    return sum(file.stat().st_size for home in homes for file in home.glob("*.safetensors"))


def _broken(path: Path, error: Exception) -> ArtefactError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ArtefactError(f"backbone {path} cannot be loaded ({reason}); restore or rebuild it")
