"""S of chosen tasks of a large zoo, of which only the most similar of each are kept: from their embeddings, on demand.

Beyond the embeddings of the chosen tasks nothing is read: where the predictor takes the zoo's mean away, that is kept
with the similarities (`NearestSimilarity.centre`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import PREDICTORS
from pituning.graph.similarity import KEPT_TOLERANCE, cross_similarity
from pituning.graph.units import Units
from pituning.workspace.similarity import NearestSimilarity
from pituning.workspace.zoo import Zoo


def similarity_among(
    zoo: Zoo, kind: str, predictor: str, kept: NearestSimilarity, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """S of some tasks to some, (a, b) float64; 1 of a task to itself, NaN of a pair that is not known.

    What is kept is taken from there. All other pairs are known where the embeddings of the named tasks are kept and
    give what is kept, up to `KEPT_TOLERANCE`: embeddings of another time do not.

    Args:
        rows, columns: indices into ``kept.names``.

    Raises:
        ArtefactError: an embedding is damaged.
    """
    known = kept_among(kept, rows, columns)
    if not np.isnan(known).any():
        return known
    computed = _computed(zoo, kind, predictor, kept, rows, columns)
    if computed is None or np.abs(computed - known)[~np.isnan(known)].max(initial=0) > KEPT_TOLERANCE:
        return known
    return np.where(np.isnan(known), computed, known)


def kept_among(kept: NearestSimilarity, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The same from what is kept alone: S where one of two tasks is among the most similar of the other, else NaN."""
    result = np.full((len(rows), len(columns)), np.nan)
    for a, b, view in ((rows, columns, result), (columns, rows, result.T)):
        order = np.argsort(b, kind="stable")
        near = kept.tasks[a]  # (a, k)
        place = np.searchsorted(b[order], near).clip(0, len(b) - 1)
        here, at = np.nonzero(b[order][place] == near)
        view[here, order[place[here, at]]] = kept.values[a][here, at]
    result[np.asarray(rows)[:, None] == np.asarray(columns)] = 1
    return result


def _computed(
    zoo: Zoo, kind: str, predictor: str, kept: NearestSimilarity, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray | None:
    """S from the embeddings, or None where they are not kept."""
    record = PREDICTORS[predictor]
    some = np.union1d(rows, columns)
    if record.probe is None or (record.form == "centred" and not len(kept.centre)):
        return None
    paths = [zoo.embedding_path(kind, record.probe, kept.names[i]) for i in some]
    if not all(path.is_file() for path in paths):
        return None
    embeddings = [TaskEmbedding.load(path) for path in paths]
    a, b = np.searchsorted(some, rows), np.searchsorted(some, columns)
    if len({embedding.sizes for embedding in embeddings}) > 1:
        return None
    if record.form is None:
        return cross_similarity(_of(embeddings, a), _of(embeddings, b), predictor)
    sizes = embeddings[0].sizes
    centre = kept.centre.astype(np.float64) if record.form == "centred" else None
    if centre is not None and len(centre) != sum(sizes):
        return None
    units = Units(np.array([embedding.flat() for embedding in embeddings]), sizes, record.form, centre=centre)
    return np.clip(units.exact_rows(a) @ units.exact_rows(b).T / units.counts(a, b), -1, 1)


def _of(embeddings: Sequence[TaskEmbedding], at: np.ndarray) -> list[TaskEmbedding]:
    return [embeddings[i] for i in at.tolist()]
