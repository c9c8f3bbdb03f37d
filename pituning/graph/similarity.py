"""How alike task embeddings are: S_ij = mean over parameter tensors of cos(F_i, F_j), and its variants.

Predictors (design, section 3):

- ``paper``: raw cosine, each task's own expert (Wu et al., ICML 2023).
- ``probe``: every task's Fisher taken at one common expert; tensors unit-normalised, then centred over the zoo.
- ``scaled``: cos of F_i / (F_i + F_j) and F_j / (F_i + F_j), elementwise (Task2Vec, Achille et al., ICCV 2019).
- ``weights``: raw cosine of the experts' parameters themselves.
- ``text``: words of instruction and labels, no model: see `pituning.graph.text`.

All work is done in float64 on blocks of columns, so memory beyond the embeddings themselves is bounded by `BLOCK_BYTES`
and the (N, N) results. A tensor that is zero for a task has no direction: pairs with that task skip the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from pituning.errors import BadInput
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import PREDICTORS
from pituning.registry import load

BLOCK_BYTES = 16 * 2**20

KEPT_TOLERANCE = 0.005
"""How far S of embeddings that were kept, which rounds them, may be from S of those that were computed."""

CENTRED_FLOOR = 1e-7
"""A unit vector this close to the zoo's mean has lost its direction to the rounding of float32 embeddings."""

Vectors = Sequence[np.ndarray]
Pairwise = Callable[[Vectors, Vectors], tuple[np.ndarray, np.ndarray]]


def similarity_matrix(embeddings: Sequence[TaskEmbedding], predictor: str) -> np.ndarray:
    """The similarity of all pairs of a zoo.

    Args:
        embeddings: N embeddings of one kind; for ``weights`` the experts' parameters in the same container.
        predictor: one of `PREDICTORS`, but none that compares words.

    Returns:
        S, (N, N) float64, symmetric, 1 on the diagonal; in [0, 1] for ``paper`` and ``scaled`` on Fisher values,
        else in [-1, 1].

    Raises:
        BadInput: when the predictor is unknown or the embeddings do not fit together.
    """
    return _close(cross_similarity(embeddings, embeddings, predictor))


def similarity_to(target: TaskEmbedding, zoo: Sequence[TaskEmbedding], predictor: str) -> np.ndarray:
    """The similarity of one task to each of the zoo, (N,); centring is over the zoo only."""
    return cross_similarity([target], zoo, predictor)[0]


def cross_similarity(rows: Sequence[TaskEmbedding], zoo: Sequence[TaskEmbedding], predictor: str) -> np.ndarray:
    """The similarity of M tasks to the N of a zoo, (M, N); `similarity_matrix` and `similarity_to` are cases of it."""
    names = _common_names(rows, zoo)
    return _mean_over_tensors(rows, zoo, names, _pairwise(predictor))


def per_part(embeddings: Sequence[TaskEmbedding], predictor: str, part_of: Mapping[str, str]) -> dict[str, np.ndarray]:
    """S of each part of the network alone, (N, N) by its name, in the order of the flat vector.

    Args:
        part_of: the part of each tensor: `ExpertSpace.layer_of`, or `ExpertSpace.label_of` for the same module of all
            layers together.
    """
    pairwise = _pairwise(predictor)
    parts: dict[str, list[str]] = {}
    for name in _common_names(embeddings, embeddings):
        parts.setdefault(part_of[name], []).append(name)
    return {part: _close(_mean_over_tensors(embeddings, embeddings, names, pairwise)) for part, names in parts.items()}


