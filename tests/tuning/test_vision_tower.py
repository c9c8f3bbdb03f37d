"""Tunings whose own expert acts in the vision tower, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.embedding.zoo import embed_zoo
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert, open_expert, save_expert
from pituning.graph.embeddings import TaskEmbedding
from pituning.progress import Silent
from pituning.runs.configs import RelativesRun
from pituning.runs.relatives import relatives
from pituning.studies.config import ShortProbeConfig, TransferConfig
from pituning.studies.short_probe import measure_short_probes
from pituning.studies.transfer import measure_transfer
from pituning.tasks.metrics import score
from pituning.tasks.registry import TaskSource, load_task
from pituning.tasks.saved import save_task
from pituning.tuning.config import TuneConfig
from pituning.tuning.evaluation import scored_examples
from pituning.tuning.learners import MixtureLearner
from pituning.tuning.run import tune
from pituning.tuning.trial import Trial, prepare
from pituning.workspace.layout import Workspace

MakeWorkspace = Callable[..., Workspace]
CONFIG = TuneConfig(
    target="tiny-colour", shots=4, steps=4, donors=2, folds=1, test_examples=12, learning_rates=(0.01,),
    baselines=("single", "donor", "uniform", "placebo"), vision_tower=True,
)  # fmt: skip


def learner(trial: Trial, method: str) -> MixtureLearner:
    found = trial.methods.learner(method)
    assert isinstance(found, MixtureLearner)
    return found


def test_what_is_tuned_sees_otherwise_and_is_kept_so(make_workspace: MakeWorkspace, tiny_backbone: Backbone) -> None:
    workspace = make_workspace("w", "lora")
    result = tune(CONFIG, workspace)
    assert max(result["identity"].values()) < 1e-4
    assert set(result["baselines"]) == set(CONFIG.baselines)
    expert, model = open_expert(workspace.zoo().expert_dir("lora", result["expert"]), tiny_backbone)
    assert model.sees
    task = load_task("tiny-colour", workspace)
    test = scored_examples(task, 12)
    assert not any(site.startswith("vision") for site in result["weights_per_site"]["sites"])
    answers = model.predict(expert.values, model.encode(task, test), task)
    assert score(task.metric, answers, [example.gold for example in test]) == pytest.approx(result["score"], abs=0.01)
    again = tune(CONFIG, make_workspace("again", "lora"))
    assert (again["score"], again["baselines"]) == (result["score"], result["baselines"])

    # It lends as any other: where both see, both are mixed.
    borrowing = replace(CONFIG, target="other-colour", donor_names=(result["expert"], "tiny-box"))
    lent = learner(prepare(borrowing, workspace, Silent()), "mixture")
    assert lent.own_sites is None
    space = lent.mixture.space
    seen = torch.cat([torch.arange(site.start, site.stop) for site in space.sites if site.name.startswith("vision")])
    assert not torch.equal(lent.experts[1, seen], lent.experts[0, seen])
    assert torch.equal(lent.experts[2, seen], lent.experts[0, seen])  # who has nothing there learns from the same start
    blind = replace(borrowing, vision_tower=False, baselines=("single",))
    assert max(tune(blind, workspace)["identity"].values()) < 1e-4


def test_it_alone_stands_in_the_tower(make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace("w", "lora")
    trial = prepare(CONFIG, workspace, Silent())
    usual = prepare(replace(CONFIG, vision_tower=False), workspace, Silent())
    mixture, space = learner(trial, "mixture"), trial.methods.mixture.space
    size, sites = usual.methods.mixture.space.size, len(usual.methods.mixture.space.sites)
    assert space.sites[:sites] == usual.methods.mixture.space.sites
    # Own expert and donors start as they would without it; in the tower the own one is new, the donors are nothing.
    assert torch.equal(mixture.experts[:, :size], learner(usual, "mixture").experts)
    assert mixture.experts[0, size:].any()
    assert not mixture.experts[1:, size:].any()
    weights = mixture.start().weights
    assert torch.equal(weights[sites:], torch.tensor([[1.0, 0.0, 0.0]]).expand(len(weights) - sites, 3))
    torch.testing.assert_close(weights[:sites], torch.full((sites, 3), 1 / 3))

    # Whoever is trained has the tower, from the same start; whoever is taken as is has not.
    for method in ("single", "donor", "uniform", "placebo"):
        assert torch.equal(learner(trial, method).experts[0, size:], mixture.experts[0, size:]), method
    assert not learner(trial, "donor-untouched").experts[:, size:].any()
    assert not learner(trial, "untouched").experts[:, size:].any()

    losses = []
    for each, made in ((trial, mixture), (usual, learner(usual, "mixture"))):
        batch = each.shots.batch(range(4))
        state = made.start()
        losses.append(made.mixture.loss(state.experts, state.weights, batch))
    torch.testing.assert_close(*losses)  # B starts at nothing


def test_a_zoo_may_have_experts_that_see(make_workspace: MakeWorkspace, tiny_backbone: Backbone) -> None:
    """Where one of them is its task's own, as an imported one may be, all that is done with a zoo goes on."""
    workspace = make_workspace("w", "lora")
    zoo, backbone_dir = workspace.zoo(), workspace.backbone_dir("mini")
    model = ExpertModel(tiny_backbone, "lora").with_eyes()
    noise = torch.randn(model.space.size, generator=torch.Generator().manual_seed(5))
    expert = make_expert(model, model.initial(0) + 0.05 * noise, name="other-colour", task="other-colour", seed=0)
    save_expert(expert, model, zoo.new_expert_dir("lora", "other-colour"))

    found = relatives(RelativesRun(target="tiny-colour", shots=4, donors=2), workspace, Silent(), Path())
    assert "other-colour" in {each["task"] for each in found["neighbors"]}
    tasks = [load_task(name, workspace) for name in zoo.expert_dirs("lora")]
    embed_zoo(zoo, tiny_backbone, "lora", zoo.expert_dirs("lora"), tasks, examples=8, groups=2, replicates=2)
    embedded = TaskEmbedding.load(zoo.embedding_path("lora", "own", "tiny-colour"))
    assert embedded.flat().size == model.space.size  # one layout holds all of them
    source = TaskSource(workspace)
    stranger = replace(tasks[0], name="stranger")
    save_task(stranger, workspace)
    found = relatives(RelativesRun(target="stranger", shots=4, donors=2), workspace, Silent(), Path())
    assert {each["task"] for each in found["neighbors"]} == {task.name for task in tasks}
    pair = TransferConfig(tasks=("tiny-colour",), donor_names=("other-colour",), shots=(0, 4), steps=2, test_examples=6)
    assert measure_transfer(zoo, backbone_dir, pair, source=source, processes=1)["score"].notna().all()
    probes = ShortProbeConfig(tasks=("tiny-colour", "other-colour"), shots=4, seeds=(0,), processes=1)
    assert measure_short_probes(zoo, backbone_dir, probes, Silent(), source=source)["loss"].notna().all()


