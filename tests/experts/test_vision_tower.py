"""Experts that act in the vision tower, too: on every family whose tower has linear maps, against plain PEFT."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from pituning.backbones import seeing, shelf
from pituning.backbones.base import Backbone
from pituning.backbones.prediction import predict
from pituning.backbones.seeing import SeeingBackbone
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.plain import plain_logits
from pituning.experts.space import ExpertSpace
from pituning.experts.store import import_expert, make_expert, open_expert, save_expert
from pituning.tasks.base import Task
from pituning.tuning.interpolation import Mixture, collapse, identity_check
from pituning.workspace.layout import Workspace
from tests.backbones.making import Tiny
from tests.backbones.tiny import FIRST, TINY, each
from tests.backbones.tiny_image_text import IMAGE_TEXT
from tests.experts.contract import noisy, plain_peft

SEEING = [tiny for tiny in TINY if tiny.id in ("florence2", "t5gemma2") or tiny in IMAGE_TEXT]


@pytest.fixture(scope="module", params=each(SEEING))
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.param


@pytest.fixture(scope="module")
def directory(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def backbone(directory: Path) -> Backbone:
    return Backbone.load(directory, name="seeing")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w", None)


@pytest.fixture
def model(backbone: Backbone) -> ExpertModel:
    return ExpertModel(backbone, "lora").with_eyes()


def of_tower(model: ExpertModel, space: ExpertSpace | None = None) -> list[slice]:
    """Where the values of the tower stand."""
    eyes = {block.module for block in model.backbone.eyes}
    return [slice(slot.start, slot.stop) for slot in (space or model.space).slots() if slot.module in eyes]


def without_tower(model: ExpertModel, values: torch.Tensor) -> torch.Tensor:
    blind = values.clone()
    for place in of_tower(model):
        blind[place] = 0
    return blind


def test_pictures_are_seen_as_plain_peft_sees_them(
    model: ExpertModel, directory: Path, tiny: Tiny, vision_task: Task, tmp_path: Path
) -> None:
    values = noisy(model, spread=0.1)
    plain = plain_peft(model, values, directory, tiny, tmp_path / "one")
    encoded = model.encode(vision_task, vision_task.split("train")[:3])
    with torch.no_grad():
        for row in range(3):
            batch = encoded.batch([row])
            ours = model.forward(values, batch)
            torch.testing.assert_close(ours, plain_logits(plain, model.backbone, batch), atol=1e-4, rtol=1e-3)
            assert (ours - model.forward(without_tower(model, values), batch)).abs().max() > 1e-4
            untouched = model.backbone.logits(batch)
        torch.testing.assert_close(model.backbone.logits(encoded.batch([2])), untouched, atol=0, rtol=0)


def test_decoding_and_answers_go_through_it(model: ExpertModel, vision_task: Task) -> None:
    encoded, values = model.encode(vision_task, vision_task.split("train")[:3]), noisy(model)
    batch = encoded.batch(range(3))
    with torch.no_grad(), model.using(values):
        forced = model.backbone.logits(batch)
        torch.testing.assert_close(model.backbone.start(batch).logits, forced[:, 0], atol=5e-5, rtol=1e-4)
        seen_anew = predict(model.backbone, model.backbone.seen_anew(encoded), vision_task)
    assert model.predict(values, encoded, vision_task) == seen_anew


def test_gradients_of_examples_are_those_of_a_slow_loop(model: ExpertModel, vision_task: Task) -> None:
    batch = model.encode(vision_task, vision_task.split("train")[:3]).batch(range(3))
    values, expected = noisy(model, spread=0.1), []
    for row in range(3):
        leaf = values.clone().requires_grad_(True)
        model.loss(leaf, batch)[row].backward()
        assert leaf.grad is not None
        expected.append(leaf.grad)
    with ExitStack() as stack:
        actual = torch.cat([g.flatten(1) for g in model.example_gradients(values, stack)(batch)], dim=1)
    torch.testing.assert_close(actual, torch.stack(expected), atol=1e-5, rtol=1e-3)
    assert any(torch.stack(expected)[:, place].abs().max() > 0 for place in of_tower(model))


def test_it_mixes_with_experts_that_do_not_see(model: ExpertModel, vision_task: Task) -> None:
    usual, mixture = ExpertModel(model.backbone, "lora"), Mixture(model)
    blind = model.method.placed(noisy(usual, 1), usual.space, model.space)
    experts = torch.stack([noisy(model, spread=0.1), blind])
    weights = torch.full((len(model.space.sites), 2), 0.5)
    batch = model.encode(vision_task, vision_task.split("train")[:3]).batch(range(3))
    collapsed = collapse(mixture, experts, weights)
    assert max(identity_check(mixture, experts, weights, collapsed, batch).values()) < 1e-4
    with torch.no_grad():
        alone = torch.tensor([[0.0, 1.0]]).repeat(len(weights), 1)
        actual = mixture.forward(experts, alone, batch)
        torch.testing.assert_close(actual, usual.forward(noisy(usual, 1), batch), atol=5e-5, rtol=1e-4)


def test_it_is_kept_opened_and_imported_as_any_other(
    model: ExpertModel, vision_task: Task, workspace: Workspace, tmp_path: Path
) -> None:
    assert len(set(model.space.site_names)) == len(model.space.site_names)
    values = noisy(model, spread=0.1)
    save_expert(make_expert(model, values, name="one", task="t"), model, tmp_path / "one")
    opened, found = open_expert(tmp_path / "one", model.backbone)
    assert (found.space.names, found.sees) == (model.space.names, True)
    assert torch.equal(opened.values, values)
    (tmp_path / "one" / "card.json").unlink()  # as others write it
    theirs = import_expert(tmp_path / "one", task="t", name="one", backbone=model.backbone, workspace=workspace)
    assert theirs.kind == "lora"
    assert torch.equal(theirs.values, values)


def test_pixels_are_asked_for(model: ExpertModel, vision_task: Task, text_task: Task) -> None:
    if not isinstance(model.backbone, SeeingBackbone):
        pytest.skip("it runs the tower each time")
    encoded = model.backbone.encode(vision_task, vision_task.split("train")[:2])
    with pytest.raises(BadInput, match="keep_pixels=True"):
        model.loss(model.initial(0), encoded.batch([0, 1]))
    texts = model.encode(text_task, text_task.split("train")[:2]).batch([0, 1])
    assert torch.isfinite(model.loss(model.initial(0), texts)).all()


def test_what_is_kept_of_many_pictures_is_what_the_backbone_sees(
    model: ExpertModel, vision_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features of many pictures are made when they are first asked for, here by an expert that sees otherwise."""
    if not isinstance(model.backbone, SeeingBackbone):
        pytest.skip("it keeps none")
    examples, values = vision_task.split("train")[:6], noisy(model)
    held = model.encode(vision_task, examples)
    monkeypatch.setattr(shelf, "HELD", 0)
    monkeypatch.setattr(seeing, "IMAGE_BATCH", 1)
    many = model.encode(vision_task, examples)
    with torch.no_grad():
        expected, clean = model.forward(values, held.batch(range(6))), model.backbone.logits(held.batch(range(6)))
        with model.using(values):
            inside = many.batch(range(6))
            torch.testing.assert_close(model.backbone.logits(inside), expected, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(model.backbone.logits(many.batch(range(6))), clean, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(model.backbone.logits(inside), clean, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("tiny", [tiny for tiny in FIRST if tiny not in SEEING], ids=lambda t: t.id, indirect=True)
def test_a_backbone_without_such_maps_says_so(tiny: Tiny, backbone: Backbone) -> None:
    assert backbone.eyes == ()
    with pytest.raises(BadInput, match="cannot act in the vision tower.*leave vision_tower out"):
        ExpertModel(backbone, "lora").with_eyes()


@pytest.mark.parametrize("tiny", FIRST[:1], ids=lambda t: t.id, indirect=True)
def test_a_kind_that_does_not_see_says_so(tiny: Tiny, backbone: Backbone) -> None:
    with pytest.raises(BadInput, match="experts of kind 'ia3' cannot act in the vision tower"):
        ExpertModel(backbone, "ia3").with_eyes()