def parts_of(
    embeddings: Sequence[TaskEmbedding], predictor: str, matrix: np.ndarray, part_of: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """`per_part`, or nothing where the embeddings do not have the S ``matrix`` (N, N) or other tensors than
    ``part_of`` knows: they are of different times."""
    if not embeddings or not set(embeddings[0].names) <= set(part_of):
        return {}
    if np.abs(similarity_matrix(embeddings, predictor) - matrix).max() > KEPT_TOLERANCE:
        return {}
    return per_part(embeddings, predictor, part_of)


def standardise(similarity: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Similarities in standard deviations from the zoo's mean pair.

    Args:
        similarity: any shape, for example S (N, N) or a target's row (N,).
        reference: the zoo's S (N, N) whose off-diagonal entries give mean and deviation; by default ``similarity``,
            which is then S itself.
    """
    zoo = similarity if reference is None else reference
    pairs = zoo[~np.eye(len(zoo), dtype=bool)]
    if pairs.size == 0:
        return np.zeros_like(similarity)
    deviation = pairs.std()
    # A zoo whose pairs are all alike has no scale; rounding noise must not be blown up to one.
    return (similarity - pairs.mean()) / (deviation if deviation > 1e-12 else 1.0)


def rank(similarity: np.ndarray) -> np.ndarray:
    """Ranks by row of S (N, N): 1 is the most similar other task, N - 1 the least, 0 the task itself; ties by order."""
    n = len(similarity)
    others = np.where(np.eye(n, dtype=bool), np.inf, similarity)  # the task itself comes first, so others begin at 1
    order = np.argsort(-others, axis=1, kind="stable")
    ranks = np.empty((n, n), dtype=np.int64)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(n), (n, n)), axis=1)
    return ranks


def _pairwise(predictor: str) -> Pairwise:
    record = PREDICTORS[predictor]
    if record.compares == "words":
        function = record.path.partition(":")[2]
        raise BadInput(f"predictor {predictor!r} needs no embeddings; use {function}", field="predictor")
    return load(record.path)


def _common_names(rows: Sequence[TaskEmbedding], zoo: Sequence[TaskEmbedding]) -> tuple[str, ...]:
    if not zoo:
        raise BadInput("the zoo has no embeddings; make them: pituning embed --all")
    first = zoo[0]
    for other in (*rows, *zoo):
        if other.kind != first.kind or other.names != first.names or other.sizes != first.sizes:
            raise BadInput(
                f"embeddings of {first.task!r} ({first.kind}) and {other.task!r} ({other.kind}) have different "
                "tensors; use embeddings of one kind and one backbone"
            )
    return first.names


def _mean_over_tensors(
    rows: Sequence[TaskEmbedding], zoo: Sequence[TaskEmbedding], names: Sequence[str], pairwise: Pairwise
) -> np.ndarray:
    """The mean of the tensors' similarities over those that are defined for a pair; 0 for a pair without any. (M, N)"""
    total = np.zeros((len(rows), len(zoo)))
    count = np.zeros((len(rows), len(zoo)))
    for name in names:
        columns = [embedding.tensors[name] for embedding in zoo]
        lines = columns if rows is zoo else [embedding.tensors[name] for embedding in rows]
        similarity, defined = pairwise(lines, columns)
        total += similarity
        count += defined
    return np.clip(total / np.maximum(count, 1), -1, 1)


def cosines(rows: Vectors, zoo: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """cos of raw vectors (d,): similarity (M, N), 0 where undefined, and whether it is defined (M, N)."""
    gram = np.zeros((len(rows), len(zoo)))
    row_squares, zoo_squares = np.zeros(len(rows)), np.zeros(len(zoo))
    for block in _blocks(zoo[0].size, len(rows) + len(zoo)):
        z = _stack(zoo, block)  # (N, b)
        r = z if rows is zoo else _stack(rows, block)  # (M, b)
        gram += r @ z.T
        zoo_squares += np.einsum("nb,nb->n", z, z)
        row_squares += np.einsum("mb,mb->m", r, r)
    return _normalised(gram, np.sqrt(row_squares), np.sqrt(zoo_squares), floor=0.0)


def centred_cosines(rows: Vectors, zoo: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """cos of unit vectors from which the zoo's mean unit vector is taken; zero vectors stay out of the mean."""
    zoo_scale = _inverse_norms(zoo)
    row_scale = zoo_scale if rows is zoo else _inverse_norms(rows)
    alive = max(np.count_nonzero(zoo_scale), 1)
    gram = np.zeros((len(rows), len(zoo)))
    row_squares, zoo_squares = np.zeros(len(rows)), np.zeros(len(zoo))
    for block in _blocks(zoo[0].size, len(rows) + len(zoo)):
        unit = _stack(zoo, block) * zoo_scale[:, None]  # (N, b)
        mean = unit.sum(0) / alive  # (b,)
        z = unit - mean
        r = z if rows is zoo else _stack(rows, block) * row_scale[:, None] - mean
        gram += r @ z.T
        zoo_squares += np.einsum("nb,nb->n", z, z)
        row_squares += np.einsum("mb,mb->m", r, r)
    row_norms = np.where(row_scale > 0, np.sqrt(row_squares), 0)
    zoo_norms = np.where(zoo_scale > 0, np.sqrt(zoo_squares), 0)
    return _normalised(gram, row_norms, zoo_norms, floor=CENTRED_FLOOR)


def scaled_cosines(rows: Vectors, zoo: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Task2Vec's cosine of p = F_i / (F_i + F_j) and q = F_j / (F_i + F_j); coordinates zero in both stay out."""
    shape = (len(rows), len(zoo))
    products, p_squares, q_squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for block in _blocks(zoo[0].size, 4 * len(zoo) + 1):
        z = _stack(zoo, block)  # (N, b)
        if (z < 0).any():
            raise BadInput("predictor 'scaled' needs Fisher values of at least 0; use 'weights' for parameters")
        for i, row in enumerate(rows):
            r = row[block].astype(np.float64)  # (b,)
            share = 1 / np.where((both := r + z) > 0, both, 1)  # (N, b)
            p, q = r * share, z * share
            products[i] += np.einsum("nb,nb->n", p, q)
            p_squares[i] += np.einsum("nb,nb->n", p, p)
            q_squares[i] += np.einsum("nb,nb->n", q, q)
    defined = (p_squares > 0) & (q_squares > 0)
    norms = np.sqrt(np.where(defined, p_squares * q_squares, 1))
    return np.where(defined, products / norms, 0), defined


def _normalised(
    gram: np.ndarray, row_norms: np.ndarray, zoo_norms: np.ndarray, *, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    defined = (row_norms[:, None] > floor) & (zoo_norms[None, :] > floor)
    norms = np.where(defined, row_norms[:, None] * zoo_norms[None, :], 1)
    return np.where(defined, gram / norms, 0), defined


def _inverse_norms(vectors: Vectors) -> np.ndarray:
    """1 / |v|, and 0 for a zero vector. (N,)"""
    norms = np.zeros(len(vectors))
    for block in _blocks(vectors[0].size, len(vectors)):
        v = _stack(vectors, block)
        norms += np.einsum("nb,nb->n", v, v)
    return np.divide(1, np.sqrt(norms), out=np.zeros_like(norms), where=norms > 0)


def _stack(vectors: Vectors, block: slice) -> np.ndarray:
    stacked = np.empty((len(vectors), vectors[0][block].size))
    for i, vector in enumerate(vectors):
        stacked[i] = vector[block]
    return stacked


def _blocks(size: int, rows: int) -> Iterator[slice]:
    width = max(BLOCK_BYTES // (8 * rows), 1)
    return (slice(start, min(start + width, size)) for start in range(0, size, width))


def _close(similarity: np.ndarray) -> np.ndarray:
    """Takes rounding out of what is exact: S is symmetric and a task is like itself."""
    similarity = (similarity + similarity.T) / 2
    np.fill_diagonal(similarity, 1)
    return similarity
