"""Makes maps of the tasks: UMAP, MDS and PCA of their similarities, each with its clouds and its trustworthiness.

- ``umap``: UMAP (McInnes et al., 2018) of the distances with a fixed seed, started from classical scaling: the start
  decides how far the whole can be trusted (Kobak and Linderman, 2021). Below `UMAP_LEAST` tasks it is left out.
- ``mds``: metric MDS of the distances by SMACOF (de Leeuw, 1977), started from classical scaling.
- ``pca``: the two leading axes of the doubly centred S. Where S is a cosine, as it mostly is, that is PCA of the unit
  embeddings themselves, without a need to hold them.

Clouds: each bootstrap replicate of S, and each layer's S, is projected in the same way, started from the map (so that
chance does not mirror or tear it), and laid upon it by a Procrustes transformation. S itself is fitted anew from the
picture of each replicate, and the map is the fit in the midst of them: where a method has many nearly equal solutions,
the first one would lie at the edge of its own clouds.

Importing umap-learn takes many seconds: only a run does so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from pituning.errors import BadInput
from pituning.graph.projection import Projection, TaskMap
from pituning.graph.settings import MapSettings
from pituning.progress import Reporter, Silent
from pituning.workspace.similarity import ZooSimilarity

UMAP_LEAST = 12
"""Tasks below which UMAP is left out: with hardly more tasks than neighbours, any picture satisfies it."""

LEAST = 3
CLOUD = 25
"""Bootstrap replicates in a cloud."""

REFINED = {"learning_rate": 0.1, "n_epochs": 200}
"""Of UMAP from a map that is there. At its usual rate it moves points by chance, as far as from one
map to another of the same examples, and clouds lie beside their points."""

TRUST_NEIGHBOURS = 5
SMACOF_STEPS = 500

Method = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


def project(
    zoo: ZooSimilarity,
    settings: MapSettings,
    *,
    kind: str,
    predictor: str,
    digest: str,
    layers: Mapping[str, np.ndarray] | None = None,
    reporter: Reporter | None = None,
) -> Projection:
    """All maps of a zoo.

    Args:
        zoo: the similarities with their bootstrap replicates.
        kind, predictor, digest: of what, for the record.
        layers: S of each layer, (N, N).

    Raises:
        BadInput: with fewer than `LEAST` tasks.
    """
    report = reporter or Silent()
    n, layers = len(zoo.names), layers or {}
    if n < LEAST:
        raise BadInput(f"{n} tasks are too few for a map; give it {LEAST} or more", field="kind")
    similarity = zoo.matrix.astype(float)
    replicates = zoo.replicates[:CLOUD].astype(float)
    methods: dict[str, Method] = {"mds": partial(_mds, metric=settings.metric), "pca": _pca}
    if n >= UMAP_LEAST:
        report.phase("load UMAP", 1)
        methods = {"umap": _umap(settings, n), **methods}
        report.advance()
    else:
        report.log(f"{n} tasks are too few for UMAP, which needs {UMAP_LEAST}; MDS and PCA are made")
    report.phase("project", len(methods) * (1 + 2 * len(replicates) + len(layers)))
    neighbours = max(1, min(TRUST_NEIGHBOURS, (n - 1) // 2))
    maps = {}
    for name, method in methods.items():
        # The map and its clouds begin at the same place: begun elsewhere, UMAP ends elsewhere with the same examples.
        start = method(similarity, None)
        fits, candidates = [], [method(similarity, start)]
        for each in (*replicates, *layers.values()):
            fits.append(method(each, start))
            report.advance()
        of_replicates = fits[: len(replicates)]
        for fit in of_replicates:
            candidates.append(method(similarity, align(fit, candidates[0])))
            report.advance()
        points = _lying(_central(candidates, of_replicates))
        report.advance()
        stacked = np.array([align(fit, points) for fit in fits]).reshape(-1, n, 2)
        distance = distances(similarity, "similarity" if name == "pca" else settings.metric)
        maps[name] = TaskMap(
            points=points,
            trustworthiness=trustworthiness(distance, points, neighbours),
            detail=_detail(name, similarity, distance, points),
            resampled=stacked[: len(replicates)],
            layers=stacked[len(replicates) :],
        )
    return Projection(
        kind=kind, predictor=predictor, similarity=digest, settings=settings, names=zoo.names, layers=tuple(layers),
        neighbours=neighbours, maps=maps,
    )  # fmt: skip


def _central(candidates: Sequence[np.ndarray], fits: Sequence[np.ndarray]) -> np.ndarray:
    """The candidate, (N, 2) each, to which the fits of the replicates lie nearest, as shares of its size."""

    def away(points: np.ndarray) -> float:
        size = max(float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())), 1e-12)
        return sum(float(np.linalg.norm(align(fit, points) - points, axis=1).mean()) for fit in fits) / size

    return min(candidates, key=away)


def _lying(points: np.ndarray) -> np.ndarray:
    """Points (N, 2) turned so that they are widest from left to right, as screens are; any turn is as true."""
    centred = points - points.mean(0)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    at = np.argmax(np.abs(turned).round(9), axis=0)
    return turned * np.where(turned[at, [0, 1]] < 0, -1, 1)


def _detail(name: str, similarity: np.ndarray, distance: np.ndarray, points: np.ndarray) -> dict[str, object]:
    if name == "mds":
        return {"stress": round(stress(distance, points), 4)}
    if name == "pca":
        return {"variance": [round(float(share), 4) for share in principal_axes(similarity)[1]]}
    return {}


def distances(similarity: np.ndarray, metric: str) -> np.ndarray:
    """How far apart tasks are by S (N, N), see `MapSettings`: (N, N), symmetric, 0 on the diagonal, at least 0."""
    symmetric = (similarity + similarity.T) / 2
    if metric == "profile":
        symmetric = _profile_correlations(symmetric)
    distance = np.clip(1 - symmetric, 0, None)
    np.fill_diagonal(distance, 0)
    return distance


def _profile_correlations(similarity: np.ndarray) -> np.ndarray:
    """Pearson's correlation of two tasks' rows over all other tasks, (N, N); 0 where a row does not vary."""
    n = len(similarity)
    result = np.eye(n)
    for i in range(n):
        counts = np.ones((n, n), dtype=bool)  # of row j, the columns that are neither i nor j
        counts[:, i] = False
        counts[np.arange(n), np.arange(n)] = False
        total = np.maximum(counts.sum(1, keepdims=True), 1)
        mine, theirs = np.broadcast_to(similarity[i], (n, n)), similarity
        a = np.where(counts, mine - (mine * counts).sum(1, keepdims=True) / total, 0)
        b = np.where(counts, theirs - (theirs * counts).sum(1, keepdims=True) / total, 0)
        norms = np.sqrt((a * a).sum(1) * (b * b).sum(1))
        row = np.divide((a * b).sum(1), norms, out=np.zeros(n), where=norms > 1e-12)
        result[i] = np.where(np.arange(n) == i, 1, row)
    return (result + result.T) / 2


def principal_axes(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel PCA of S (N, N): coordinates (N, 2), signed so that the largest is positive, and shares of variance."""
    n = len(similarity)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(centring @ (similarity + similarity.T) @ centring / 2)
    values, vectors = values[::-1][:2], vectors[:, ::-1][:, :2]
    kept = np.clip(values, 0, None)
    coordinates = vectors * np.sqrt(kept)
    at = np.argmax(np.abs(coordinates).round(9), axis=0)
    coordinates *= np.where(coordinates[at, [0, 1]] < 0, -1, 1)
    whole = np.trace(centring @ similarity @ centring)
    return coordinates, kept / whole if whole > 1e-12 else np.zeros(2)


