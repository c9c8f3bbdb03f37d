"""What ships in `data/zoos/mini` is whole, belongs together, and comes out of the recipe again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.embedding import zoo as zoo_module
from pituning.embedding.embed import embed_task
from pituning.embedding.zoo import embed_zoo, embedded_examples
from pituning.errors import BadInput
from pituning.experts.card import read_card
from pituning.experts.kinds import shipped_kinds
from pituning.experts.model import ExpertModel
from pituning.experts.store import load_expert
from pituning.graph.embeddings import TaskEmbedding
from pituning.graph.predict import most_similar
from pituning.graph.predictors import PREDICTORS
from pituning.graph.similarity import similarity_to
from pituning.studies.built import expert_spec
from pituning.studies.config import ZooConfig
from pituning.studies.zoo import train_zoo_expert
from pituning.tasks.mini import TASK_NAMES, mini_task, planted_relatives
from pituning.workspace.layout import embedded_data
from pituning.workspace.similarity import NearestSimilarity
from pituning.workspace.zoo import Zoo

ZOO, BACKBONE = Zoo.at(embedded_data() / "zoos" / "mini"), embedded_data() / "backbones" / "mini"


def test_data_is_small_and_holds_nothing_to_unpickle() -> None:
    files = [p for p in embedded_data().rglob("*") if p.is_file()]
    real = {"smollm2": 12, "smolvision": 16}
    assert sum(p.stat().st_size for p in files if not set(real) & set(p.parts)) <= 25 * 2**20
    for backbone, most in real.items():
        assert sum(p.stat().st_size for p in files if backbone in p.parts) <= most * 2**20
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".csv", ".parquet", ".jsonl", ".md"}


@pytest.mark.parametrize("kind", shipped_kinds())
def test_every_task_has_an_expert_and_embeddings_of_the_shipped_backbone(kind: str) -> None:
    backbone = Backbone.load(BACKBONE)
    model = ExpertModel(backbone, kind)
    for task in TASK_NAMES:
        expert = load_expert(ZOO.expert_dir(kind, task), model)
        assert 0 <= expert.card.scores["test"] <= 100
        for probe in ("own", "common"):
            path = ZOO.embedding_path(kind, probe, task)
            assert TaskEmbedding.load(path, backbone=backbone.fingerprint).sizes == model.space.sizes
    for predictor in ("probe", "paper", "scaled", "weights", "text"):
        similarity = ZOO.similarity(kind, predictor)
        assert similarity.names == TASK_NAMES
        assert np.allclose(similarity.matrix, similarity.matrix.T, atol=1e-6)


def test_the_zoo_was_made_by_the_current_recipe() -> None:
    for kind in shipped_kinds():
        for task in TASK_NAMES:
            card = read_card(ZOO.expert_dir(kind, task))
            assert dict(card.spec) == expert_spec(ZooConfig(), kind, task)


@pytest.mark.slow
def test_an_expert_and_its_embedding_come_out_again(tmp_path: Path) -> None:
    """One expert from the recipe: the shipped score within a point, and the same three nearest tasks."""
    torch.set_num_threads(1)
    task, config = mini_task("same-question"), ZooConfig()
    backbone = Backbone.load(BACKBONE)
    model = ExpertModel(backbone, "lora")

    score = train_zoo_expert(Zoo.at(tmp_path), model, task, config)
    shipped = load_expert(ZOO.expert_dir("lora", task.name), model)
    assert abs(score - shipped.card.scores["test"]) <= 1.0
    actual = load_expert(tmp_path / "lora" / "experts" / task.name, model)
    encoded = backbone.encode(task, embedded_examples(task, config.fisher_examples, config.seed))
    mine = embed_task(model, actual.values, task.name, encoded, probe="own", seed=config.seed).embedding
    others = [name for name in TASK_NAMES if name != task.name]
    zoo = [TaskEmbedding.load(ZOO.embedding_path("lora", "own", name)) for name in others]
    nearest = [
        [neighbor.task for neighbor in most_similar(similarity_to(embedding, zoo, "paper"), others, 3)]
        for embedding in (mine, TaskEmbedding.load(ZOO.embedding_path("lora", "own", task.name)))
    ]
    assert nearest[0] == nearest[1]


def test_the_shipped_graph_finds_planted_relatives() -> None:
    """The graph itself, not a fixture. What it misses is told in docs/suite.md."""
    similarity = ZOO.similarity("lora", "probe")

    def nearest(task: str) -> set[str]:
        row = similarity.matrix[similarity.names.index(task)].copy()
        row[similarity.names.index(task)] = -np.inf
        return {similarity.names[i] for i in np.argsort(-row)[:3]}

    whole = (
        "colour",
        "aircraft",
        "flowers",
        "creatures",
        "same-meaning",
        "ground-place",
        "ground-look",
        "ground-relation",
    )
    for task in (*whole, "vqa", "caption", "nli"):  # of nli: across modalities
        assert set(planted_relatives(task)) <= nearest(task), task
    assert "nli" in nearest("visual-entailment")


def test_a_zoo_needs_an_expert_of_every_task(tmp_path: Path, tiny_backbone: Backbone) -> None:
    with pytest.raises(BadInput, match="task 'shape' has no lora expert"):
        embed_zoo(Zoo.at(tmp_path), tiny_backbone, "lora", {}, [mini_task("shape")])


@pytest.mark.slow
def test_a_large_zoo_keeps_the_most_similar_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    backbone, names = Backbone.load(BACKBONE), ("shape", "colour", "nli", "sentiment")
    experts = {name: ZOO.expert_dir("lora", name) for name in names}
    whole, large = Zoo.at(tmp_path / "whole"), Zoo.at(tmp_path / "large")
    for zoo in (whole, large):
        embed_zoo(zoo, backbone, "lora", experts, [mini_task(name) for name in names],
                  examples=4, groups=2, replicates=1)  # fmt: skip
        monkeypatch.setattr(zoo_module, "MOST_DENSE", 3)
    for predictor in PREDICTORS:
        kept, matrix = large.kept_similarity("lora", predictor), whole.similarity("lora", predictor).matrix
        assert isinstance(kept, NearestSimilarity)
        assert kept.names == names
        np.testing.assert_allclose(kept.values, np.take_along_axis(matrix, kept.tasks.astype(int), axis=1), atol=1e-5)
        assert (np.diff(kept.values, axis=1) <= 0).all()
