"""The work of a run that makes maps of the tasks. Torch-free; it loads umap-learn, so import it only to do it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pituning.experts.space import load_space
from pituning.graph import project as projecting
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import PREDICTORS
from pituning.graph.projection import save_projection
from pituning.graph.similarity import parts_of
from pituning.progress import Reporter
from pituning.runs.configs import ProjectRun
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, similarity_digest
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
        BadInput: there are too few tasks.
    """
    path = zoo.similarity_path(config.kind, config.predictor)
    similarity = zoo.similarity(config.kind, config.predictor)
    layers = _layers(zoo, config, similarity)
    if not layers:
        reporter.log("there are no embeddings of these similarities, so there are no maps by layer")
    made = projecting.project(
        similarity, config.map_settings(), kind=config.kind, predictor=config.predictor, digest=similarity_digest(path),
        layers=layers, reporter=reporter,
    )  # fmt: skip
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


def _layers(zoo: Zoo, config: ProjectRun, similarity: ZooSimilarity) -> Mapping[str, np.ndarray]:
    probe = PREDICTORS[config.predictor].probe
    if probe is None:
        return {}
    paths = [zoo.embedding_path(config.kind, probe, name) for name in similarity.names]
    if not all(path.is_file() for path in (*paths, zoo.space_path(config.kind))):
        return {}
    layers = load_space(zoo.space_path(config.kind)).layer_of
    return parts_of([TaskEmbedding.load(path) for path in paths], config.predictor, similarity.matrix, layers)
