from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pituning.errors import ArtefactError, BadInput, Diverged, OutOfMemory, RunCancelled
from pituning.experts.model import ExpertModel
from pituning.progress import Silent
from pituning.tasks.metrics import score
from pituning.training.config import TrainConfig
from pituning.training.loop import fit
from pituning.training.order import batch_order
from pituning.training.single import full_finetune, train_expert


class Recorder(Silent):
    """Keeps what it is told and raises `RunCancelled` after some steps."""

    def __init__(self, cancel_after: int | None = None):
        self.steps, self.metrics, self.cancel_after = 0, [], cancel_after

    def advance(self, steps: int = 1) -> None:
        self.steps += steps
        if self.cancel_after is not None and self.steps >= self.cancel_after:
            raise RunCancelled("stopped by the user")

    def curve(self, series, step, values) -> None:
        self.metrics.append((series, step, dict(values)))


@pytest.fixture(scope="module")
def setting(tiny_backbone, vision_task):
    model = ExpertModel(tiny_backbone, "lora")
    return model, tiny_backbone.encode(vision_task, vision_task.split("train")[:24])


def test_one_step_is_adamw_by_hand(setting):
    """The first AdamW step moves each value by the rate against the sign of its clipped gradient."""
    model, encoded = setting
    config = TrainConfig(steps=1, batch_size=24, learning_rate=0.01, warmup=0, clip=0.5)
    start = model.initial(0)
    trained = train_expert(model, encoded, config)
    values = start.clone().requires_grad_(True)
    lengths = torch.tensor([len(answer) for answer in encoded.answers], dtype=torch.float32)
    ((model.loss(values, encoded.batch(range(24))) / lengths.sqrt()).mean()).backward()
    gradient = values.grad * min(1.0, 0.5 / float(values.grad.norm()))
    expected = start - 0.01 * gradient / (gradient.abs() + 1e-8)
    moved = gradient.abs() > 1e-5
    torch.testing.assert_close(trained.values[moved], expected[moved], atol=2e-5, rtol=0)


def test_same_seed_same_values_whatever_the_global_state(setting):
    model, encoded = setting
    config = TrainConfig(steps=4, batch_size=8)
    torch.manual_seed(1)
    first = train_expert(model, encoded, config).values
    torch.manual_seed(2)
    np.random.seed(3)
    again = train_expert(model, encoded, config).values
    other = train_expert(model, encoded, TrainConfig(steps=4, batch_size=8, seed=1)).values
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_cancelled_training_resumes_bit_for_bit(setting, tmp_path):
    model, encoded = setting
    config = TrainConfig(steps=9, batch_size=8, eval_every=3, checkpoint_every=4)

    def evaluate(values):
        return {"mean": float(values.mean())}

    whole = train_expert(model, encoded, config, evaluate=evaluate)
    path = tmp_path / "checkpoint.safetensors"
    for stop in (2, 6):  # the second time from the first one's checkpoint
        with pytest.raises(RunCancelled):
            train_expert(model, encoded, config, reporter=Recorder(stop), checkpoint=path, evaluate=evaluate)
    resumed = train_expert(model, encoded, config, checkpoint=path, evaluate=evaluate)
    assert torch.equal(resumed.values, whole.values)
    assert resumed.fit.losses == whole.fit.losses
    assert [(s, dict(v)) for s, v in resumed.fit.evaluations] == whole.fit.evaluations
    assert [step for step, _ in whole.fit.evaluations] == [3, 6, 9]


def test_checkpoint_of_another_training_or_damaged(setting, tmp_path):
    model, encoded = setting
    path = tmp_path / "checkpoint.safetensors"
    train_expert(model, encoded, TrainConfig(steps=2, batch_size=8), checkpoint=path)
    with pytest.raises(ArtefactError, match="another training"):
        train_expert(model, encoded, TrainConfig(steps=3, batch_size=8), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtefactError, match="damaged"):
        train_expert(model, encoded, TrainConfig(steps=2, batch_size=8), checkpoint=path)


