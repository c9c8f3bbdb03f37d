"""Decoder-only models that see, against their own processors and transformers' own search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import T5Gemma2ForConditionalGeneration

from pituning.backbones.base import Backbone
from pituning.backbones.families import family_of
from pituning.backbones.image_text import ImageTextBackbone
from pituning.backbones.processors import processor_of
from pituning.errors import ArtefactError
from pituning.tasks.base import Task
from pituning.workspace.atomic import read_json, write_json
from tests.backbones.making import Tiny
from tests.backbones.tiny import each
from tests.backbones.tiny_image_text import IMAGE_TEXT, paligemma, t5gemma2


@pytest.fixture(scope="module", params=each(IMAGE_TEXT))
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return request.param


@pytest.fixture(scope="module")
def directory(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def backbone(directory: Path) -> ImageTextBackbone:
    backbone = Backbone.load(directory)
    assert isinstance(backbone, ImageTextBackbone)
    return backbone


def made(backbone: ImageTextBackbone, task: Task, row: int) -> Any:
    """What anybody would make of an example: the chat template, then the processor."""
    example = task.split("train")[row]
    assert example.image is not None
    # That of PaliGemma puts the end of the line itself.
    text = f"<image>{task.prompt(example)}" + ("\n" if backbone.record.name == "image_text" else "")
    if backbone.tokenizer.chat_template:
        content = [{"type": "image"}, {"type": "text", "text": task.prompt(example)}]
        chat = [{"role": "user", "content": content}]
        text = backbone.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    images = [example.image.render(backbone.image_size)]
    return backbone.processor(images=images, text=[text], return_tensors="pt", add_special_tokens=False)


def test_prompts_are_what_template_and_processor_make(backbone: ImageTextBackbone, vision_task: Task) -> None:
    encoded = backbone.encode(vision_task, vision_task.split("train")[:3])
    for row in range(3):
        theirs, ours = made(backbone, vision_task, row), encoded.batch([row])
        assert torch.equal(theirs["input_ids"], ours.input_ids)
        assert set(ours.images) == set(theirs) - {"input_ids", "attention_mask", "labels"}
        assert all(torch.equal(theirs[name], value) for name, value in ours.images.items())


def test_answers_to_images_are_those_of_generate(
    backbone: ImageTextBackbone, directory: Path, tiny: Tiny, vision_task: Task
) -> None:
    task = replace(vision_task, labels=None, metric="token_f1")
    encoded = backbone.encode(task, task.split("train")[:3])
    plain = tiny.plain.from_pretrained(directory, dtype=torch.float32).eval()
    expected = []
    for row in range(3):
        given = made(backbone, task, row)
        ids = plain.generate(
            **given, max_new_tokens=48, do_sample=False, eos_token_id=backbone.end_token,
            pad_token_id=backbone.pad_token,
        )  # fmt: skip
        expected += backbone.text_of([ids[0, given["input_ids"].shape[1] :].tolist()])
    assert backbone.predict(encoded, task) == expected


def test_t5gemma2_sees_as_with_its_processor(tmp_path: Path, vision_task: Task) -> None:
    t5gemma2(tmp_path / "it")
    backbone = Backbone.load(tmp_path / "it")
    processor = processor_of(tmp_path / "it", "t5gemma2", backbone.tokenizer)
    plain = T5Gemma2ForConditionalGeneration.from_pretrained(tmp_path / "it", dtype=torch.float32).eval()
    task = replace(vision_task, labels=None, metric="token_f1")
    encoded, expected = backbone.encode(task, task.split("train")[:3]), []
    for row, example in enumerate(task.split("train")[:3]):
        assert example.image is not None
        text = [f"<start_of_image>{task.prompt(example)}"]
        given = processor(images=[example.image.render(16)], text=text, return_tensors="pt")
        assert given["input_ids"][0].tolist() == encoded.prompts[row].tolist()
        ids = plain.generate(
            input_ids=given["input_ids"], pixel_values=given["pixel_values"],
            attention_mask=given["attention_mask"], max_new_tokens=48, do_sample=False,
            eos_token_id=backbone.end_token, pad_token_id=backbone.pad_token,
        )  # fmt: skip
        expected += backbone.text_of([ids[0, 1:].tolist()])
    assert backbone.predict(encoded, task) == expected


def test_a_model_that_reads_in_both_directions_is_refused(tmp_path: Path) -> None:
    gemma3 = next(tiny for tiny in IMAGE_TEXT if tiny.id == "gemma3")
    gemma3.make(tmp_path / "both")
    config = read_json(tmp_path / "both" / "config.json")
    config["text_config"]["use_bidirectional_attention"] = True
    write_json(tmp_path / "both" / "config.json", config)
    with pytest.raises(ArtefactError, match="reads in both directions"):
        Backbone.load(tmp_path / "both")


def test_paligemma_of_gemma_reads_prompts_in_both_directions_and_answers_in_one(
    tmp_path: Path, vision_task: Task
) -> None:
    """Against transformers, which is told the types of tokens; and whether what comes later is seen."""
    tiny = paligemma({"model_type": "gemma", "head_dim": 8})
    tiny.make(tmp_path / "one")
    backbone = Backbone.load(tmp_path / "one")
    plain = tiny.plain.from_pretrained(tmp_path / "one", dtype=torch.float32).eval()
    batch = backbone.encode(vision_task, vision_task.split("train")[:4]).batch(range(4))
    count = batch.labels.shape[1]
    with torch.no_grad():
        ours = backbone.logits(batch)
        for row in range(4):
            one = backbone.encode(vision_task, [vision_task.split("train")[row]]).batch([0])
            ids = torch.cat([one.input_ids, one.labels[:, :-1]], dim=1)
            types = backbone.beside_ids(ids, one.labels.shape[1] - 1)
            theirs = plain(input_ids=ids, pixel_values=one.images["pixel_values"], **types).logits
            length = one.labels.shape[1]
            torch.testing.assert_close(ours[row, :length], theirs[0, -length:], atol=2e-5, rtol=1e-4)
        assert count > 2
        later = replace(batch, labels=batch.labels.index_fill(1, torch.tensor([count - 2]), 5))
        torch.testing.assert_close(backbone.logits(later)[:, : count - 2], ours[:, : count - 2])
        types = {"input_ids": batch.input_ids[:1], "pixel_values": batch.images["pixel_values"][:1]}
        whole = {**types, **backbone.beside_ids(batch.input_ids[:1])}
        last = whole["input_ids"].clone()
        last[0, -1] = 5
        first = plain(**whole).logits[0, 0]
        assert (plain(**{**whole, "input_ids": last}).logits[0, 0] - first).abs().max() > 1e-4


def test_why_paligemma_needs_a_mask_of_its_own(tmp_path: Path) -> None:
    """Untold which tokens are the answer, as by PEFT behind prefixes and prompts, transformers shows a token what comes
    after it where there is no padding, and hides it where there is. When this fails, they may be had, too."""
    tiny = paligemma({"model_type": "gemma", "head_dim": 8})
    tiny.make(tmp_path / "one")
    plain = tiny.plain.from_pretrained(tmp_path / "one", dtype=torch.float32).eval()
    ids = torch.arange(5, 13)[None]
    changed = ids.index_fill(1, torch.tensor([7]), 40)
    padding = torch.zeros(1, 2, dtype=torch.long)
    mask = torch.cat([padding, torch.ones_like(ids)], dim=1)
    with torch.no_grad():
        alone = [plain(input_ids=one).logits[0, 0] for one in (ids, changed)]
        padded = [
            plain(input_ids=torch.cat([padding, one], dim=1), attention_mask=mask).logits[0, 2]
            for one in (ids, changed)
        ]
    assert (alone[0] - alone[1]).abs().max() > 1e-4
    torch.testing.assert_close(padded[0], padded[1])


def test_the_family_takes_what_sees_and_nothing_else() -> None:
    stock = {"model_type": "new", "architectures": ["NewForConditionalGeneration"]}
    assert family_of({**stock, "vision_config": {}}, "it").name == "image_text"
    with pytest.raises(ArtefactError, match="no family runs"):
        family_of(stock, "it")
