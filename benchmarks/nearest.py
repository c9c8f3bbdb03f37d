"""The most similar tasks among very many, beside scikit-learn's brute force: ``pituning bench graph --tasks 10000``.

``python -m benchmarks.nearest`` keeps what it measured in ``benchmarks/results``.

Up to `MOST_EXACT` tasks it measures the exact search, above the one by a sketch (`pituning.graph.sketch`); in each case
the same work in scikit-learn, on a sample where all of it would take too long, and what one more task costs. Judge by
processor time: other work on the machine changes the wall clock.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pituning.graph.nearest import MOST_EXACT, Nearest, added, nearest
from pituning.graph.sketch import nearest_by_sketch
from pituning.graph.units import Units
from pituning.progress import Reporter, Silent
from pituning.workspace.atomic import write_json

DIMENSIONS = 16_384
TENSORS = 60
TOPICS = 64
NEIGHBOURS = 10
PEER_TASKS = 10_000
"""Tasks that scikit-learn compares at most; its time grows with their square."""


def run(
    *,
    tasks: int = 10_000,
    dims: int = DIMENSIONS,
    seed: int = 0,
    folder: Path | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Measures on made-up Fisher values of ``tasks`` tasks, by the predictor `probe` (centred).

    Args:
        folder: where the values lie while it runs, 4 bytes each; the system's folder for temporary files by default.

    Returns:
        ``processor_seconds`` and ``seconds`` of the search, ``peak_mib`` of the process until then with the file of the
        vectors mapped into it, ``vectors_mib`` of that file, ``floor_processor_seconds`` (N²P at the measured speed of
        this machine's matrix product), ``peer_processor_seconds`` (scikit-learn's brute force, of ``peer_tasks``),
        ``ratio_to_peer``, ``recall_at_10`` with ``recall_tasks`` and ``add_processor_seconds`` of one more task.
    """
    report = reporter or Silent()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "vectors.npy"
        make_vectors(path, tasks, dims, seed=seed, reporter=report)
        raw = np.load(path, mmap_mode="r")
        sizes = [len(piece) for piece in np.array_split(np.empty(dims), TENSORS)]
        with _clock() as search:
            units = Units(raw, sizes, "centred")
            if tasks <= MOST_EXACT:
                found, recall, measured = nearest(units, NEIGHBOURS, reporter=report), 1.0, tasks
            else:
                sketched = nearest_by_sketch(units, NEIGHBOURS, seed=seed, reporter=report)
                found, recall, measured = sketched.nearest, sketched.recall, sketched.measured
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        with _clock() as add:
            _add(units, found)
        compared = min(tasks, PEER_TASKS)
        report.phase("scikit-learn", 1)
        import sklearn.neighbors  # noqa: F401 - its import is no part of its work

        with _clock() as peer:
            agreeing = _peer(Units(raw[:compared], sizes, "centred"), found if compared == tasks else None)
        report.advance()
        # The peer's work grows with the square of the tasks.
        peer_seconds = peer["processor_seconds"] * (tasks / compared) ** 2
        return {
            "tasks": tasks,
            "dims": dims,
            "method": "exact" if tasks <= MOST_EXACT else "sketch",
            "seconds": search["seconds"],
            "processor_seconds": search["processor_seconds"],
            "floor_processor_seconds": round(tasks**2 * dims / _flops_per_second(dims), 2),
            "peak_mib": round(peak),
            "vectors_mib": round(path.stat().st_size / 2**20),
            "rechecked_pairs": found.rechecked,
            "recall_at_10": round(recall, 4),
            "recall_tasks": measured,
            "add_processor_seconds": add["processor_seconds"],
            "peer": "scikit-learn NearestNeighbors(algorithm='brute', metric='cosine')",
            "peer_tasks": compared,
            "peer_processor_seconds": round(peer_seconds, 2),
            "peer_agreement": agreeing,
            "ratio_to_peer": round(search["processor_seconds"] / peer_seconds, 3),
        }


def main() -> None:
    """Measures 10,000 and 100,000 tasks, or as many as are given, and keeps the results."""
    for tasks in [int(number) for number in sys.argv[1:]] or [10_000, 100_000]:
        result = run(tasks=tasks)
        write_json(Path(__file__).parent / "results" / f"graph-{tasks}.json", result)
        print(json.dumps(result, indent=1), flush=True)


def make_vectors(
    path: Path, tasks: int, dims: int, *, seed: int = 0, topics: int = TOPICS, reporter: Reporter | None = None
) -> None:
    """Values as skewed as Fisher values are: each task a few of ``topics``, times noise of its own in every value."""
    report = reporter or Silent()
    generator = np.random.default_rng(seed)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(tasks, dims))
    of_topics = generator.gamma(0.2, size=(topics, dims)).astype(np.float32)
    report.phase("make vectors", -(-tasks // 512))
    for start in range(0, tasks, 512):
        count = min(512, tasks - start)
        values = generator.gamma(0.1, size=(count, topics)).astype(np.float32) @ of_topics
        values *= np.exp(0.5 * generator.standard_normal((count, dims), dtype=np.float32))
        out[start : start + count] = 1e-6 * values
        report.advance()
    out.flush()


def _add(units: Units, found: Nearest) -> Nearest:
    """One more task, which is like the first."""
    return added(found, units.similarity_to(units.raw[0] * np.linspace(0.5, 1.5, units.raw.shape[1])))


def _peer(units: Units, found: Nearest | None) -> float | None:
    """The same by scikit-learn, the making of the vectors included; the share of tasks with the same neighbours."""
    from sklearn.neighbors import NearestNeighbors

    vectors = units.rows(slice(None))
    of_peer = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute", metric="cosine").fit(vectors).kneighbors()[1]
    return None if found is None else round(float((of_peer == found.tasks).all(1).mean()), 4)


def _flops_per_second(dims: int) -> float:
    """Of a product of float32 matrices of such vectors, per second of processor time."""
    first, second = np.ones((1024, dims), np.float32), np.ones((1024, dims), np.float32)
    best = 0.0
    for _ in range(3):
        with _clock() as clock:
            first @ second.T
        best = max(best, 2 * 1024**2 * dims / max(clock["processor_seconds"], 1e-3))
    return best


@contextmanager
def _clock() -> Iterator[dict[str, float]]:
    took: dict[str, float] = {}
    wall, processor = time.perf_counter(), time.process_time()
    yield took
    took["processor_seconds"] = round(time.process_time() - processor, 3)
    took["seconds"] = round(time.perf_counter() - wall, 3)


if __name__ == "__main__":
    main()
