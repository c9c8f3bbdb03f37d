"""A workspace with a tiny random backbone, four tiny tasks and an expert of each: real runs on it take a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pituning.backbones.base import Backbone
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert, save_expert
from pituning.pretraining.architecture import build_model, save_backbone, train_tokenizer
from pituning.tasks.base import Example, Task
from pituning.tasks.saved import save_task
from pituning.workspace.layout import Workspace

LABELS = {"good": "happy", "bad": "sad", "unsure": "so"}
FILLERS = ("small", "large", "old", "new", "round", "square")
TASKS = ("mood-a", "mood-b", "mood-c", "mood-d")


def make_tiny_workspace(root: Path) -> Workspace:
    """Makes the workspace; nothing of the embedded data takes part."""
    workspace = Workspace(Workspace.open(root).root, embedded=None)
    tokenizer = train_tokenizer([" ".join([*LABELS, *LABELS.values(), *FILLERS, "how is it?"])] * 2, vocab_size=330)
    torch.manual_seed(0)
    model = build_model(
        tokenizer, d_model=32, layers=1, vision_dims=(16, 32), heads=2, image_size=16, max_positions=96, seed=0
    )
    save_backbone(model, tokenizer, workspace.root / "backbones" / "mini", image_size=16)
    backbone = Backbone.load(workspace.backbone_dir())
    expert_model = ExpertModel(backbone, "lora")
    for number, name in enumerate(TASKS):
        save_task(_task(name, number), workspace)
        noise = np.random.default_rng(number).normal(scale=0.05, size=expert_model.space.size)
        values = expert_model.initial(0) + torch.from_numpy(noise).float()
        expert = make_expert(expert_model, values, name=name, task=name, seed=0)
        save_expert(expert, expert_model, workspace.zoo().new_expert_dir("lora", name))
    return workspace


def _task(name: str, number: int) -> Task:
    def split(which: str, count: int, seed: int) -> list[Example]:
        rng = np.random.default_rng([number, seed])
        rows = []
        for index in range(count):
            label = list(LABELS)[index % len(LABELS)]
            words = [*rng.choice(FILLERS, size=int(rng.integers(1, 5))), LABELS[label]]
            rows.append(Example(uid=f"{name}/{which}/{index}", text=" ".join(map(str, words)), answer=label))
        return rows

    splits = {"train": split("train", 60, 1), "validation": split("validation", 12, 2), "test": split("test", 24, 3)}
    return Task(
        name=name, title=name, instruction="how is it?", modality="language", metric="accuracy",
        labels=tuple(LABELS), splits=splits,
    )  # fmt: skip
