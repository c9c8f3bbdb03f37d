"""Speed and memory of the similarity matrix against the obvious loop over pairs.

Run with ``python -m benchmarks.graph`` or ``pituning bench graph``.
"""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Sequence

import numpy as np

from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.similarity import similarity_matrix


def run(*, tasks: int = 100, dims: int = 100_000, tensors: int = 60, predictor: str = "probe", seed: int = 0) -> dict:
    """Times `similarity_matrix` on made-up Fisher values and checks it against a loop over pairs and tensors.

    Args:
        tasks: N.
        dims: P, parameters of an expert in all.
        tensors: into how many tensors they are divided.
        predictor: ``paper``, ``probe`` or ``weights``.
        seed: of the made-up values.

    Returns:
        ``tasks``, ``dims``, ``seconds`` (best of three), ``peak_mib`` (allocated beyond the embeddings),
        ``speedup_vs_pairwise`` and ``max_abs_error`` against the loop.
    """
    embeddings = make_embeddings(tasks, dims, tensors, seed)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        matrix = similarity_matrix(embeddings, predictor)
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    similarity_matrix(embeddings, predictor)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    start = time.perf_counter()
    expected = pairwise(embeddings, centred=predictor == "probe")
    pairwise_seconds = time.perf_counter() - start
    return {
        "tasks": tasks,
        "dims": dims,
        "seconds": round(min(seconds), 4),
        "peak_mib": round(peak / 2**20, 1),
        "speedup_vs_pairwise": round(pairwise_seconds / min(seconds), 1),
        "max_abs_error": float(np.abs(matrix - expected).max()),
    }


def make_embeddings(tasks: int, dims: int, tensors: int, seed: int) -> list[TaskEmbedding]:
    """Embeddings of tasks in five families, with values as skewed as Fisher values are."""
    generator = np.random.default_rng(seed)
    names = [f"decoder.layers.{i}.weight" for i in range(tensors)]
    sizes = [len(piece) for piece in np.array_split(np.empty(dims), tensors)]
    families = generator.gamma(0.2, size=(5, dims))
    return [
        TaskEmbedding.from_flat(
            (1e-6 * (families[i % 5] + generator.gamma(0.2, size=dims))).astype(np.float32),
            task=f"task-{i}",
            kind="lora",
            probe="common",
            names=names,
            sizes=sizes,
        )
        for i in range(tasks)
    ]


def pairwise(embeddings: Sequence[TaskEmbedding], *, centred: bool) -> np.ndarray:
    """The same from the definition: every pair, every tensor, one cosine at a time. (N, N)"""
    vectors = [{name: tensor.astype(np.float64) for name, tensor in e.tensors.items()} for e in embeddings]
    if centred:
        for name in embeddings[0].names:
            units = [v[name] / np.linalg.norm(v[name]) for v in vectors]
            mean = sum(units) / len(units)
            for v, unit in zip(vectors, units, strict=True):
                v[name] = unit - mean
    result = np.eye(len(vectors))
    for i, a in enumerate(vectors):
        for j in range(i):
            b = vectors[j]
            cosines = [a[name] @ b[name] / np.linalg.norm(a[name]) / np.linalg.norm(b[name]) for name in a]
            result[i, j] = result[j, i] = np.mean(cosines)
    return result


if __name__ == "__main__":
    print(json.dumps(run()))
