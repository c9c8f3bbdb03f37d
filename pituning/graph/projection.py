"""Maps of the tasks in two dimensions, as they are kept: coordinates, how far to trust them, and clouds around them.

`pituning.graph.project` makes them, in a run; pages only read. Torch-free, and free of umap-learn, whose import alone
takes longer than a page may.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pituning.errors import ArtefactError, BadInput
from pituning.graph.settings import MapSettings, digest_of
from pituning.workspace.atomic import read_json, write_text
from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity, similarity_digest
from pituning.workspace.zoo import Zoo

FORMAT_VERSION = 1
MAP_METHODS = ("umap", "mds", "pca")
DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class TaskMap:
    """One method's map.

    Args:
        points: of the N tasks, (N, 2).
        trustworthiness: how far neighbours on the map are neighbours in truth, in [0, 1] (Venna and Kaski, 2001).
        detail: what else says how good it is: ``stress`` (MDS, Kruskal's stress-1), ``variance`` (PCA, the share that
            each axis holds), ``preserved`` (of very many tasks, the share of the most similar that are the nearest on
            the map) and ``sampled`` (how many of them trustworthiness was estimated on).
        resampled: the same from bootstrap replicates of the similarity, laid upon ``points``, (R, N, 2).
        layers: the same from single layers, (L, N, 2).
    """

    points: np.ndarray
    trustworthiness: float | None
    detail: Mapping[str, Any] = field(default_factory=dict)
    resampled: np.ndarray
    layers: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Projection:
    """All maps of a zoo.

    Args:
        kind: of expert.
        predictor: of similarity.
        similarity: the digest of the similarities that were projected.
        names: the N tasks.
        layers: the L layers of which there are maps.
        neighbours: how many nearest tasks trustworthiness looks at.
        maps: by method; one that would mean nothing is left out.
    """

    kind: str
    predictor: str
    similarity: str
    settings: MapSettings
    names: tuple[str, ...]
    layers: tuple[str, ...]
    neighbours: int
    maps: Mapping[str, TaskMap]

    @property
    def file_name(self) -> str:
        return file_name(self.predictor, self.settings, self.similarity)


def check_metric(similarity: ZooSimilarity | NearestSimilarity, settings: MapSettings) -> None:
    """Whether a map can be made with that distance.

    Raises:
        BadInput: it needs all pairs, which are not kept.
    """
    if isinstance(similarity, NearestSimilarity) and settings.metric != "similarity":
        raise BadInput(
            f"metric {settings.metric!r} needs all pairs, and of {len(similarity.names):,} tasks only the most similar "
            "of each are kept; choose 'similarity'",
            field="metric",
        )


def file_name(predictor: str, settings: MapSettings, similarity: str) -> str:
    """A projection's file: the same predictor and settings begin alike, the same similarities end alike."""
    return f"{_stem(predictor, settings)}{digest_of([FORMAT_VERSION, predictor, settings.digest, similarity])}.json"


def _stem(predictor: str, settings: MapSettings) -> str:
    return f"{predictor}-{settings.digest}-"


def save_projection(zoo: Zoo, projection: Projection) -> Path:
    """Writes a projection into a zoo, and removes those of older similarities that it takes over from."""
    folder = zoo.projection_dir(projection.kind)
    path = folder / projection.file_name
    document = {
        "format_version": FORMAT_VERSION,
        "kind": projection.kind,
        "predictor": projection.predictor,
        "similarity": projection.similarity,
        "settings": asdict(projection.settings),
        "names": list(projection.names),
        "layers": list(projection.layers),
        "neighbours": projection.neighbours,
        "maps": {name: _to_json(made) for name, made in projection.maps.items()},
    }
    write_text(path, json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")
    for old in folder.glob(f"{_stem(projection.predictor, projection.settings)}*.json"):
        if old != path:
            old.unlink(missing_ok=True)
    return path


def _to_json(made: TaskMap) -> dict[str, Any]:
    return {
        "points": _rounded(made.points),
        "trustworthiness": None if made.trustworthiness is None else round(made.trustworthiness, 4),
        "detail": dict(made.detail),
        "resampled": _rounded(made.resampled),
        "layers": _rounded(made.layers),
    }


def _rounded(values: np.ndarray) -> Any:
    """Nested lists with `DIGITS` digits of the largest value: more than a screen has pixels."""
    largest = float(np.abs(values).max()) if values.size else 1.0
    decimals = DIGITS - 1 - int(np.floor(np.log10(largest))) if largest > 0 else 0
    return np.round(values.astype(float), max(decimals, 0)).tolist()


def load_projection(path: Path) -> Projection:
    """Reads what `save_projection` wrote.

    Raises:
        ArtefactError: when the file is missing or damaged.
    """
    document = read_json(path)
    try:
        if document["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format_version {document['format_version']!r}, not {FORMAT_VERSION}")
        names, layers = tuple(document["names"]), tuple(document["layers"])
        n = len(names)
        return Projection(
            kind=document["kind"],
            predictor=document["predictor"],
            similarity=document["similarity"],
            settings=MapSettings(**document["settings"]),
            names=names,
            layers=layers,
            neighbours=int(document["neighbours"]),
            maps={name: _from_json(made, n, len(layers)) for name, made in document["maps"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, BadInput) as error:
        raise ArtefactError(f"the map {path} is damaged ({error}); compute it again") from error


def _from_json(made: Mapping[str, Any], n: int, layers: int) -> TaskMap:
    arrays = [np.array(made[name], dtype=float) for name in ("points", "resampled", "layers")]
    points, resampled, by_layer = arrays[0], arrays[1].reshape(-1, n, 2), arrays[2].reshape(-1, n, 2)
    if points.shape != (n, 2) or len(by_layer) not in (0, layers) or not all(np.isfinite(a).all() for a in arrays):
        raise ValueError(f"shapes {[a.shape for a in arrays]} for {n} tasks and {layers} layers")
    trust = made["trustworthiness"]
    return TaskMap(
        points=points,
        trustworthiness=None if trust is None else float(trust),
        detail=dict(made["detail"]),
        resampled=resampled,
        layers=by_layer,
    )


@dataclass(frozen=True, kw_only=True)
class KeptProjection:
    """A projection that is there, and whether it is of the similarities as they are now."""

    path: Path
    current: bool


def find_projection(zoo: Zoo, kind: str, predictor: str, settings: MapSettings) -> KeptProjection | None:
    """The file of a projection, shipped or made here: a current one, else one of older similarities, else None.

    Raises:
        ArtefactError: there are no similarities of this kind and predictor.
    """
    wanted = file_name(predictor, settings, similarity_digest(zoo.similarity_path(kind, predictor)))
    files = zoo.projection_files(kind)
    current = next((path for path in files if path.name == wanted), None)
    if current is not None:
        return KeptProjection(path=current, current=True)
    older = next((path for path in files if path.name.startswith(_stem(predictor, settings))), None)
    return None if older is None else KeptProjection(path=older, current=False)
