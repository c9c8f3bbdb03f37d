"""The zoo's similarities on disk: tensors in safetensors, names and digest in a JSON card beside them.

Of up to `MOST_DENSE` tasks all of S is kept, with its bootstrap replicates. Of more it is the sparse form: the most
similar of each task, and the places and communities that a page has no time to compute.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pituning.errors import ArtefactError, BadInput
from pituning.workspace.atomic import read_json, sha256_file, write_bytes, write_json

FORMAT_VERSION = 1

MOST_DENSE = 2_000
"""Tasks of which all pairs are kept."""


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


@dataclass(frozen=True, kw_only=True)
class NearestSimilarity:
    """How alike the tasks of a large zoo are: the k most similar of each.

    Args:
        names: the N tasks.
        tasks: the indices of the most similar, best first, (N, k) int32; -1 where one is not there any more.
        values: S of them, (N, k) float32.
        places: of the tasks on the screen, (N, 2) pixels, y down.
        communities: of each task, (N,), 0 the largest.
        mean, deviation: of S over all pairs of different tasks.
        recall: the share of the 10 nearest that are the right ones; 1 where all pairs were compared.
        centre: the zoo's mean unit vector, (P,) float32, where the predictor takes it away; else (0,). With it S of any
            few tasks can be computed from their embeddings alone.
    """

    names: tuple[str, ...]
    tasks: np.ndarray
    values: np.ndarray
    places: np.ndarray
    communities: np.ndarray
    mean: float
    deviation: float
    recall: float = 1.0
    centre: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    def only(self, at: np.ndarray) -> NearestSimilarity:
        """The same for some of the tasks, by their indices in rising order."""
        new = np.full(len(self.names) + 1, -1, dtype=np.int32)  # the last stands for -1
        new[at] = np.arange(len(at))
        return replace(
            self,
            names=tuple(self.names[i] for i in at),
            tasks=new[self.tasks[at]],
            values=self.values[at],
            places=self.places[at],
            communities=self.communities[at],
        )


def save_nearest(path: Path, nearest: NearestSimilarity) -> None:
    """Writes ``path`` (``.safetensors``) and its card, each atomically."""
    tensors = {
        "tasks": np.ascontiguousarray(nearest.tasks, dtype=np.int32),
        "values": np.ascontiguousarray(nearest.values, dtype=np.float32),
        "places": np.ascontiguousarray(nearest.places, dtype=np.float32),
        "communities": np.ascontiguousarray(nearest.communities, dtype=np.int32),
        "centre": np.ascontiguousarray(nearest.centre, dtype=np.float32),
    }
    write_bytes(path, save(tensors))
    card = {
        "format_version": FORMAT_VERSION,
        "form": "nearest",
        "names": list(nearest.names),
        "sha256": sha256_file(path),
        "mean": nearest.mean,
        "deviation": nearest.deviation,
        "recall": nearest.recall,
    }
    write_json(path.with_suffix(".json"), card)


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
        BadInput: when it is of more tasks than `MOST_DENSE`, of which not all pairs are kept.
    """
    loaded = load_kept(path)
    if isinstance(loaded, NearestSimilarity):
        raise BadInput(
            f"of {len(loaded.names):,} tasks only the {loaded.tasks.shape[1]} most similar of each are kept, and this "
            f"needs all pairs; embed {MOST_DENSE:,} tasks or fewer, or use the task graph",
            field="predictor",
        )
    return loaded


def load_kept(path: Path) -> ZooSimilarity | NearestSimilarity:
    """Reads what `save_similarity` or `save_nearest` wrote.

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
        if card.get("form") == "nearest":
            sparse = NearestSimilarity(
                names=names,
                tasks=tensors["tasks"],
                values=tensors["values"],
                places=tensors["places"],
                communities=tensors["communities"],
                mean=float(card["mean"]),
                deviation=float(card["deviation"]),
                recall=float(card["recall"]),
                centre=tensors.get("centre", np.zeros(0, np.float32)),
            )
            return _checked(path, sparse)
        matrix, replicates = tensors["matrix"], tensors["replicates"].astype(np.float32)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ArtefactError(f"{path} is damaged ({error}); make it again: pituning embed --all") from error
    n = len(names)
    if matrix.shape != (n, n) or replicates.shape[1:] != (n, n):
        raise ArtefactError(f"{path} holds shapes {matrix.shape}, {replicates.shape} for {n} tasks; make it again")
    return ZooSimilarity(names=names, matrix=matrix, replicates=replicates)


def _checked(path: Path, loaded: NearestSimilarity) -> NearestSimilarity:
    n, tasks = len(loaded.names), loaded.tasks
    fits = tasks.ndim == 2 and len(tasks) == n and loaded.values.shape == tasks.shape
    if not fits or loaded.places.shape != (n, 2) or loaded.communities.shape != (n,):
        raise ArtefactError(f"{path} holds shapes {tasks.shape}, {loaded.places.shape} for {n} tasks; make it again")
    if tasks.size and not (tasks.min() >= -1 and tasks.max() < n):
        raise ArtefactError(f"{path} names tasks that it does not have; make it again: pituning embed --all")
    return loaded
