from __future__ import annotations

import numpy as np
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.embedding.embed import common_probe, embed_task
from pituning.embedding.fisher import fisher
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert
from pituning.graph.similarity import similarity_matrix
from pituning.tasks.base import Task


def test_embedding_is_the_fisher_cut_into_tensors(tiny_backbone: Backbone, vision_task: Task) -> None:
    model = ExpertModel(tiny_backbone, "bottleneck")
    values = model.initial(1) + 0.05
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train")[:9])
    made = embed_task(model, values, vision_task.name, encoded, probe="own", groups=3, meta={"note": 1})
    expected = fisher(model, values, encoded, groups=3)
    assert np.array_equal(made.embedding.flat(), expected.mean)
    assert np.array_equal(made.groups, expected.groups)
    assert made.embedding.names == model.space.names
    assert made.embedding.examples == 9
    assert made.embedding.meta["backbone"] == tiny_backbone.fingerprint
    assert made.embedding.meta["note"] == 1


def test_like_tasks_are_alike(tiny_backbone: Backbone, vision_task: Task, text_task: Task) -> None:
    """Two halves of one task are more alike than two tasks."""
    model = ExpertModel(tiny_backbone, "lora")
    probe = model.initial(0) + 0.1 * torch.randn(model.space.size, generator=torch.Generator().manual_seed(0))
    parts = [(vision_task, 0), (vision_task, 30), (text_task, 0), (text_task, 30)]
    zoo = [
        embed_task(
            model, probe, f"{task.name}-{start}", tiny_backbone.encode(task, task.split("train")[start : start + 30]),
            probe="common",
        ).embedding
        for task, start in parts
    ]  # fmt: skip
    similarity = similarity_matrix(zoo, "probe")
    assert similarity[0, 1] > similarity[0, 2:].max()
    assert similarity[2, 3] > similarity[2, :2].max()


def test_common_probe(tiny_backbone: Backbone) -> None:
    model = ExpertModel(tiny_backbone, "prefix")
    experts = [
        make_expert(model, torch.full((model.space.size,), float(number)), name=name, task=name)
        for number, name in enumerate(("a", "b", "c"))
    ]
    assert common_probe(experts).unique().tolist() == [1.0]
    assert common_probe(experts, exclude="a").unique().tolist() == [1.5]
    with pytest.raises(BadInput, match="build the zoo first"):
        common_probe(experts[:1], exclude="a")
