"""A workspace with a tiny backbone, five tiny tasks and an untrained expert for each of them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert, save_expert
from pituning.tasks.base import SPLITS, Example, Task
from pituning.tasks.images import BytesImage
from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace

MakeWorkspace = Callable[..., Workspace]


@pytest.fixture
def make_workspace(
    tmp_path: Path, tiny_backbone_dir: Path, tiny_backbone: Backbone, tiny_tasks: list[Task]
) -> MakeWorkspace:
    """``make_workspace(name, kind, tasks=…)``."""

    def make(name: str, kind: str, tasks: list[Task] | None = None) -> Workspace:
        workspace = Workspace(Workspace.open(tmp_path / name).root, embedded=None)
        shutil.copytree(tiny_backbone_dir, workspace.root / "backbones" / "mini")
        model = ExpertModel(tiny_backbone, kind)
        for number, task in enumerate(tasks or tiny_tasks):
            save_task(with_files(task), workspace)
            noise = np.random.default_rng(number).normal(scale=0.05, size=model.space.size)
            values = model.initial(0) + torch.from_numpy(noise).float()
            expert = make_expert(model, values, name=task.name, task=task.name, seed=0)
            save_expert(expert, model, workspace.zoo().new_expert_dir(kind, task.name))
        return workspace

    return make


def with_files(task: Task) -> Task:
    """The task with its drawn images as PNG files, which is what a workspace can keep."""

    def stored(example: Example) -> Example:
        if example.image is None:
            return example
        buffer = io.BytesIO()
        example.image.render(16).save(buffer, "png")
        return replace(example, image=BytesImage(buffer.getvalue()))

    return replace(task, splits={name: [stored(e) for e in task.split(name)] for name in SPLITS})


@pytest.fixture(scope="session")
def tiny_tasks(vision_task: Task, text_task: Task, box_task: Task) -> list[Task]:
    return [
        vision_task,
        text_task,
        box_task,
        replace(vision_task, name="other-colour", instruction="name the colour"),
        replace(text_task, name="other-mood", instruction="mood?"),
    ]