def _pca(similarity: np.ndarray, _start: np.ndarray | None) -> np.ndarray:
    return principal_axes(similarity)[0]


def _mds(similarity: np.ndarray, start: np.ndarray | None, *, metric: str) -> np.ndarray:
    distance = distances(similarity, metric)
    return smacof(distance, principal_axes(-(distance**2) / 2)[0] if start is None else start)


def smacof(distance: np.ndarray, start: np.ndarray, *, steps: int = SMACOF_STEPS) -> np.ndarray:
    """Points whose distances are nearest to ``distance`` (N, N), by majorisation from ``start`` (N, 2)."""
    n, points = len(distance), start - start.mean(0)
    before = np.inf
    for _ in range(steps):
        apart = _apart(points)
        now = float(((apart - distance) ** 2).sum())
        if before - now <= 1e-10 * max(now, 1e-12):
            break
        before = now
        ratio = np.divide(distance, apart, out=np.zeros_like(distance), where=apart > 1e-12)
        guttman = -ratio
        guttman[np.arange(n), np.arange(n)] += ratio.sum(1)
        points = guttman @ points / n
    return points


def stress(distance: np.ndarray, points: np.ndarray) -> float:
    """Kruskal's stress-1: 0 is perfect, above 0.2 is poor."""
    apart = _apart(points)
    whole = float((apart**2).sum())
    return float(np.sqrt(((apart - distance) ** 2).sum() / whole)) if whole > 0 else 0.0