def test_its_own_expert_may_be_larger_than_its_donors(make_workspace: MakeWorkspace, tiny_backbone: Backbone) -> None:
    workspace = make_workspace("w", "lora")
    wide = replace(CONFIG, vision_tower=False, own_rank=6, baselines=("single",))
    trial = prepare(wide, workspace, Silent())
    usual, model = ExpertModel(tiny_backbone, "lora"), trial.methods.mixture.model
    assert dict(model.space.config) == {"rank": 6, "scale": 2.0}
    larger = ExpertModel(tiny_backbone, "lora", {"rank": 6})
    mixture = learner(trial, "mixture")
    assert torch.equal(mixture.experts[0], larger.initial(0))  # of all six; B is nothing
    batch = trial.shots.batch(range(4))
    for name, values in zip(trial.methods.donors, mixture.experts[1:], strict=True):
        there = learner(prepare(replace(wide, own_rank=0), workspace, Silent()), "mixture")
        own = there.experts[1 + trial.methods.donors.index(name)]
        torch.testing.assert_close(model.loss(values, batch), usual.loss(own, batch))
    result = tune(wide, workspace)
    assert max(result["identity"].values()) < 1e-4
    with pytest.raises(BadInput, match="own_rank is for experts of kind lora, not prefix"):
        TuneConfig(target="tiny-colour", kind="prefix", own_rank=6)


def test_who_cannot_have_it_is_told(make_workspace: MakeWorkspace) -> None:
    with pytest.raises(BadInput, match="vision_tower is for experts of kind lora, not prefix"):
        replace(CONFIG, kind="prefix")
    workspace = make_workspace("w", "lora")
    with pytest.raises(BadInput, match="vision_tower is for tasks with pictures, and 'tiny-mood' has none"):
        prepare(replace(CONFIG, target="tiny-mood"), workspace, Silent())
