"""What the headers of safetensors files tell: how many numbers of which type. Nothing is loaded. Torch-free."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError
from pituning.workspace.documents import parse_json

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Types of weights that can be tuned, as safetensors and as PyTorch call them."""

LARGEST_HEADER = 100_000_000
"""Bytes; safetensors itself refuses more."""


@dataclass(frozen=True)
class Weights:
    """What some files hold.

    Args:
        parameters: how many numbers; what is tied is stored, and counted, once.
        dtype: the type of most of them, as PyTorch calls it; of packed ones (GPTQ, AWQ, bitsandbytes), as safetensors
            does, for they are whole numbers or bytes.
    """

    parameters: int
    dtype: str


def read_weights(files: Iterable[Path]) -> Weights:
    """Counts the parameters of a checkpoint.

    Raises:
        ArtefactError: a file is truncated or no safetensors file, or all of them hold nothing.
    """
    sizes: Counter[str] = Counter()
    for path in files:
        for tensor in _header(path).values():
            sizes[tensor["dtype"]] += math.prod(tensor["shape"])
    if not sizes:
        raise ArtefactError("the weights hold no tensors; save the checkpoint again")
    most = sizes.most_common(1)[0][0]
    return Weights(parameters=sum(sizes.values()), dtype=DTYPES.get(most, most))


def _header(path: Path) -> dict[str, Any]:
    """The tensors of a file by name."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, LARGEST_HEADER):
                raise ValueError("its header is longer than the file")
            document = parse_json(stream.read(length))
        tensors = {name: value for name, value in document.items() if name != "__metadata__"}
        end = max((value["data_offsets"][1] for value in tensors.values()), default=0)
        if size != 8 + length + end:
            raise ValueError(f"it has {size} bytes, its header says {8 + length + end}")
        for value in tensors.values():
            if not isinstance(value["dtype"], str) or not all(isinstance(side, int) for side in value["shape"]):
                raise ValueError("its header is damaged")
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error) as error:
        reason = str(error) if type(error) is ValueError else "its header is damaged"
        raise ArtefactError(
            f"{path} is truncated or no safetensors file ({reason}); download or save it again"
        ) from error
    return tensors
