"""How alike the tasks of a large zoo are, in the sparse form: the most similar of each, with places and communities."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.nearest import KEPT, MOST_EXACT, Nearest, nearest, nearest_by_rows
from pituning.graph.predictors import PredictorRecord
from pituning.graph.similarity import cross_similarity
from pituning.graph.sketch import nearest_by_sketch, similarity_to_all
from pituning.graph.sparse import arranged
from pituning.graph.units import Units
from pituning.progress import Reporter
from pituning.registry import load
from pituning.workspace.similarity import NearestSimilarity

LANDMARKS = 64
"""Tasks that are compared with all others, for the start of the layout."""


def compare_many(
    record: PredictorRecord,
    names: Sequence[str],
    *,
    vectors: np.ndarray | None = None,
    layout: tuple[Sequence[str], Sequence[int]] | None = None,
    texts: Sequence[str] = (),
    seed: int = 0,
    reporter: Reporter,
) -> NearestSimilarity:
    """The most similar of each task by a predictor: of up to `MOST_EXACT` tasks exactly, else by a sketch.

    Args:
        names: the N tasks.
        vectors: what the predictor compares, (N, P) float32, may be a memory map; None for words.
        layout: names and sizes of the tensors in a vector.
        texts: for a predictor that compares words, those of each task.
    """
    n, recall = len(names), 1.0
    k = min(KEPT, n - 1)
    some = np.random.default_rng([seed, 2]).permutation(n)[:LANDMARKS]
    if vectors is None or layout is None:
        rows = _rows_of_texts(record, texts)
        return arranged(nearest_by_rows(rows, n, k, reporter=reporter), _some_rows(rows, some), names, seed=seed)
    tensors, sizes = layout
    if record.form is None:
        embeddings = [
            TaskEmbedding.from_flat(row, task=name, kind="", probe="", names=tensors, sizes=sizes)
            for name, row in zip(names, vectors, strict=True)
        ]

        def by_tensor(at: slice) -> np.ndarray:
            return cross_similarity(embeddings[at], embeddings, record.name)

        return arranged(
            nearest_by_rows(by_tensor, n, k, reporter=reporter), _some_rows(by_tensor, some), names, seed=seed
        )
    units = Units(vectors, sizes, record.form)
    best: Nearest
    if n <= MOST_EXACT:
        best = nearest(units, k, reporter=reporter)
    else:
        sketched = nearest_by_sketch(units, k, seed=seed, reporter=reporter)
        best, recall = sketched.nearest, sketched.recall
        reporter.log(
            f"{n:,} tasks are more than {MOST_EXACT:,}, so not all pairs are compared: a sketch finds candidates, and "
            f"{100 * recall:.1f} % of the 10 nearest are the right ones, measured on {sketched.measured} tasks"
        )
    made = arranged(best, similarity_to_all(units, some), names, recall=recall, seed=seed)
    return replace(made, centre=units.centre.astype(np.float32)) if record.form == "centred" else made


def scratch(tasks: int, size: int) -> np.ndarray:
    """Room for vectors (N, P) float32 in a file without a name, which goes with the last reference to it."""
    return np.memmap(tempfile.TemporaryFile(), dtype=np.float32, mode="w+", shape=(tasks, size))


def _rows_of_texts(record: PredictorRecord, texts: Sequence[str]) -> Callable[[slice], np.ndarray]:
    if record.rows is not None:
        rows: Callable[[slice], np.ndarray] = load(record.rows)(texts)
        return rows
    matrix: np.ndarray = load(record.path)(texts)
    return lambda at: matrix[at]


def _some_rows(rows: Callable[[slice], np.ndarray], some: np.ndarray) -> np.ndarray:
    return np.vstack([rows(slice(i, i + 1)) for i in some.tolist()])
