"""Fisher information against a loop of single-example backward passes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.embedding.fisher import example_gradients, fisher
from pituning.embedding.sampling import sample_answers
from pituning.errors import BadInput
from pituning.experts.kinds import mixable_kinds
from pituning.experts.model import ExpertModel
from pituning.tasks.base import Task


def perturbed(model: ExpertModel, seed: int = 0) -> torch.Tensor:
    """Values at which no gradient is zero: LoRA and bottleneck start with half of their parameters at 0."""
    generator = torch.Generator().manual_seed(seed)
    return model.initial(seed) + 0.1 * torch.randn(model.space.size, generator=generator)


def loop(model: ExpertModel, values: torch.Tensor, encoded: EncodedExamples) -> torch.Tensor:
    """(N, P) gradients, one example and one backward pass at a time."""
    rows = []
    for index in range(len(encoded)):
        leaf = values.clone().requires_grad_(True)
        model.loss(leaf, encoded.batch([index])).sum().backward()
        rows.append(leaf.grad)
    return torch.stack(rows)


def double(encoded: EncodedExamples) -> EncodedExamples:
    encoded.backbone.model.double()
    return replace(encoded, features=None if encoded.features is None else encoded.features.double())


@pytest.mark.parametrize("kind", mixable_kinds())
@pytest.mark.parametrize("task_name", ["vision_task", "text_task"])
def test_exact_in_float64(
    kind: str, task_name: str, two_layer_backbone: Backbone, request: pytest.FixtureRequest
) -> None:
    task: Task = request.getfixturevalue(task_name)
    backbone = deepcopy(two_layer_backbone)
    model = ExpertModel(backbone, kind)
    encoded = double(backbone.encode(task, task.split("train")[:7]))
    values = perturbed(model).double()
    expected = loop(model, values, encoded)
    actual = example_gradients(model, values, encoded.batch(range(7)))
    assert (actual - expected).norm() <= 1e-9 * expected.norm()
    assert (expected.norm(dim=1) > 0).all()
    mean = fisher(model, values, encoded, batch_size=3).mean
    assert np.linalg.norm(mean - expected.square().mean(0).numpy()) <= 1e-5 * np.linalg.norm(mean)


@pytest.mark.parametrize("kind", mixable_kinds())
def test_close_in_float32_and_leaves_no_hooks(kind: str, tiny_backbone: Backbone, box_task: Task) -> None:
    model = ExpertModel(tiny_backbone, kind)
    values = perturbed(model)
    encoded = tiny_backbone.encode(box_task, box_task.split("train")[:6])
    before = model.forward(values, encoded.batch([0]))
    expected = loop(model, values, encoded).square().mean(0).numpy()
    actual = fisher(model, values, encoded, batch_size=4)
    assert np.linalg.norm(actual.mean - expected) <= 1e-3 * np.linalg.norm(expected)
    assert actual.examples == 6
    assert not any(module._forward_hooks for module in tiny_backbone.model.modules())
    assert torch.equal(model.forward(values, encoded.batch([0])), before)
    assert not any(parameter.requires_grad for parameter in tiny_backbone.model.parameters())


def test_groups_average_to_the_mean(tiny_backbone: Backbone, text_task: Task) -> None:
    model = ExpertModel(tiny_backbone, "lora")
    values = perturbed(model)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:12])
    actual = fisher(model, values, encoded, groups=4, batch_size=5)
    assert actual.groups.shape == (4, model.space.size)
    np.testing.assert_allclose(actual.groups.mean(0), actual.mean, rtol=1e-5, atol=1e-12)
    squares = loop(model, values, encoded).square().numpy()
    # Three examples each: every group is the mean of some three rows, and no row is used twice.
    members = np.empty(12, dtype=int)
    members[np.random.default_rng([0, 4]).permutation(12)] = np.arange(12) % 4
    for group in range(4):
        np.testing.assert_allclose(actual.groups[group], squares[members == group].mean(0), rtol=2e-3, atol=1e-9)
    assert len(fisher(model, values, encoded, groups=50).groups) == 12


@pytest.mark.parametrize("kind", mixable_kinds())
def test_centred_is_the_variance_of_the_gradients(kind: str, tiny_backbone: Backbone, text_task: Task) -> None:
    """Against NumPy's unbiased variance of the gradients of single examples, whole and within groups."""
    model = ExpertModel(tiny_backbone, kind)
    values = perturbed(model)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:9])
    gradients = loop(model, values, encoded).double().numpy()
    whole = fisher(model, values, encoded, estimator="centred", batch_size=4)
    expected = gradients.var(0, ddof=1)
    assert np.linalg.norm(whole.mean - expected) <= 1e-4 * np.linalg.norm(expected)
    # The groups: whichever examples they hold, each is the variance of some three of the nine.
    actual = fisher(model, values, encoded, estimator="centred", groups=3, batch_size=4, seed=5)
    members = np.empty(9, dtype=int)
    members[np.random.default_rng([5, 3]).permutation(9)] = np.arange(9) % 3
    for group in range(3):
        expected = gradients[members == group].var(0, ddof=1)
        assert np.linalg.norm(actual.groups[group] - expected) <= 1e-4 * np.linalg.norm(expected)
    assert np.allclose(actual.mean, actual.groups.mean(0), rtol=1e-4)


