"""Similarities of a zoo by one layer or module of the network alone, from the embeddings that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from pituning.experts.space import load_space
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predictors import PREDICTORS
from pituning.graph.similarity import parts_of
from pituning.workspace.similarity import ZooSimilarity
from pituning.workspace.zoo import Zoo

Part = Literal["layer", "module"]

MOST_FOR_PARTS = 200
"""Tasks whose embeddings are read while somebody waits."""


def part_files(zoo: Zoo, compared: ZooSimilarity, kind: str, predictor: str) -> list[Path]:
    """The space of a kind, then the embedding of each task; empty where the parts cannot be told.

    Args:
        compared: the similarities of that kind and predictor.
    """
    probe = PREDICTORS[predictor].probe
    if probe is None or len(compared.names) > MOST_FOR_PARTS:
        return []
    files = [zoo.space_path(kind), *(zoo.embedding_path(kind, probe, name) for name in compared.names)]
    return files if all(file.is_file() for file in files) else []


def zoo_parts(files: list[Path], compared: ZooSimilarity, predictor: str, part: Part) -> Mapping[str, np.ndarray]:
    """S of each layer or module alone, (N, N), by its name; empty without files.

    Args:
        files: as `part_files` lists them.

    Raises:
        ArtefactError: an embedding is damaged.
    """
    if not files:
        return {}
    space = load_space(files[0])
    part_of = {"layer": space.layer_of, "module": space.label_of}[part]
    return parts_of([TaskEmbedding.load(file) for file in files[1:]], predictor, compared.matrix, part_of)
