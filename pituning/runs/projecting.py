"""The work of a run that makes maps of the tasks. Torch-free; it loads umap-learn, so import it only to do it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pituning.experts.space import load_space
from pituning.graph import project as projecting
from pituning.graph.among import similarity_among
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import PREDICTORS
from pituning.graph.project_nearest import project_nearest
from pituning.graph.projection import Projection, save_projection
from pituning.graph.similarity import parts_of
from pituning.progress import Reporter
from pituning.runs.configs import ProjectRun
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import NearestSimilarity, ZooSimilarity, similarity_digest
from pituning.workspace.zoo import Zoo


def project(
    config: ProjectRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path | None = None
) -> dict[str, Any]:
    """Makes the maps of a kind and predictor and keeps them in the workspace; errors as for `map_zoo`."""
    return map_zoo(config, workspace.zoo(config.backbone), reporter)


def map_zoo(config: ProjectRun, zoo: Zoo, reporter: Reporter) -> dict[str, Any]:
    """Makes the maps of a kind and predictor and keeps them in a zoo.

    Raises:
        ArtefactError: there are no similarities of that kind and predictor, or they are damaged.
        BadInput: there are too few tasks, or too many for the distance.
    """
    path = zoo.similarity_path(config.kind, config.predictor)
    similarity = zoo.kept_similarity(config.kind, config.predictor)
    if isinstance(similarity, NearestSimilarity):
        made = _sparse(config, zoo, similarity, similarity_digest(path), reporter)
    else:
        made = _whole(config, zoo, similarity, similarity_digest(path), reporter)
    file = save_projection(zoo, made)
    return {
        "kind": config.kind,
        "predictor": config.predictor,
        "backbone": zoo.backbone,
        "tasks": len(made.names),
        "trustworthiness": {name: each.trustworthiness for name, each in made.maps.items()},
        "replicates": {name: len(each.resampled) for name, each in made.maps.items()},
        "layers": list(made.layers),
        "file": str(file),
    }


def _sparse(config: ProjectRun, zoo: Zoo, kept: NearestSimilarity, digest: str, reporter: Reporter) -> Projection:
    return project_nearest(
        kept, config.map_settings(), kind=config.kind, predictor=config.predictor, digest=digest,
        among=partial(similarity_among, zoo, config.kind, config.predictor, kept), reporter=reporter,
    )  # fmt: skip


def _whole(config: ProjectRun, zoo: Zoo, similarity: ZooSimilarity, digest: str, reporter: Reporter) -> Projection:
    layers = _layers(zoo, config, similarity)
    if not layers:
        reporter.log("there are no embeddings of these similarities, so there are no maps by layer")
    return projecting.project(
        similarity, config.map_settings(), kind=config.kind, predictor=config.predictor, digest=digest, layers=layers,
        reporter=reporter,
    )  # fmt: skip


def _layers(zoo: Zoo, config: ProjectRun, similarity: ZooSimilarity) -> Mapping[str, np.ndarray]:
    probe = PREDICTORS[config.predictor].probe
    if probe is None:
        return {}
    paths = [zoo.embedding_path(config.kind, probe, name) for name in similarity.names]
    if not all(path.is_file() for path in (*paths, zoo.space_path(config.kind))):
        return {}
    layers = load_space(zoo.space_path(config.kind)).layer_of
    return parts_of([TaskEmbedding.load(path) for path in paths], config.predictor, similarity.matrix, layers)