def test_a_shared_gradient_leaves_no_variance(tiny_backbone: Backbone, text_task: Task) -> None:
    """The same example many times: nothing tells the examples apart, and one alone keeps its square."""
    model = ExpertModel(tiny_backbone, "lora")
    values = perturbed(model)
    encoded = tiny_backbone.encode(text_task, [text_task.split("train")[0]] * 4)
    squared = fisher(model, values, encoded).mean
    assert fisher(model, values, encoded, estimator="centred").mean.max() <= 1e-5 * squared.max()
    one = fisher(model, values, encoded.subset([0]), estimator="centred", groups=4)
    assert len(one.groups) == 1
    assert np.allclose(one.mean, squared, rtol=1e-4, atol=1e-6 * squared.max())


def test_batch_estimator_squares_the_mean_gradient(tiny_backbone: Backbone, text_task: Task) -> None:
    model = ExpertModel(tiny_backbone, "bottleneck")
    values = perturbed(model)
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:6])
    gradients = loop(model, values, encoded)
    actual = fisher(model, values, encoded, estimator="batch", batch_size=6)
    np.testing.assert_allclose(actual.mean, gradients.mean(0).square().numpy(), rtol=5e-3, atol=1e-8)


def test_sampled_answers_follow_the_model(tiny_backbone: Backbone, text_task: Task) -> None:
    """The first answer token of one prompt, drawn often, has the model's own frequencies."""
    model = ExpertModel(tiny_backbone, "lora")
    values = perturbed(model)
    one = tiny_backbone.encode(text_task, [text_task.split("train")[0]])
    many = one.subset([0] * 1500)
    sampled = sample_answers(model, values, many, batch_size=500, seed=3)
    firsts = np.bincount([int(answer[0]) for answer in sampled.answers], minlength=1)
    with torch.no_grad():
        probabilities = model.forward(values, one.batch([0]))[0, 0].softmax(0).numpy()
    likely = np.argsort(-probabilities)[:5]
    frequencies = np.zeros_like(probabilities)
    frequencies[: len(firsts)] = firsts / 1500
    deviation = np.sqrt(probabilities[likely] * (1 - probabilities[likely]) / 1500)
    assert (np.abs(frequencies[likely] - probabilities[likely]) < 5 * deviation).all()
    again = sample_answers(model, values, many, batch_size=500, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(sampled.answers, again.answers, strict=True))
    assert fisher(model, values, one, labels="model").mean.sum() > 0


def test_bad_input(tiny_backbone: Backbone, text_task: Task) -> None:
    model = ExpertModel(tiny_backbone, "lora")
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:2])
    with pytest.raises(BadInput, match="no examples"):
        fisher(model, model.initial(0), encoded.subset([]))
    with pytest.raises(BadInput, match="labels='wrong'"):
        fisher(model, model.initial(0), encoded, labels="wrong")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="groups is 0"):
        fisher(model, model.initial(0), encoded, groups=0)
