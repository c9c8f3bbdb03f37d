"""The work of a run that makes maps of the tasks. Torch-free; it loads umap-learn, so import it only to do it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pituning.graph import project as projecting
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.projection import save_projection
from pituning.graph.similarity import PROBE_OF, parts_of
from pituning.progress import Reporter
from pituning.runs.configs import ProjectRun
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, load_similarity, similarity_digest


def project(
    config: ProjectRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path | None = None
) -> dict[str, Any]:
    """Makes the maps of a kind and predictor and keeps them in the workspace.

    Raises:
        ArtefactError: there are no similarities of that kind and predictor, or they are damaged.
        BadInput: there are too few tasks.
    """
    path = workspace.similarity_path(config.kind, config.predictor)
    zoo = load_similarity(path)
    layers = _layers(workspace, config, zoo)
    if not layers:
        reporter.log("there are no embeddings of these similarities, so there are no maps by layer")
    made = projecting.project(
        zoo, config.map_settings(), kind=config.kind, predictor=config.predictor, digest=similarity_digest(path),
        layers=layers, reporter=reporter,
    )  # fmt: skip
    file = save_projection(workspace.root, made)
    return {
        "kind": config.kind,
        "predictor": config.predictor,
        "tasks": len(made.names),
        "trustworthiness": {name: each.trustworthiness for name, each in made.maps.items()},
        "replicates": {name: len(each.resampled) for name, each in made.maps.items()},
        "layers": list(made.layers),
        "file": str(file),
    }


def _layers(workspace: Workspace, config: ProjectRun, zoo: ZooSimilarity) -> Mapping[str, np.ndarray]:
    probe = PROBE_OF.get(config.predictor)
    if probe is None:
        return {}
    paths = [workspace.embedding_path(config.kind, probe, name) for name in zoo.names]
    if not all(path.is_file() for path in paths):
        return {}
    return parts_of([TaskEmbedding.load(path) for path in paths], config.predictor, zoo.matrix)
