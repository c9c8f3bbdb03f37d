"""Makes the map of very many tasks from the most similar of each: UMAP alone, since MDS and PCA need all pairs.

UMAP (McInnes et al., 2018) takes the nearest neighbours as they are kept and starts from the places of the task graph,
which start from landmark scaling. How far to trust it:

- ``preserved``: of each task's nearest, the share that are among as many nearest on the map; over all tasks.
- Trustworthiness (Venna and Kaski, 2001) asks for the rank of tasks that need not be among those that are kept. It is
  estimated on `SAMPLED` tasks, and a rank that is not known by `REFERENCE` others drawn at random.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.spatial import KDTree

from pituning.graph.project import TRUST_NEIGHBOURS, load_umap
from pituning.graph.projection import Projection, TaskMap, check_metric
from pituning.graph.settings import MapSettings
from pituning.progress import Reporter, Silent
from pituning.workspace.similarity import NearestSimilarity

SAMPLED = 200
REFERENCE = 800

Among = Callable[[np.ndarray, np.ndarray], np.ndarray]


def project_nearest(
    kept: NearestSimilarity,
    settings: MapSettings,
    *,
    kind: str,
    predictor: str,
    digest: str,
    among: Among,
    reporter: Reporter | None = None,
) -> Projection:
    """The map of a large zoo.

    Args:
        kept: of each of N tasks the most similar.
        kind, predictor, digest: of what, for the record.
        among: S of some tasks to some, by their indices; NaN where it is not known.

    Raises:
        BadInput: the settings ask for a distance that needs all pairs.
    """
    check_metric(kept, settings)
    report, n = reporter or Silent(), len(kept.names)
    near = min(settings.n_neighbors, kept.tasks.shape[1] + 1)  # UMAP counts a task as its own nearest
    report.log(f"{n:,} tasks: of each the most similar are kept, not all pairs, so there is UMAP, and no MDS nor PCA")
    if near < settings.n_neighbors:
        report.log(f"n_neighbors is {near} in place of {settings.n_neighbors}: no more are kept of each task")
    report.phase("load UMAP", 1)
    umap = load_umap()
    report.advance()
    report.phase("project", 2)
    own = np.arange(n)
    tasks = np.column_stack([own, kept.tasks[:, : near - 1]]).astype(np.int32)
    distance = np.column_stack([np.zeros(n), np.clip(1 - kept.values[:, : near - 1], 0, None)]).astype(np.float32)
    centred = kept.places - kept.places.mean(0)
    start = 10 * centred / max(float(np.abs(centred).max()), 1e-9)  # the extent of UMAP's own start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = umap(
            n_neighbors=near,
            min_dist=settings.min_dist,
            init=start.astype(np.float32),
            random_state=settings.seed,
            n_jobs=1,
            precomputed_knn=(tasks, distance, None),
            force_approximation_algorithm=True,  # else it computes the neighbours of few tasks itself
        ).fit_transform(start.astype(np.float32))
    points = np.asarray(made, dtype=float)
    report.advance()
    k = min(TRUST_NEIGHBOURS, kept.tasks.shape[1], (n - 1) // 2)
    trust, sampled = sampled_trustworthiness(kept, points, k, among, seed=settings.seed)
    report.advance()
    none = np.zeros((0, n, 2))
    detail = {"preserved": round(preserved(kept, points, k), 4), "sampled": sampled}
    one = TaskMap(points=points, trustworthiness=trust, detail=detail, resampled=none, layers=none)
    return Projection(
        kind=kind, predictor=predictor, similarity=digest, settings=settings, names=kept.names, layers=(),
        neighbours=k, maps={"umap": one},
    )  # fmt: skip


def preserved(kept: NearestSimilarity, points: np.ndarray, k: int) -> float:
    """The share of the k most similar of each task that are among its k nearest on the map (N, 2)."""
    near = _on_map(points, np.arange(len(points)), k)
    return float((kept.tasks[:, :k, None] == near[:, None]).any(2).mean())


def sampled_trustworthiness(
    kept: NearestSimilarity, points: np.ndarray, k: int, among: Among, *, seed: int = 0
) -> tuple[float | None, int]:
    """Trustworthiness of a map (N, 2) estimated on some tasks, and on how many; None where S of them is not known."""
    n, most = len(points), kept.tasks.shape[1]
    order = np.random.default_rng([seed, 5]).permutation(n)
    some, others = np.sort(order[:SAMPLED]), np.sort(order[-REFERENCE:])
    near = _on_map(points, some, k)  # (m, k)
    columns = np.union1d(near, others)
    similarity = among(some, columns)
    if np.isnan(similarity).any() or not 1 <= k < n / 2:
        return None, 0
    of_near = np.take_along_axis(similarity, np.searchsorted(columns, near), axis=1)
    drawn = similarity[:, np.searchsorted(columns, others)]  # (m, r)
    counts = others[None] != some[:, None]
    above = ((drawn[:, None] > of_near[:, :, None]) & counts[:, None]).sum(2) / counts.sum(1)[:, None]
    among_kept = kept.tasks[some][:, None] == near[:, :, None]  # (m, k, K)
    rank = np.where(among_kept.any(2), among_kept.argmax(2) + 1, np.maximum(1 + (n - 1) * above, most + 1))
    penalty = np.clip(rank - k, 0, None).sum()
    return float(1 - 2 * penalty / (len(some) * k * (2 * n - 3 * k - 1))), len(some)


def _on_map(points: np.ndarray, some: np.ndarray, k: int) -> np.ndarray:
    """The k nearest on the map of some tasks, (m, k), without themselves."""
    found = KDTree(points).query(points[some], k + 1)[1]
    own = found == some[:, None]
    own[~own.any(1), -1] = True  # where very many lie in one place
    return np.asarray(found[~own].reshape(len(some), k))
