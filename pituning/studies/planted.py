"""Whether the graph finds the planted relatives of the suite. Torch-free."""

from __future__ import annotations

import numpy as np

from pituning.tasks.mini import TASK_NAMES, planted_relatives
from pituning.workspace.zoo import Zoo

NEAREST = 3


def nearest(zoo: Zoo, task: str, *, kind: str = "lora", predictor: str = "probe") -> list[str]:
    """The three most similar tasks by a stored similarity, most similar first."""
    similarity = zoo.similarity(kind, predictor)
    row = similarity.matrix[similarity.names.index(task)].copy()
    row[similarity.names.index(task)] = -np.inf
    return [similarity.names[i] for i in np.argsort(-row, kind="stable")[:NEAREST]]


def planted_found(zoo: Zoo, *, kind: str = "lora", predictor: str = "probe") -> dict[str, tuple[int, int]]:
    """Per task of the suite that the zoo has: how many planted relatives are among its three nearest, of how many."""
    counts, there = {}, zoo.similarity(kind, predictor).names
    for task in (name for name in TASK_NAMES if name in there):
        relatives = set(planted_relatives(task)).intersection(there)
        hits = relatives & set(nearest(zoo, task, kind=kind, predictor=predictor))
        counts[task] = (len(hits), min(NEAREST, len(relatives)))
    return counts
