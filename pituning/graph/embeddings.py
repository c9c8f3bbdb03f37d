"""A task embedding: the diagonal Fisher information of an expert's parameters, tensor by tensor, and its file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pituning.errors import ArtefactError, BackboneMismatch, BadInput
from pituning.workspace.atomic import read_json, sha256_file, write_bytes, write_json

FORMAT_VERSION = 1
CODES_PER_OCTAVE = 16
"""Of 255, from the largest root down; code 0 is zero."""


@dataclass(frozen=True, kw_only=True)
class TaskEmbedding:
    """One vector per parameter tensor of an expert; embeddings of one kind and backbone are comparable.

    Args:
        task: name of the task.
        kind: the PEFT method whose parameters these are.
        probe: the expert at which the Fisher was taken: ``own``, ``common``; or ``weights`` when the vectors are the
            expert's parameters themselves.
        names: the tensors in the order of the flat vector.
        tensors: a flat float32 vector per name.
        examples: how many examples the Fisher averages over.
        meta: anything for the card that JSON can hold; ``backbone`` is the backbone's fingerprint.

    Raises:
        BadInput: when names and tensors do not fit, or a value is not finite.
    """

    task: str
    kind: str
    probe: str
    names: tuple[str, ...]
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    examples: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.names or set(self.names) != set(self.tensors) or len(set(self.names)) != len(self.names):
            raise BadInput(
                f"embedding of {self.task!r} names {len(self.names)} tensors and holds {len(self.tensors)}; "
                "give one tensor per name"
            )
        for name in self.names:
            tensor = self.tensors[name]
            if tensor.ndim != 1 or tensor.size == 0:
                raise BadInput(
                    f"embedding of {self.task!r}: tensor {name!r} has shape {tensor.shape}; "
                    "flatten it, or leave it out when it is empty"
                )
            if not np.isfinite(tensor).all():
                raise BadInput(f"embedding of {self.task!r}: tensor {name!r} is not finite; compute it again")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The tensors' lengths in the order of the flat vector."""
        return tuple(self.tensors[name].size for name in self.names)

    def flat(self) -> np.ndarray:
        """All tensors in one vector, (P,)."""
        return np.concatenate([self.tensors[name] for name in self.names])

    @classmethod
    def from_flat(
        cls,
        values: np.ndarray,
        *,
        task: str,
        kind: str,
        probe: str,
        names: Sequence[str],
        sizes: Sequence[int],
        examples: int = 0,
        meta: Mapping[str, Any] | None = None,
    ) -> TaskEmbedding:
        """Cuts a flat vector (P,) into the tensors of an expert space; the tensors are views of it."""
        if values.ndim != 1 or values.size != sum(sizes) or len(names) != len(sizes):
            raise BadInput(
                f"embedding of {task!r} has shape {values.shape}, its {len(names)} tensors need ({sum(sizes)},)"
            )
        pieces = np.split(values, np.cumsum(sizes)[:-1])
        return cls(
            task=task,
            kind=kind,
            probe=probe,
            names=tuple(names),
            tensors=dict(zip(names, pieces, strict=True)),
            examples=examples,
            meta=dict(meta or {}),
        )

    def save(self, path: Path, *, coded: bool = False) -> None:
        """Writes ``path`` (``.safetensors``) and its card (``.json`` beside it), each atomically.

        Fisher values span many orders of magnitude. Kept as float16 are the square roots, each tensor divided by its
        largest: 0.1 % relative precision down to 4e-9 of the largest value, nothing lost above 1e-15 of it.

        Args:
            coded: keeps codes of 8 bits instead, the logarithms of the roots, deflated: less than half the size, values
                within 4.5 % down to 3e-10 of the largest and zero below. Errors of so many values even out in what
                compares them. For zoos that ship; no value may be negative.

        Raises:
            BadInput: a value that is to be coded is negative.
        """
        scales = np.array([np.abs(self.tensors[name]).max() for name in self.names], dtype=np.float32)
        divisors = np.repeat(np.where(scales > 0, scales, 1), self.sizes)
        ratio = self.flat().astype(np.float64) / divisors
        if coded and (ratio < 0).any():
            raise BadInput(f"embedding of {self.task!r} has negative values, which cannot be coded; keep it uncoded")
        signed = np.copysign(np.sqrt(np.abs(ratio)), ratio)
        roots = {"codes": _codes(signed)} if coded else {"roots": signed.astype(np.float16)}
        write_bytes(path, save({**roots, "scales": scales}))
        card = {
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "kind": self.kind,
            "probe": self.probe,
            "examples": self.examples,
            "sha256": sha256_file(path),
            "meta": dict(self.meta),
            "names": list(self.names),
            "sizes": list(self.sizes),
        }
        write_json(path.with_suffix(".json"), card)

    @classmethod
    def load(cls, path: Path, *, backbone: str | None = None) -> TaskEmbedding:
        """Reads what `save` wrote.

        Args:
            path: the ``.safetensors`` file.
            backbone: the fingerprint that the card must show, if given.

        Raises:
            ArtefactError: when a file is missing, damaged or does not fit its card.
            BackboneMismatch: when it was made with another backbone.
        """
        fix = "make it again: pituning embed --all"
        if not path.exists():
            raise ArtefactError(f"no embedding at {path}; {fix}")
        card = read_json(path.with_suffix(".json"))
        try:
            if card["format_version"] != FORMAT_VERSION:
                raise ArtefactError(
                    f"{path} has format_version {card['format_version']!r}, not {FORMAT_VERSION}; {fix}"
                )
            if card["sha256"] != sha256_file(path):
                raise ArtefactError(f"{path} does not match the checksum of its card; {fix}")
            stored = load(path.read_bytes())
            sizes = [int(size) for size in card["sizes"]]
            roots = _roots(stored["codes"], sum(sizes)) if "codes" in stored else stored["roots"].astype(np.float64)
            values = np.copysign(roots**2, roots) * np.repeat(stored["scales"].astype(np.float64), sizes)
            embedding = cls.from_flat(
                values.astype(np.float32),
                task=card["task"],
                kind=card["kind"],
                probe=card["probe"],
                names=card["names"],
                sizes=sizes,
                examples=card["examples"],
                meta=card["meta"],
            )
        except (KeyError, TypeError, ValueError, OSError, SafetensorError, BadInput) as error:
            raise ArtefactError(f"{path} is damaged ({error}); {fix}") from error
        made_with = embedding.meta.get("backbone")
        if backbone is not None and made_with != backbone:
            raise BackboneMismatch(
                f"{path} was made with backbone {str(made_with)[:12]}, the loaded one is {backbone[:12]}; {fix}"
            )
        return embedding


def _codes(roots: np.ndarray) -> np.ndarray:
    """The bytes of deflated codes of roots (P,) from 0 to 1."""
    with np.errstate(divide="ignore"):
        codes = 255 + CODES_PER_OCTAVE * np.log2(roots)
    codes = np.rint(np.clip(codes, 0, 255)).astype(np.uint8)
    return np.frombuffer(zlib.compress(codes.tobytes(), 9), np.uint8)


def _roots(deflated: np.ndarray, count: int) -> np.ndarray:
    """(P,) the roots of `_codes`; no more than ``count`` of them are made, whatever the bytes say.

    Raises:
        ValueError: the bytes are damaged.
    """
    try:
        codes = np.frombuffer(zlib.decompressobj().decompress(deflated.tobytes(), count), np.uint8)
    except zlib.error as error:
        raise ValueError(f"codes: {error}") from error
    if codes.size != count:
        raise ValueError(f"{codes.size} codes, not {count}")
    roots = np.exp2((codes.astype(np.float64) - 255) / CODES_PER_OCTAVE)
    return np.where(codes == 0, 0.0, roots)
