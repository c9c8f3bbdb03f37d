"""Mixtures that learn, against the plain training of one expert and against what Adam is known to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.experts.kinds import mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.progress import Silent
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.training.single import TunedBackbone, train_expert
from pituning.tuning.interpolation import Mixture
from pituning.tuning.learners import FullLearner, Mixed, MixtureLearner


def make(backbone: Backbone, kind: str, count: int, **settings: object) -> MixtureLearner:
    model = ExpertModel(backbone, kind)
    generator = torch.Generator().manual_seed(1)
    experts = model.initial(0) + 0.1 * torch.randn(count, model.space.size, generator=generator)
    given = {"alpha": torch.zeros(count), "learn_alpha": True, "trained": count, **settings}
    names = tuple(f"e{number}" for number in range(count))
    return MixtureLearner(mixture=Mixture(model), names=names, experts=experts, **given)  # type: ignore[arg-type]


def fit(learner: MixtureLearner | FullLearner, encoded: object, config: TrainConfig) -> object:
    seen: list[object] = []
    learner.fit(encoded, config, series="m", reporter=Silent(), callback=lambda step, state: seen.append(state))  # type: ignore[arg-type]
    return seen[-1]


@pytest.mark.parametrize("kind", mixable_kinds())
def test_a_mixture_of_one_is_plain_training(kind: str, tiny_backbone: Backbone, text_task: Task) -> None:
    learner = make(tiny_backbone, kind, 1, learn_alpha=False)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:8])
    config = TrainConfig(steps=3, batch_size=4, learning_rate=1e-3)
    expected = train_expert(learner.mixture.model, encoded, config, start=learner.experts[0]).values
    state = fit(learner, encoded, config)
    assert isinstance(state, Mixed)
    moved = (expected - learner.experts[0]).abs()
    assert moved.max() > 1e-3
    # Adam turns rounding into steps where a gradient is next to nothing, so: nearly all, not all.
    assert ((state.experts[0] - expected).abs() < 1e-4).float().mean() > 0.98


def test_alpha_has_its_own_rate_and_frozen_experts_stay(tiny_backbone: Backbone, text_task: Task) -> None:
    learner = make(tiny_backbone, "bottleneck", 3, trained=1, alpha_rate=20.0)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:4])
    config = TrainConfig(steps=1, warmup=0, learning_rate=1e-3, clip=1e6)
    state = fit(learner, encoded, config)
    assert isinstance(state, Mixed)
    assert torch.equal(state.experts[1:], learner.experts[1:])
    # Adam's first step moves whatever has a gradient by the learning rate: 1e-3 for experts, 20 times that for α.
    assert (state.experts[0] - learner.experts[0]).abs().max() == pytest.approx(1e-3, rel=1e-2)
    alpha = state.weights.log()
    gaps = (alpha - alpha[:, :1]).abs()  # differences of ±0.02 each
    assert gaps.max() == pytest.approx(0.04, rel=0.05)


def test_fixed_weights_stay(tiny_backbone: Backbone, text_task: Task) -> None:
    learner = make(tiny_backbone, "lora", 2, learn_alpha=False)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:4])
    state = fit(learner, encoded, TrainConfig(steps=2))
    assert isinstance(state, Mixed)
    assert torch.equal(state.weights, torch.full_like(state.weights, 0.5))
    assert not torch.equal(state.experts, learner.experts)


def test_losses_are_those_of_training(tiny_backbone: Backbone, text_task: Task) -> None:
    learner = make(tiny_backbone, "lora", 2)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:5])
    state = learner.start()
    actual = learner.losses(state, encoded)
    for index in range(5):
        batch = encoded.batch([index])
        with torch.no_grad():
            logits = learner.mixture.forward(state.experts, state.weights, batch)
        log_p = logits.log_softmax(2)[0, torch.arange(batch.labels.shape[1]), batch.labels[0]]
        assert actual[index] == pytest.approx(float(-log_p.sum()) / len(log_p) ** 0.5, rel=1e-4)


def test_full_fine_tuning_sees_images_with_its_own_eyes(tiny_backbone: Backbone, vision_task: Task) -> None:
    """Held-out examples are encoded again by the tuned copy, as encoding them afresh would do."""
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train")[:6], keep_pixels=True)
    learner = FullLearner(backbone=tiny_backbone)
    tuned = fit(learner, encoded, TrainConfig(steps=3, learning_rate=3e-3, batch_size=6, eval_every=2))
    assert isinstance(tuned, TunedBackbone)
    with tuned.using() as changed:
        fresh = changed.encode(vision_task, vision_task.split("train")[:6], keep_pixels=True)
    assert encoded.features is not None
    assert fresh.features is not None
    assert (fresh.features - encoded.features).abs().max() > 1e-3
    np.testing.assert_allclose(learner.losses(tuned, encoded), learner.losses(tuned, fresh), rtol=1e-5)
    assert learner.losses(tuned, encoded).mean() < learner.losses(learner.start(), encoded).mean()
    answers = learner.predict(tuned, encoded, vision_task, Silent())
    with torch.no_grad(), tuned.using() as changed:
        assert answers == changed.predict(fresh, vision_task)
