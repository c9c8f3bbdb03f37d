"""Whether the graph finds the planted relatives of the suite. Torch-free."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pituning.tasks.mini import TASK_NAMES, planted_relatives
from pituning.workspace.similarity import load_similarity

NEAREST = 3


def nearest(directory: Path, task: str, *, kind: str = "lora", predictor: str = "probe") -> list[str]:
    """The three most similar tasks by a stored similarity, most similar first."""
    similarity = load_similarity(directory / "similarity" / kind / f"{predictor}.safetensors")
    row = similarity.matrix[similarity.names.index(task)].copy()
    row[similarity.names.index(task)] = -np.inf
    return [similarity.names[i] for i in np.argsort(-row, kind="stable")[:NEAREST]]


def planted_found(directory: Path, *, kind: str = "lora", predictor: str = "probe") -> dict[str, tuple[int, int]]:
    """Per task: how many planted relatives are among its three nearest, and how many could be."""
    found = {}
    for task in TASK_NAMES:
        relatives = set(planted_relatives(task))
        hits = relatives & set(nearest(directory, task, kind=kind, predictor=predictor))
        found[task] = (len(hits), min(NEAREST, len(relatives)))
    return found
