from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.embedding.embed import common_probe
from pituning.errors import ArtefactError, BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import Together, make_expert, save_expert
from pituning.progress import Silent
from pituning.tasks.base import Task
from pituning.tasks.mini import TASK_NAMES, mini_task, planted_relatives
from pituning.tuning import donors
from pituning.tuning.config import TuneConfig
from pituning.tuning.evaluation import Scores, scored_examples, shown_predictions
from pituning.workspace.layout import Workspace

MakeWorkspace = Callable[..., Workspace]


def test_the_targets_own_expert_is_not_even_opened(make_workspace: MakeWorkspace, tiny_backbone: Backbone) -> None:
    workspace, model = make_workspace("w", "lora"), ExpertModel(tiny_backbone, "lora")
    (workspace.zoo().expert_dir("lora", "tiny-mood") / "adapter_model.safetensors").unlink()
    directories = workspace.zoo().expert_dirs("lora")
    zoo = donors.load_zoo(TuneConfig(target="tiny-mood"), directories, model)
    assert sorted(zoo.experts) == ["other-colour", "other-mood", "tiny-box", "tiny-colour"]
    with pytest.raises(ArtefactError):
        donors.load_zoo(TuneConfig(target="tiny-box"), directories, model)
    mean = sum(zoo.experts[name].values for name in sorted(zoo.experts)) / 4
    assert torch.allclose(common_probe(list(zoo.experts.values()), exclude="tiny-mood"), mean, atol=1e-6)
    assert not torch.allclose(common_probe(list(zoo.experts.values()), exclude="tiny-box"), mean, atol=1e-3)