def _apart(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def align(points: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Points (N, 2) moved, turned, mirrored and scaled to the size of ``base`` (N, 2), as near to it as can be.

    The scale of least squares would be smaller the more they differ, and draw every cloud to the middle of the map.
    """
    a, b = points - points.mean(0), base - base.mean(0)
    spread = float((a * a).sum())
    if spread < 1e-20:
        return np.broadcast_to(base.mean(0), base.shape).copy()
    left, _, right = np.linalg.svd(a.T @ b)
    return a @ (left @ right) * float(np.sqrt((b * b).sum() / spread)) + base.mean(0)


def trustworthiness(distance: np.ndarray, points: np.ndarray, k: int) -> float | None:
    """Venna and Kaski (2001): 1 when the k nearest on the map are among the k nearest in truth; below, by how far not.

    Args:
        distance: true distances, (N, N).
        points: on the map, (N, 2).
        k: below N / 2; otherwise the measure is not defined, and None.
    """
    n = len(distance)
    if not 1 <= k < n / 2:
        return None
    true_rank = _ranks(distance)
    near = _ranks(_apart(points)) <= k
    np.fill_diagonal(near, False)
    penalty = np.clip(true_rank - k, 0, None)[near].sum()
    return float(1 - 2 * penalty / (n * k * (2 * n - 3 * k - 1)))


def _ranks(distance: np.ndarray) -> np.ndarray:
    """By row: 1 for the nearest other task; 0 for the task itself."""
    n = len(distance)
    others = np.where(np.eye(n, dtype=bool), -np.inf, distance)
    return np.argsort(np.argsort(others, axis=1, kind="stable"), axis=1, kind="stable")


def load_umap() -> Any:
    """The class UMAP; what numba compiles for it is kept for the next process."""
    import numba

    with warnings.catch_warnings(), patch.object(numba, "njit", partial(numba.njit, cache=True)):
        warnings.simplefilter("ignore")
        from umap import UMAP
    return UMAP


def _umap(settings: MapSettings, n: int) -> Method:
    """UMAP as a method; loads the library."""
    umap = load_umap()

    def fit(similarity: np.ndarray, start: np.ndarray | None) -> np.ndarray:
        distance = distances(similarity, settings.metric)
        if start is None:
            begin = principal_axes(-(distance**2) / 2)[0]
            begin = 10 * begin / max(float(np.abs(begin).max()), 1e-9)  # the extent of UMAP's own start
        else:
            begin = start
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = umap(
                n_neighbors=min(settings.n_neighbors, n - 1),
                min_dist=settings.min_dist,
                metric="precomputed",
                init=begin.astype(np.float32),
                **({} if start is None else REFINED),
                random_state=settings.seed,
                n_jobs=1,
            ).fit_transform(distance)
        return np.asarray(made, dtype=float)

    return fit