def test_divergence_names_step_and_rate(setting):
    _, encoded = setting
    weight = torch.ones(1, requires_grad=True)
    seen = []

    def loss(batch):
        seen.append(len(batch))
        return (weight * (math.nan if len(seen) == 3 else 1.0)).expand(len(batch))

    with pytest.raises(Diverged, match=r"'pi' diverged at step 3 of 5 with learning rate 0.5; choose a smaller one"):
        fit([weight], loss, encoded, TrainConfig(steps=5, batch_size=8, learning_rate=0.5), series="pi")
    assert torch.isfinite(weight).all()


def test_divergence_keeps_the_last_good_checkpoint(setting, tmp_path):
    """The loss is not a number at step 6; without that, training goes on from the checkpoint of step 4."""
    _, encoded = setting
    path = tmp_path / "checkpoint.safetensors"
    config = TrainConfig(steps=8, batch_size=8, checkpoint_every=4)
    broken = {6}

    def loss_of(weight, seen):
        def loss(batch):
            seen.append(len(batch))
            bad = math.nan if len(seen) in broken else 1.0
            return (weight * bad).square().expand(len(batch))

        return loss

    weight, seen = torch.ones(1, requires_grad=True), []
    with pytest.raises(Diverged, match="at step 6 of 8"):
        fit([weight], loss_of(weight, seen), encoded, config, checkpoint=path)
    broken.clear()
    again, steps = torch.ones(1, requires_grad=True), []
    assert fit([again], loss_of(again, steps), encoded, config, checkpoint=path).steps == 8
    assert len(steps) == 4
    whole = torch.ones(1, requires_grad=True)
    fit([whole], loss_of(whole, []), encoded, config)
    assert torch.equal(again, whole)


def test_random_numbers_go_on_where_they_were(setting, tmp_path):
    """A loss that draws from torch's own generator, as dropout does."""
    _, encoded = setting
    config = TrainConfig(steps=9, batch_size=8, checkpoint_every=4)

    def train(**options) -> torch.Tensor:
        weight = torch.ones(4, requires_grad=True)
        fit([weight], lambda batch: (weight * torch.rand(4)).sum().expand(len(batch)), encoded, config, **options)
        return weight.detach()

    torch.manual_seed(5)
    whole = train()
    torch.manual_seed(5)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(RunCancelled):
        train(checkpoint=path, reporter=Recorder(6))
    torch.manual_seed(77)  # another process has another state
    assert torch.equal(train(checkpoint=path), whole)


@pytest.mark.parametrize("how", ["the allocator", "by hand"])
def test_out_of_memory_says_which_batch_fits(setting, how):
    _, encoded = setting
    weight = torch.ones(1, requires_grad=True)

    def loss(batch):
        if len(batch) > 5:
            if how == "by hand":
                raise torch.OutOfMemoryError("CUDA out of memory")
            torch.empty(2**60, dtype=torch.uint8)  # more than any machine has
        return weight.expand(len(batch))

    with pytest.raises(OutOfMemory, match="step 1 of 2 with a batch of 16; a batch of 4 fits") as caught:
        fit([weight], loss, encoded, TrainConfig(steps=2, batch_size=16))
    assert caught.value.batch_size == 4  # of 8, 4, 2 and 1 the first that is no more than 5


def test_a_checkpoint_with_one_flipped_bit_is_found_out(setting, tmp_path):
    model, encoded = setting
    path = tmp_path / "checkpoint.safetensors"
    train_expert(model, encoded, TrainConfig(steps=2, batch_size=8), checkpoint=path)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtefactError, match="its tensors have SHA-256"):
        train_expert(model, encoded, TrainConfig(steps=2, batch_size=8), checkpoint=path)


