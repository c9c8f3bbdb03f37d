"""How sure a similarity is: the examples behind an embedding are resampled, in groups, and S is computed again.

An embedding is the mean of G groups of examples, drawn at random and of equal size. A replicate draws G of them with
replacement (Efron, 1979), so that one matrix product yields all replicates of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pituning.errors import BadInput
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.similarity import cross_similarity, similarity_matrix

REPLICATES = 100


def bootstrap_weights(groups: int, replicates: int, generator: np.random.Generator) -> np.ndarray:
    """The share of each group in each replicate, (R, G), rows summing to 1."""
    return generator.multinomial(groups, np.full(groups, 1 / groups), size=replicates) / groups


def bootstrap_to(
    target: TaskEmbedding,
    groups: np.ndarray,
    zoo: Sequence[TaskEmbedding],
    predictor: str,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> np.ndarray:
    """Replicates of `similarity_to`: the target's examples are resampled, the zoo stays.

    Args:
        target: the embedding whose tensors give the layout.
        groups: the mean Fisher of each group of the target's examples, (G, P).

    Returns:
        Similarities, (R, N).
    """
    weights = bootstrap_weights(len(groups), replicates, np.random.default_rng(seed))
    return cross_similarity(_replicates(target, groups, weights), zoo, predictor)


def bootstrap_matrix(
    zoo: Sequence[TaskEmbedding],
    groups: Sequence[np.ndarray],
    predictor: str,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> np.ndarray:
    """Replicates of `similarity_matrix`: the examples of all tasks are resampled, each task by itself.

    Args:
        groups: for each embedding of the zoo the mean Fisher of its groups, (G, P).

    Returns:
        Similarities, (R, N, N).
    """
    if len(groups) != len(zoo):
        raise BadInput(f"{len(groups)} tasks have groups of examples, the zoo has {len(zoo)}; give groups for each")
    generator = np.random.default_rng(seed)
    weights = [bootstrap_weights(len(g), replicates, generator) for g in groups]
    result = np.empty((replicates, len(zoo), len(zoo)))
    for b in range(replicates):
        resampled = [
            _replicates(embedding, g, w[b : b + 1])[0] for embedding, g, w in zip(zoo, groups, weights, strict=True)
        ]
        result[b] = similarity_matrix(resampled, predictor)
    return result


def _replicates(template: TaskEmbedding, groups: np.ndarray, weights: np.ndarray) -> list[TaskEmbedding]:
    """The embedding under each row of weights (R, G)."""
    if groups.ndim != 2 or groups.shape[1] != sum(template.sizes):
        raise BadInput(
            f"groups of {template.task!r} have shape {groups.shape}; "
            f"give one row of {sum(template.sizes)} values per group"
        )
    cuts = np.cumsum(template.sizes)[:-1]
    values = weights.astype(np.result_type(groups, np.float32)) @ groups  # (R, P)
    return [replace(template, tensors=dict(zip(template.names, np.split(row, cuts), strict=True))) for row in values]