def test_zoo_embeddings_are_kept_by_content(
    make_workspace: MakeWorkspace, tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, model = make_workspace("w", "prefix"), ExpertModel(tiny_backbone, "prefix")
    names, probe = ["tiny-box", "other-mood"], model.initial(3)
    made: list[str] = []
    real = donors.embed_task
    monkeypatch.setattr(donors, "embed_task", lambda m, v, task, e, **k: made.append(task) or real(m, v, task, e, **k))

    def embed(values: torch.Tensor) -> list[np.ndarray]:
        actual = donors.embed_zoo_tasks(names, values, model, tiny_backbone, workspace, Silent())
        return [embedding.flat() for embedding in actual]

    first = embed(probe)
    assert made == names
    second = embed(probe)
    assert made == names  # read, not made
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    path = next(workspace.zoo(tiny_backbone.name).root.glob("prefix/embeddings/probe-*/tiny-box.safetensors"))
    path.write_bytes(path.read_bytes()[:100])  # a damaged file is made again
    assert all(np.array_equal(a, b) for a, b in zip(first, embed(probe), strict=True))
    assert made == [*names, "tiny-box"]
    embed(probe + 0.1)
    assert made == [*names, "tiny-box", *names]


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_placebo_changes_as_much_as_the_donors_and_knows_nothing_else(tiny_backbone: Backbone, kind: str) -> None:
    model = ExpertModel(tiny_backbone, kind)
    real = model.initial(0) + 0.1 * torch.randn(2, model.space.size, generator=torch.Generator().manual_seed(0))
    fake = donors.placebo(real, model, 5)
    neutral = {"lora": 0, "ia3": 1}[kind]  # what is added, and what scales
    for slot in model.space.slots():
        pieces = (values[:, slot.start : slot.stop] - neutral for values in (real, fake))
        norms = [piece.norm(dim=1) for piece in pieces]
        assert torch.allclose(norms[0], norms[1], rtol=1e-4)
    cosine = torch.nn.functional.cosine_similarity(real - neutral, fake - neutral)
    assert cosine.abs().max() < 0.1
    assert torch.equal(fake, donors.placebo(real, model, 5))
    assert not torch.equal(fake, donors.placebo(real, model, 6))


def test_random_donors_are_no_donors() -> None:
    zoo = list("abcdefgh")
    drawn = [donors.random_donors(zoo, ["a", "b", "c"], seed) for seed in range(40)]
    assert all(len(set(names)) == 3 and not set(names) & {"a", "b", "c"} for names in drawn)
    assert {name for names in drawn for name in names} == set("defgh")
    assert set(donors.random_donors(["a", "b", "c"], ["a", "b"], 0)) <= {"a", "b", "c"}


def test_scores_and_intervals(text_task: Task) -> None:
    examples = scored_examples(text_task, 12)
    assert len(examples) == 12
    assert [e.uid for e in examples] == [e.uid for e in scored_examples(text_task, 12)]
    everything = scored_examples(text_task, 1000)
    scores = Scores(text_task, everything)
    right = [example.answer for example in everything]
    assert scores.add("right", right) == 100
    assert scores.interval("right") == [100, 100]
    half = ["unsure" if i % 2 else answer for i, answer in enumerate(right)]
    expected = 100 * np.mean([a == b for a, b in zip(half, right, strict=True)])
    assert scores.add("half", half) == pytest.approx(expected, abs=1e-3)
    low, high = scores.interval("half")
    # The normal approximation of a proportion's interval.
    spread = 1.96 * np.sqrt(expected * (100 - expected) / len(right))
    assert (high - low) / 2 == pytest.approx(spread, rel=0.25)
    assert scores.gain("right", "half")["mean"] == pytest.approx(100 - expected, abs=1e-3)
    assert scores.gain("half", "half") == {"mean": 0, "low": 0, "high": 0}
    assert scores.per_class("half")["unsure"] == 100
    shown = shown_predictions(everything, half, scores.rows["half"], np.arange(len(right), dtype=float))
    assert [item["score"] for item in shown] == [100] * 6 + [0] * 6
    assert shown[0]["loss"] < shown[5]["loss"] < shown[6]["loss"]


def test_same_format_donors_answer_alike_but_are_no_relatives() -> None:
    others = [mini_task(name) for name in TASK_NAMES]

    def found(target: str, seed: int = 0) -> list[str]:
        return donors.same_format_donors(mini_task(target), [t for t in others if t.name != target], seed)

    assert found("ground-place") == []  # the other boxes are relatives
    assert found("answers")[0] == "same-meaning"  # yes and no, too
    assert set(found("shape")[:3]) == {"aircraft", "flowers", "creatures"}  # images of eight classes
    assert not set(planted_relatives("shape")) & set(found("shape"))
    assert {task.metric for task in others if task.name in found("shape")} == {"accuracy"}
    assert found("sentiment", 1) == found("sentiment", 1)
    assert len({tuple(found("sentiment", seed)) for seed in range(8)}) > 1  # equals come at random


def test_imported_experts_lend_or_stay_out_but_stop_nobody(
    make_workspace: MakeWorkspace, tiny_backbone: Backbone
) -> None:
    workspace, usual = make_workspace("w", "lora"), ExpertModel(tiny_backbone, "lora")
    zoo = workspace.zoo()
    wide = ExpertModel(tiny_backbone, "lora", {"rank": 6, "scale": 1.0})
    for name, task in (("mine", "tiny-box"), ("tiny-colour", "tiny-colour"), ("target-s", "tiny-mood")):
        values = wide.initial(1) + 0.05
        expert = make_expert(wide, values, name=name, task=task, spec={"imported": "x", "checked": "peft 0"})
        save_expert(expert, wide, zoo.new_expert_dir("lora", name))
    every_expert = zoo.all_expert_dirs("lora")

    def load(*names: str, **given: object) -> Together:
        config = TuneConfig(target="tiny-mood", donor_names=names, donors=2)
        return donors.load_zoo(config, zoo.expert_dirs("lora"), usual, others=every_expert, **given)

    actual = load()
    assert sorted(actual.experts) == ["other-colour", "other-mood", "tiny-box", "tiny-colour"]
    assert sorted(actual.usual) == ["other-colour", "other-mood", "tiny-box"]
    assert actual.model_for(["tiny-box", "other-mood"]) is usual
    assert actual.model_for(["tiny-box", "tiny-colour"]).space.config["rank"] == 6
    assert "mine" in load("mine").experts
    with pytest.raises(BadInput, match="'target-s' was trained on the target 'tiny-mood' itself"):
        load("target-s")
    with pytest.raises(BadInput, match="unknown donor 'mind'; did you mean mine"):
        load("mind")

    class Listening(Silent):
        heard: ClassVar[list[str]] = []

        def log(self, message: str) -> None:
            self.heard.append(message)

    (zoo.expert_dir("lora", "tiny-colour") / "adapter_model.safetensors").write_bytes(b"damaged")
    assert "tiny-colour" not in load(reporter=Listening()).experts
    assert any(line.startswith("tiny-colour cannot lend: ") for line in Listening.heard)
    with pytest.raises(ArtefactError):
        load("tiny-colour")
