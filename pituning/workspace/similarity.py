"""The zoo's similarity matrix on disk: tensors in safetensors, names and digest in a JSON card beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json, sha256_file, write_bytes, write_json

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ZooSimilarity:
    """How alike the tasks of the zoo are.

    Args:
        names: the tasks, in the order of rows and columns.
        matrix: S, (N, N).
        replicates: S of each bootstrap replicate, (R, N, N); R may be 0.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    replicates: np.ndarray


def save_similarity(path: Path, similarity: ZooSimilarity) -> None:
    """Writes ``path`` (``.safetensors``) and its card, each atomically; replicates are kept as float16."""
    tensors = {
        "matrix": np.ascontiguousarray(similarity.matrix, dtype=np.float32),
        "replicates": np.ascontiguousarray(similarity.replicates, dtype=np.float16),
    }
    write_bytes(path, save(tensors))
    card = {"format_version": FORMAT_VERSION, "names": list(similarity.names), "sha256": sha256_file(path)}
    write_json(path.with_suffix(".json"), card)


def similarity_digest(path: Path) -> str:
    """The SHA-256 of the similarities at ``path``, as their card says it.

    Raises:
        ArtefactError: when the card is missing or damaged.
    """
    card = read_json(path.with_suffix(".json"))
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
        raise ArtefactError(f"{path.with_suffix('.json')} is damaged (no sha256); make it again: pituning embed --all")
    return str(card["sha256"])


def load_similarity(path: Path) -> ZooSimilarity:
    """Reads what `save_similarity` wrote.

    Raises:
        ArtefactError: when a file is missing, damaged or does not fit its card.
    """
    if not path.exists():
        raise ArtefactError(f"no zoo similarity at {path}; make it with: pituning embed --all")
    card = read_json(path.with_suffix(".json"))
    try:
        names, digest = tuple(card["names"]), card["sha256"]
        actual = sha256_file(path)
        if digest != actual:
            raise ArtefactError(
                f"{path} does not match the checksum of its card (SHA-256 {actual[:12]}…, the card says "
                f"{str(digest)[:12]}…); make it again: pituning embed --all"
            )
        tensors = load(path.read_bytes())
        matrix, replicates = tensors["matrix"], tensors["replicates"].astype(np.float32)
    except (KeyError, TypeError, SafetensorError) as error:
        raise ArtefactError(f"{path} is damaged ({error}); make it again: pituning embed --all") from error
    n = len(names)
    if matrix.shape != (n, n) or replicates.shape[1:] != (n, n):
        raise ArtefactError(f"{path} holds shapes {matrix.shape}, {replicates.shape} for {n} tasks; make it again")
    return ZooSimilarity(names=names, matrix=matrix, replicates=replicates)
