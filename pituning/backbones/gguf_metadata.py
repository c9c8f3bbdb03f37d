"""What a GGUF file says about itself, read from its first bytes alone. Torch-free."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from pituning.errors import BadInput

_VERSIONS = (2, 3)
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_KEYS, _LONGEST = 10_000, 1 << 24
"""Keys of a file and bytes of a text; more means that it is damaged."""


def read_metadata(path: Path) -> dict[str, Any]:
    """The keys of a GGUF file with their values; lists (vocabularies are long ones) are left out.

    Raises:
        BadInput: it is not there, no GGUF file of versions 2 or 3, or truncated.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise BadInput(f"{path} is no GGUF file: it does not begin with GGUF; give one")
            version, _tensors, keys = _unpack(stream, "<IQQ")
            if version not in _VERSIONS:
                raise BadInput(f"{path} is of GGUF version {version}; versions 2 and 3 can be read: convert it again")
            if keys > _MOST_KEYS:
                raise ValueError("too many keys")
            metadata = {}
            for _ in range(keys):
                key = _text(stream)
                (value_type,) = _unpack(stream, "<I")
                value = _value(stream, value_type)
                if value is not None:
                    metadata[key] = value
            return metadata
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, struct.error) as error:
        raise BadInput(f"{path} is truncated or damaged; download it again") from error


def _value(stream: BinaryIO, value_type: int) -> Any:
    if value_type == _STRING:
        return _text(stream)
    if value_type != _ARRAY:
        return _unpack(stream, "<" + _FORMATS[value_type])[0]
    inner, count = _unpack(stream, "<IQ")
    if inner == _ARRAY:
        for _ in range(count):
            _value(stream, _ARRAY)
    elif inner == _STRING:
        for _ in range(count):
            stream.seek(_length(stream), 1)
    else:
        stream.seek(count * struct.calcsize("<" + _FORMATS[inner]), 1)
    return None


def _text(stream: BinaryIO) -> str:
    length = _length(stream)
    data = stream.read(length)
    if len(data) != length:
        raise ValueError("truncated")
    return data.decode("utf-8", errors="replace")


def _length(stream: BinaryIO) -> int:
    (length,) = _unpack(stream, "<Q")
    if length > _LONGEST:
        raise ValueError("text too long")
    return int(length)


def _unpack(stream: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))