def test_reports_steps_and_loss_curve(setting):
    model, encoded = setting
    recorder = Recorder()
    result = train_expert(model, encoded, TrainConfig(steps=7, batch_size=8), reporter=recorder, series="single")
    assert recorder.steps == 7
    assert [(series, step) for series, step, _ in recorder.metrics] == [("single", 1), ("single", 5), ("single", 7)]
    assert all(set(values) == {"loss", "learning_rate", "examples_per_second"} for _, _, values in recorder.metrics)
    rates = [values["learning_rate"] for _, _, values in recorder.metrics]
    assert rates == [TrainConfig(steps=7).rate(step) for step in (0, 4, 6)]
    assert recorder.metrics[-1][2]["loss"] == pytest.approx(sum(result.fit.losses[-5:]) / 5)


@pytest.mark.slow
def test_training_learns_a_tiny_task(tiny_backbone, vision_task):
    """An expert and full fine-tuning both tell three colours apart; the random backbone does not."""
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train"), keep_pixels=True)
    test = vision_task.split("test")
    held_out = tiny_backbone.encode(vision_task, test)
    gold = [example.answer for example in test]
    alone = score("accuracy", tiny_backbone.predict(held_out, vision_task), gold)
    model = ExpertModel(tiny_backbone, "bottleneck")
    before = {name: tensor.clone() for name, tensor in model.backbone.model.state_dict().items()}
    trained = train_expert(model, encoded, TrainConfig(steps=60, batch_size=20, learning_rate=1e-2))
    assert score("accuracy", model.predict(trained.values, held_out, vision_task), gold) >= 95 > alone + 20
    after = model.backbone.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    tuned, _ = full_finetune(tiny_backbone, encoded, TrainConfig(steps=40, batch_size=20, learning_rate=2e-3))
    with torch.no_grad(), tuned.using() as changed_backbone:
        answers = changed_backbone.predict(changed_backbone.encode(vision_task, test), vision_task)
    assert score("accuracy", answers, gold) >= 95
    named = zip(tiny_backbone.model.named_parameters(), tuned.parameters, strict=True)
    changed = [name for (name, before), now in named if not torch.equal(before, now)]
    assert any("vision_tower" in name for name in changed)
    assert not any(parameter.requires_grad for parameter in tiny_backbone.model.parameters())


def test_full_finetuning_needs_pixels(setting, tiny_backbone):
    _, encoded = setting
    with pytest.raises(BadInput, match="keep_pixels"):
        full_finetune(tiny_backbone, encoded, TrainConfig(steps=1))


@pytest.mark.parametrize(("count", "size"), [(10, 4), (3, 8), (64, 16), (1, 1)])
def test_batch_order_sees_every_example_each_epoch(count, size):
    lengths = np.arange(count) % 5
    order = batch_order(lengths, size, seed=4)
    per_epoch = -(-count // min(size, count))
    for _ in range(3):
        epoch = [next(order) for _ in range(per_epoch)]
        assert {len(batch) for batch in epoch} == {min(size, count)}
        assert set(np.concatenate(epoch).tolist()) == set(range(count))


def test_batch_order_skips_to_a_step():
    lengths = np.arange(30)
    whole = batch_order(lengths, 7, seed=1)
    for _ in range(13):
        next(whole)
    later = batch_order(lengths, 7, seed=1, start=13)
    for _ in range(9):
        assert np.array_equal(next(whole), next(later))


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 0), ("learning_rate", -1.0), ("learning_rate", math.nan), ("schedule", "fast")]
)
def test_config_refuses(field, value):
    with pytest.raises(BadInput) as error:
        TrainConfig(**{field: value})
    assert error.value.field == field


def test_schedule():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup=10)
    assert [round(config.rate(step), 4) for step in (0, 9, 10, 55, 99)] == [
        round(1 / 11, 4),
        round(10 / 11, 4),
        1.0,
        0.5,
        round(0.5 * (1 + math.cos(math.pi * 89 / 90)), 4),
    ]
    assert TrainConfig(steps=100, learning_rate=1.0, schedule="constant").rate(99) == 1.0
