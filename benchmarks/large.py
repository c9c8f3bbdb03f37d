"""A workspace of 2,000 tasks: a zoo with a map of 100,000 points, and a table of 20,000 values beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pituning.graph.projection import Projection, TaskMap, save_projection
from pituning.graph.settings import MapSettings
from pituning.tasks.base import Example, Task
from pituning.tasks.saved import save_task
from pituning.workspace.affinities import Affinity, save_affinity
from pituning.workspace.layout import Workspace
from pituning.workspace.similarity import ZooSimilarity, save_similarity, similarity_digest

TABLE = "two-thousand"
TASKS = 2000
FAMILIES = 40
RESAMPLINGS = 50
VALUES = 20_000
"""Pairs of the table of which the affinity is known."""

MODALITIES = ("vision", "language", "vision-language")


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the workspace holds."""

    tasks: int
    lines: int
    weakest: float


def make(root: Path, *, tasks: int = TASKS, resamplings: int = RESAMPLINGS, values: int = VALUES) -> Made:
    """Makes the workspace; tasks of a family are alike."""
    root.mkdir(parents=True, exist_ok=True)
    workspace = Workspace.open(root)
    generator = np.random.default_rng(0)
    families = generator.integers(FAMILIES, size=tasks)
    centres = generator.normal(size=(FAMILIES, 16))
    vectors = centres[families] + 0.7 * generator.normal(size=(tasks, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    names = tuple(f"task-{number:04d}" for number in range(tasks))
    for name, family in zip(names, families, strict=True):
        save_task(task_of_family(name, int(family)), workspace)

    path = workspace.zoo().new_similarity_path("lora", "probe")
    none = np.zeros((0, tasks, tasks))
    save_similarity(path, ZooSimilarity(names=names, matrix=similarity, replicates=none))
    settings = MapSettings()
    points = vectors[:, :2] / np.abs(vectors[:, :2]).max()
    resampled = points + 0.02 * generator.normal(size=(resamplings, tasks, 2))
    flat = TaskMap(points=points, trustworthiness=0.8, resampled=resampled, layers=np.zeros((0, tasks, 2)))
    made = Projection(
        kind="lora", predictor="probe", similarity=similarity_digest(path), settings=settings, names=names, layers=(),
        neighbours=5, maps={"umap": flat},
    )  # fmt: skip
    save_projection(workspace.zoo(), made)

    rows, columns = np.triu_indices(tasks, k=1)
    nearest = np.argsort(-similarity[rows, columns], kind="stable")[:values]
    table = np.full((tasks, tasks), np.nan)
    table[rows[nearest], columns[nearest]] = similarity[rows[nearest], columns[nearest]]
    save_affinity(workspace, TABLE, Affinity(names=names, values=table))
    return Made(tasks=tasks, lines=values, weakest=float(similarity[rows, columns][nearest[-1]]))


def task_of_family(name: str, family: int) -> Task:
    """A task of few short texts, whose family decides its modality."""
    answers = ("yes", "no")
    splits = {
        split: [Example(uid=f"{name}/{split}/{i}", text=f"{name} {i}", answer=answers[i]) for i in range(2)]
        for split in ("train", "validation", "test")
    }
    return Task(
        name=name, title=name.capitalize().replace("-", " "), instruction="is it so?",
        modality=MODALITIES[family % len(MODALITIES)], metric="accuracy", labels=answers, source="file", splits=splits,
    )  # fmt: skip
