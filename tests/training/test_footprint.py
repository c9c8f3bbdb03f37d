"""What lowers the memory of a training changes none of its numbers, on every family and for every kind of experts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.swap import ParameterSwap
from pituning.errors import BadInput, Diverged, OutOfMemory
from pituning.experts.kinds import lora as lora_module
from pituning.experts.model import ExpertModel
from pituning.runs.configs import EmbedRun, TrainRun
from pituning.tasks.base import Task
from pituning.training import loop
from pituning.training.config import TrainConfig, without_defaults
from pituning.training.loop import fit
from pituning.training.single import full_finetune, train_expert
from pituning.tuning.config import TuneConfig
from pituning.tuning.interpolation import Mixture
from tests.backbones.tiny import TINY, Tiny, each, pairs
from tests.experts.contract import noisy


@pytest.fixture(scope="module", params=each())
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    tiny: Tiny = request.param
    return Backbone.load(tiny.below(tmp_path_factory.getbasetemp()))


def encode(backbone: Backbone, task: Task, count: int = 7) -> EncodedExamples:
    return backbone.encode(task, task.split("train")[:count])


def kept_for_backward(work: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """A result, and how many numbers autograd keeps for its gradients."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = work()
    return result, sum(kept.values())


# Checkpointing.


def test_layers_are_those_that_hold_the_blocks(backbone: Backbone) -> None:
    names = {module: name for name, module in backbone.model.named_modules()}
    assert len(backbone.layers) == len({block.layer for block in backbone.blocks})
    for block in backbone.blocks:
        assert sum(block.module.startswith(f"{names[layer]}.") for layer in backbone.layers) == 1


@pytest.mark.parametrize(("backbone", "kind"), pairs(), indirect=["backbone"], scope="module")
def test_checkpointing_changes_neither_losses_nor_gradients(backbone: Backbone, kind: str, text_task: Task) -> None:
    """Though what acts on the layers is gone when the backward pass runs them again."""
    model, batch = ExpertModel(backbone, kind), encode(backbone, text_task).batch(range(4))
    values = noisy(model)

    def work(inside: bool) -> tuple[Tensor, Tensor]:
        leaf = values.clone().requires_grad_(True)
        if inside:
            with backbone.checkpointing():
                loss = model.loss(leaf, batch)
        else:
            loss = model.loss(leaf, batch)
        loss.sum().backward()
        assert leaf.grad is not None
        return loss.detach(), leaf.grad

    (plain, expected), (loss, actual) = work(False), work(True)
    assert torch.equal(loss, plain)
    torch.testing.assert_close(actual, expected, atol=0, rtol=1e-5)
    assert not any("forward" in layer.__dict__ for layer in backbone.layers)
    assert not any(module._forward_hooks for module in backbone.model.modules())


