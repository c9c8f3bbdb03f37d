"""LoraHub's search, against a grid, and its budget."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.experts.model import ExpertModel
from pituning.progress import Silent
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.tuning.interpolation import Mixture
from pituning.tuning.learners import Mixed
from pituning.tuning.lorahub import LoraHubLearner, evaluations


class Count(Silent):
    def __init__(self) -> None:
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps


def make(backbone: Backbone, kind: str = "lora") -> LoraHubLearner:
    model = ExpertModel(backbone, kind)
    generator = torch.Generator().manual_seed(1)
    experts = model.initial(0) + 0.1 * torch.randn(2, model.space.size, generator=generator)
    return LoraHubLearner(mixture=Mixture(model), names=("a", "b"), experts=experts)


def penalised(learner: LoraHubLearner, weights: tuple[float, ...], encoded: EncodedExamples) -> float:
    row = torch.tensor(weights, dtype=torch.float32).repeat(len(learner.mixture.space.sites), 1)
    loss = learner.losses(Mixed(learner.experts, row), encoded).mean()
    return float(loss + 0.05 * sum(abs(weight) for weight in weights))


def test_finds_weights_as_good_as_those_of_a_grid(tiny_backbone: Backbone, text_task: Task) -> None:
    learner = make(tiny_backbone)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:8])
    states: dict[int, Mixed] = {}
    reporter = Count()
    config = TrainConfig(steps=40, batch_size=8, learning_rate=0.5, eval_every=10)
    learner.fit(encoded, config, series="m", reporter=reporter, callback=states.__setitem__)
    assert list(states) == [10, 20, 30, 40]
    assert reporter.done == 40
    actual = [penalised(learner, tuple(state.weights[0].tolist()), encoded) for state in states.values()]
    assert actual == sorted(actual, reverse=True)
    grid = np.linspace(-1.5, 1.5, 13)
    best = min(penalised(learner, pair, encoded) for pair in itertools.product(grid, grid))
    assert actual[-1] <= best + 0.01
    last = states[40]
    assert torch.equal(last.experts, learner.experts)  # the donors stay as they are
    assert (last.weights == last.weights[0]).all()
    assert last.weights.abs().max() <= 1.5


@pytest.mark.parametrize("kind", ["lora", "bottleneck", "ia3"])
def test_starts_from_nothing(tiny_backbone: Backbone, text_task: Task, kind: str) -> None:
    learner = make(tiny_backbone, kind)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:4])
    with torch.no_grad():
        batch = encoded.batch(range(4))
        expected = tiny_backbone.logits(batch).log_softmax(2)[:, 0].gather(1, batch.labels[:, :1])
        actual = learner.mixture.forward(learner.start().experts, learner.start().weights, batch)
    assert torch.allclose(actual.log_softmax(2)[:, 0].gather(1, batch.labels[:, :1]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "batch_size", "examples", "expected"),
    [
        (80, 32, 96, 80),  # a step sees a third of the examples, and costs three passes over that third
        (80, 32, 24, 240),  # a step sees all of them
        (1, 32, 320, 1),
    ],
)
def test_a_search_costs_as_much_as_a_training(steps: int, batch_size: int, examples: int, expected: int) -> None:
    assert evaluations(steps, TrainConfig(batch_size=batch_size), examples) == expected


def test_the_budget_is_kept(tiny_backbone: Backbone, text_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make(tiny_backbone)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:8])
    calls = []
    losses = LoraHubLearner.losses

    def counted(self: LoraHubLearner, state: Mixed, examples: EncodedExamples) -> np.ndarray:
        calls.append(state)
        return losses(self, state, examples)

    monkeypatch.setattr(LoraHubLearner, "losses", counted)
    config = TrainConfig(steps=6, batch_size=4, learning_rate=0.5)
    learner.fit(encoded, config, series="m", reporter=Silent(), callback=lambda step, state: None)
    assert len(calls) == 6 * 3 * 4 // 8
