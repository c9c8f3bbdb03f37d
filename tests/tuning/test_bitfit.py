from __future__ import annotations

import copy

import numpy as np
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import nll_per_example
from pituning.experts.model import ExpertModel
from pituning.progress import Silent
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.tuning.bitfit import BitFitLearner


def test_trains_as_a_plain_loop_over_the_biases(tiny_backbone: Backbone, text_task: Task) -> None:
    learner = BitFitLearner(backbone=tiny_backbone)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:4])
    states: list[torch.Tensor] = []
    config = TrainConfig(steps=3, batch_size=4, learning_rate=1e-2, warmup=0, schedule="constant", clip=1e9)
    before = copy.deepcopy(tiny_backbone.model.state_dict())
    learner.fit(encoded, config, series="m", reporter=Silent(), callback=lambda step, state: states.append(state))
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_backbone.model.state_dict().items())

    plain = copy.deepcopy(tiny_backbone)
    named = {
        name: parameter.requires_grad_(True)
        for name, parameter in plain.model.named_parameters()
        if "language_model" in name and name.endswith("bias")
    }
    biases = list(named.values())
    optimiser = torch.optim.AdamW(biases, lr=1e-2, weight_decay=0.0)
    batch = encoded.batch(range(4))
    for _ in range(3):
        optimiser.zero_grad()
        (nll_per_example(plain.logits(batch), batch.labels) / batch.lengths.sqrt()).mean().backward()
        optimiser.step()
    expected = torch.cat([bias.detach().flatten() for bias in biases])
    assert states[-1].shape == expected.shape
    assert (expected - learner.start()).abs().max() > 1e-2
    # A bias of the keys changes nothing after the softmax; Adam turns the rounding of its gradient into steps.
    matters = torch.cat([torch.full(bias.shape, "k_proj" not in name) for name, bias in named.items()])
    assert ((states[-1] - expected).abs() < 1e-4)[matters].float().mean() > 0.98
    np.testing.assert_allclose(
        learner.losses(states[-1], encoded),
        (nll_per_example(plain.logits(batch), batch.labels) / batch.lengths.sqrt()).detach().numpy(),
        rtol=1e-2,
    )
    plain.model.requires_grad_(False)
    assert learner.predict(states[-1], encoded, text_task, Silent()) == plain.predict(encoded, text_task)


def test_states_of_the_frozen_encoder_are_not_used(tiny_backbone: Backbone, text_task: Task) -> None:
    learner = BitFitLearner(backbone=tiny_backbone)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:3])
    prepared = ExpertModel(tiny_backbone, "prefix").prepare(encoded)
    assert prepared.states is not None
    other = learner.start() + 0.3
    np.testing.assert_allclose(learner.losses(other, prepared), learner.losses(other, encoded), rtol=1e-5)