@pytest.mark.parametrize("merged", [True, False])
def test_checkpointing_of_a_mixture(
    backbone: Backbone, merged: bool, text_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of LoRAs both ways: merged into small maps, and beside large ones."""
    monkeypatch.setattr(lora_module, "MERGED_AT_MOST", 2**17 if merged else 0)
    model = ExpertModel(backbone, "lora")
    mixture, batch = Mixture(model), encode(backbone, text_task).batch(range(4))
    start = torch.stack([noisy(model, seed) for seed in range(3)])

    def work(inside: bool) -> list[Tensor]:
        experts = start.clone().requires_grad_(True)
        weights = mixture.uniform(3).requires_grad_(True)
        if inside:
            with backbone.checkpointing():
                mixture.loss(experts, weights, batch).sum().backward()
        else:
            mixture.loss(experts, weights, batch).sum().backward()
        assert experts.grad is not None
        assert weights.grad is not None
        return [experts.grad, weights.grad]

    for actual, expected in zip(work(True), work(False), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


def test_checkpointing_keeps_far_less(backbone: Backbone, text_task: Task) -> None:
    model, batch = ExpertModel(backbone, "lora"), encode(backbone, text_task).batch(range(4))
    values = noisy(model).requires_grad_(True)
    _, plain = kept_for_backward(lambda: model.loss(values, batch))
    with backbone.checkpointing():
        _, less = kept_for_backward(lambda: model.loss(values, batch))
    # Half of what OFA keeps is the bias of attention by positions, which its layers share and which they do not make.
    assert less < (0.8 if backbone.record.name == "ofa" else 0.6) * plain


def first_module(backbone: Backbone) -> str:
    """The first linear map that a text passes."""
    return next(block.module for block in backbone.blocks if block.module not in backbone.picture_modules)


def test_without_gradients_nothing_is_kept_or_run_twice(backbone: Backbone, text_task: Task) -> None:
    batch, runs = encode(backbone, text_task).batch(range(2)), [0]
    handle = backbone.module(first_module(backbone)).register_forward_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
    try:
        with backbone.checkpointing(), torch.no_grad():
            backbone.logits(batch)
    finally:
        handle.remove()
    assert runs == [1]


def test_a_layer_that_runs_again_finds_the_parameters_of_its_first_run(backbone: Backbone, text_task: Task) -> None:
    batch = encode(backbone, text_task).batch(range(2))
    name = f"{first_module(backbone)}.weight"
    swap = ParameterSwap(backbone.model, [name])
    weight = dict(backbone.model.named_parameters())[name]

    def gradient(inside: bool) -> Tensor:
        leaf = (2 * weight.detach()).requires_grad_(True)
        if inside:
            with backbone.checkpointing(), swap([leaf]):
                loss = backbone.loss(batch).sum()
        else:
            with swap([leaf]):
                loss = backbone.loss(batch).sum()
        return torch.autograd.grad(loss, leaf)[0]

    torch.testing.assert_close(gradient(True), gradient(False), atol=1e-6, rtol=1e-5)


ROUNDING = {"composed": 3e-6}
"""What may be left of gradients that cancel: here the parts differ by up to 2.9e-6, of gradients of up to 1.5."""

NEARLY_ALL = {"fourier": 0.95}
"""The share of values that move alike; of a spectrum more have a gradient of next to nothing."""


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "kind"), pairs(), indirect=["backbone"], scope="module")
def test_a_training_goes_the_same_way(backbone: Backbone, kind: str, text_task: Task) -> None:
    """In parts, with checkpointing, and with both."""
    model = ExpertModel(backbone, kind)
    encoded = model.prepare(encode(backbone, text_task, 14))
    config = TrainConfig(steps=3, batch_size=7, learning_rate=1e-3, warmup=0)
    whole = train_expert(model, encoded, config)
    for other in (
        replace(config, accumulate=3), replace(config, checkpointing=True),
        replace(config, accumulate=7, checkpointing=True),
    ):  # fmt: skip
        actual = train_expert(model, encoded, other)
        np.testing.assert_allclose(actual.fit.losses, whole.fit.losses, rtol=1e-4)
        # Adam takes the sign of what is next to nothing: nearly all of the values, not each of them.
        moved = (actual.values - whole.values).abs()
        assert float(torch.quantile(moved, NEARLY_ALL.get(kind, 0.99))) < 1e-4


def test_full_fine_tuning_with_checkpointing(tiny_backbone: Backbone, vision_task: Task) -> None:
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train")[:6], keep_pixels=True)
    config = TrainConfig(steps=2, batch_size=4, learning_rate=1e-3, warmup=0)
    _, whole = full_finetune(tiny_backbone, encoded, config)
    _, actual = full_finetune(tiny_backbone, encoded, replace(config, checkpointing=True, accumulate=2))
    np.testing.assert_allclose(actual.losses, whole.losses, rtol=1e-4)


# Accumulation.


class Fixed:
    """Examples whose losses are a line through weight, counting what runs together."""

    def __init__(self, encoded: EncodedExamples):
        self.encoded, self.weight = encoded, torch.tensor([0.5], requires_grad=True)
        self.sizes: list[int] = []

    def loss(self, batch: Batch) -> Tensor:
        self.sizes.append(len(batch))
        return self.weight * (batch.input_ids * batch.attention_mask).sum(1).float()


@pytest.fixture
def fixed(tiny_backbone: Backbone, text_task: Task) -> Fixed:
    return Fixed(encode(tiny_backbone, text_task, 11))


@pytest.mark.parametrize("accumulate", [1, 2, 3, 11, 50])
def test_parts_weigh_by_their_examples(fixed: Fixed, accumulate: int) -> None:
    """7 of 11 examples do not divide evenly; the gradient is that of the whole all the same."""
    rows = np.array([0, 3, 4, 7, 8, 9, 10])
    batch = fixed.encoded.batch(rows)
    (fixed.loss(batch) / batch.lengths.sqrt()).mean().backward()
    expected, fixed.weight.grad, fixed.sizes = fixed.weight.grad, None, []
    assert expected is not None
    loop._backward(fixed.loss, fixed.encoded, rows, TrainConfig(accumulate=accumulate))
    assert fixed.weight.grad is not None
    torch.testing.assert_close(fixed.weight.grad, expected)
    assert sum(fixed.sizes) == 7
    assert len(fixed.sizes) == min(accumulate, 7)
    assert max(fixed.sizes) - min(fixed.sizes) <= 1


def test_gradients_in_parts_are_those_of_the_whole(backbone: Backbone, text_task: Task) -> None:
    model, encoded = ExpertModel(backbone, "lora"), encode(backbone, text_task)
    values = noisy(model)

    def gradient(accumulate: int) -> tuple[float, Tensor]:
        leaf = values.clone().requires_grad_(True)
        config = TrainConfig(accumulate=accumulate)
        value = loop._backward(lambda batch: model.loss(leaf, batch), encoded, np.arange(7), config)
        assert leaf.grad is not None
        return value, leaf.grad

    whole, expected = gradient(1)
    for accumulate in (2, 3, 7):
        value, actual = gradient(accumulate)
        assert value == pytest.approx(whole, rel=1e-5)
        atol = ROUNDING.get(backbone.record.name, 1e-6)
        torch.testing.assert_close(actual, expected, atol=atol, rtol=1e-4)


def test_a_part_that_is_no_number_ends_the_training(fixed: Fixed) -> None:
    def loss(batch: Batch) -> Tensor:
        return fixed.loss(batch) * (float("nan") if len(fixed.sizes) == 2 else 1.0)

    with pytest.raises(Diverged, match="diverged at step 1"):
        fit([fixed.weight], loss, fixed.encoded, TrainConfig(steps=3, batch_size=8, accumulate=4))
    assert len(fixed.sizes) == 2


def test_out_of_memory_in_parts_says_how_many_are_enough(fixed: Fixed) -> None:
    def loss(batch: Batch) -> Tensor:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fixed.loss(batch)

    with pytest.raises(OutOfMemory, match=r"of 11; a batch of 2 fits, or the same batch in 6 parts") as caught:
        fit([fixed.weight], loss, fixed.encoded, TrainConfig(steps=2, batch_size=11, accumulate=3))
    assert caught.value.batch_size == 2


# Settings.


def test_digests_of_what_was_before_stay(fixed: Fixed) -> None:
    new = {"accumulate", "checkpointing", "dtype", "quantize"}
    assert not new & set(without_defaults(asdict(TuneConfig(target="digits"))))
    assert not new & set(without_defaults(asdict(TrainConfig())))
    assert set(without_defaults(asdict(TrainConfig(accumulate=2)))) & new == {"accumulate"}
    plain = loop._identity([fixed.weight], fixed.encoded, TrainConfig())
    assert plain != loop._identity([fixed.weight], fixed.encoded, TrainConfig(accumulate=2))


def test_runs_carry_their_footprint() -> None:
    given = {"dtype": "bfloat16", "accumulate": 4, "checkpointing": True}
    assert TrainRun(task="digits", **given).training().accumulate == 4
    assert TrainRun(task="digits", **given).training().checkpointing
    assert json.loads(json.dumps(asdict(TuneConfig(target="digits", **given))))["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("make", "field", "message"),
    [
        (lambda: TrainConfig(accumulate=0), "accumulate", "accumulate is 0; give a whole number of at least 1"),
        (lambda: TrainRun(task="digits", accumulate=0), "accumulate", "accumulate is 0"),
        (lambda: TrainRun(task="digits", dtype="half"), "dtype", "'half' is unknown; choose auto, float32, bfloat16"),
        (lambda: EmbedRun(quantize="2bit"), "quantize", "'2bit' is unknown; choose 4bit or 8bit"),
        (lambda: TuneConfig(target="digits", quantize="4bit"), "baselines", "baseline 'full' trains every weight"),
    ],
)
def test_bad_footprints_name_their_field(make: Callable[[], object], field: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        make()
    assert caught.value.field == field


def test_weights_that_are_packed_are_not_fine_tuned(tmp_path: Path, text_task: Task) -> None:
    TINY[1].make(tmp_path / "llama")
    backbone = Backbone.load(tmp_path / "llama")
    module = backbone.module(backbone.blocks[0].module)
    module.weight = torch.nn.Parameter(module.weight.detach().char(), requires_grad=False)
    with pytest.raises(BadInput, match="is packed; load it without quantize"):
        full_finetune(backbone, encode(backbone, text_task), TrainConfig(steps=1))
