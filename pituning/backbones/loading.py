"""From a directory to a backbone: the family is chosen by the checkpoint, and what is wrong is told in one line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from pituning.backbones.base import Backbone
from pituning.backbones.device import best_device
from pituning.backbones.families import family_of
from pituning.backbones.files import fingerprint, require_files
from pituning.backbones.places import FILE as PLACES_FILE
from pituning.errors import ArtefactError, BadInput
from pituning.registry import load
from pituning.workspace.atomic import read_json

DTYPE_VARIABLE = "PITUNING_DTYPE"
DTYPES = ("auto", "float32", "bfloat16")
SMALL_BYTES = 200 * 2**20
"""Weights of up to so many bytes are float32 with ``auto``: halving them would save nothing that matters."""


def load_backbone(
    path: Path, *, name: str | None = None, device: torch.device | str | None = None, dtype: str | None = None
) -> Backbone:
    """See `Backbone.load`."""
    require_files(path)
    device = best_device() if device is None else torch.device(device)
    wanted = dtype or os.environ.get(DTYPE_VARIABLE) or "auto"
    try:
        config = read_json(path / "config.json")
    except ArtefactError as error:
        raise _broken(path, error) from error
    record = family_of(config if isinstance(config, dict) else {}, str(path))
    precision = _precision(wanted, path, device)
    try:
        family: type[Backbone] = load(record.path)
        with quiet():
            backbone = family.open(
                path, name=name or path.resolve().name, fingerprint=fingerprint(path), device=device, dtype=precision
            )
    except (ArtefactError, BadInput):
        raise
    except Exception as error:  # transformers and safetensors raise many kinds for a broken file
        raise _broken(path, error) from error
    broken = [name for name, tensor in backbone.model.named_parameters() if not torch.isfinite(tensor).all()]
    if broken:
        raise ArtefactError(f"backbone {path} has values that are not finite in {broken[0]!r}; restore or rebuild it")
    if not (path / PLACES_FILE).is_file():
        with suppress(OSError, ArtefactError):  # where it cannot be written it is read from the model again
            backbone.places().save(path)
    return backbone


def from_pretrained(model_class: Any, path: Path, dtype: torch.dtype) -> Any:
    """A transformers model with all its weights, from safetensors in a directory.

    Raises:
        ArtefactError: tensors are missing or have other shapes.
    """
    model, info = model_class.from_pretrained(
        path, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
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
    if wanted not in DTYPES:
        raise BadInput(f"dtype {wanted!r} is unknown; choose {', '.join(DTYPES)}", field="dtype")
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    large = sum(file.stat().st_size for file in path.glob("*.safetensors")) > SMALL_BYTES
    return torch.bfloat16 if large and has_bfloat16(device) else torch.float32


def _broken(path: Path, error: Exception) -> ArtefactError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ArtefactError(f"backbone {path} cannot be loaded ({reason}); restore or rebuild it")
