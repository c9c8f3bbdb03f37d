from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessorPil, Florence2ForConditionalGeneration

from pituning.backbones.base import Backbone, nll_per_example
from pituning.errors import ArtefactError, BadInput
from pituning.tasks.base import Example


def test_encoded_batch_runs_like_plain_transformers(two_layer_backbone_dir, two_layer_backbone, vision_task):
    """Cached features in embedded inputs give the logits that transformers gives from ids and pixels."""
    backbone = two_layer_backbone
    examples = vision_task.split("train")[:6]
    batch = backbone.encode(vision_task, examples).batch(range(6))
    plain = Florence2ForConditionalGeneration.from_pretrained(two_layer_backbone_dir, dtype=torch.float32).eval()
    processor = CLIPImageProcessorPil.from_pretrained(two_layer_backbone_dir)
    pixels = processor([example.image.render(40) for example in examples], return_tensors="pt")["pixel_values"]
    ours = backbone.encode(vision_task, examples, keep_pixels=True).batch(range(6)).pixel_values
    assert ours.shape == pixels.shape == (6, 3, 16, 16)
    with torch.no_grad():
        theirs = plain(
            input_ids=batch.input_ids,
            pixel_values=ours,
            attention_mask=batch.attention_mask,
            labels=batch.labels,
        )
        logits = backbone.logits(batch)
    torch.testing.assert_close(logits, theirs.logits, atol=1e-5, rtol=1e-5)
    mean = nll_per_example(logits, batch.labels).sum() / batch.lengths.sum()
    torch.testing.assert_close(mean, theirs.loss, atol=1e-5, rtol=1e-5)
    assert (batch.input_ids == plain.config.image_token_id).sum() == 6 * 5  # 2 x 2 tokens and a pooled one


def test_pixels_are_what_the_saved_processor_makes(tiny_backbone_dir, tiny_backbone, vision_task):
    example = vision_task.split("train")[0]
    batch = tiny_backbone.encode(vision_task, [example], keep_pixels=True).batch([0])
    processor = CLIPImageProcessorPil.from_pretrained(tiny_backbone_dir)
    expected = processor(example.image.render(16), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(batch.pixel_values, expected, atol=1e-6, rtol=0)


def test_padding_changes_nothing(tiny_backbone, text_task):
    encoded = tiny_backbone.encode(text_task, text_task.split("train")[:8])
    with torch.no_grad():
        together = nll_per_example(tiny_backbone.logits(encoded.batch(range(8))), encoded.batch(range(8)).labels)
        alone = []
        for index in range(8):
            batch = encoded.subset([index]).batch([0])
            alone.append(nll_per_example(tiny_backbone.logits(batch), batch.labels)[0])
    assert len({len(prompt) for prompt in encoded.prompts}) > 1
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=1e-5)


def test_closed_prediction_is_the_slow_greedy_trie_walk(two_layer_backbone, text_task, vision_task):
    """Against a loop that runs the whole model anew for every example and step."""
    backbone = two_layer_backbone
    for task in (text_task, vision_task):
        examples = task.split("test")[:9]
        encoded = backbone.encode(task, examples)
        paths = {
            (*ids, backbone.end_token): label
            for label, ids in zip(task.labels, backbone.token_ids(task.labels), strict=True)
        }
        expected = []
        for index in range(len(examples)):
            batch = encoded.batch([index])
            path: tuple[int, ...] = ()
            while path not in paths:
                batch.decoder_input_ids = torch.tensor([[backbone.start_token, *path]])
                with torch.no_grad():
                    logits = backbone.logits(batch)[0, -1]
                allowed = sorted({p[len(path)] for p in paths if p[: len(path)] == path})
                path += (max(allowed, key=lambda token: float(logits[token])),)
            expected.append(paths[path])
        assert backbone.predict(encoded, task, batch_size=4) == expected


def test_closed_prediction_runs_encoder_once_and_one_step_for_distinct_labels(tiny_backbone, vision_task, text_task):
    backbone = copy.deepcopy(tiny_backbone)
    calls = {"encode_states": 0, "decode": 0}
    for name in calls:
        original = getattr(backbone, name)

        def counted(*args, original=original, name=name):
            calls[name] += 1
            return original(*args)

        setattr(backbone, name, counted)
    encoded = backbone.encode(vision_task, vision_task.split("test")[:8])
    backbone.predict(encoded, vision_task, batch_size=4)
    assert calls == {"encode_states": 2, "decode": 2}
    encoded = backbone.encode(text_task, text_task.split("test")[:8])
    backbone.predict(encoded, text_task, batch_size=8)
    assert calls["encode_states"] == 3
    good, bad = tiny_backbone.token_ids(["very good", "very bad"])
    shared = next(i for i, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b)
    assert shared >= 1
    assert calls["decode"] - 2 in (1, shared + 1)  # more than one step only where a row starts with the shared "very"


def test_open_prediction_is_what_generate_gives(two_layer_backbone, box_task):
    backbone = two_layer_backbone
    encoded = backbone.encode(box_task, box_task.split("test")[:6], keep_pixels=True)
    batch = encoded.batch(range(6))
    ids = backbone.model.generate(
        input_ids=batch.input_ids,
        pixel_values=batch.pixel_values,
        attention_mask=batch.attention_mask,
        max_new_tokens=5,
        do_sample=False,
        num_beams=1,
        forced_eos_token_id=None,
        no_repeat_ngram_size=0,
    )
    expected = [text.strip() for text in backbone.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert backbone.predict(encoded, box_task, batch_size=6) == expected


def test_location_tokens_survive_the_round_trip(tiny_backbone, box_task):
    answer = "<loc_0><loc_7><loc_20><loc_47>"
    example = replace(box_task.split("train")[0], answer=answer)
    encoded = tiny_backbone.encode(box_task, [example])
    assert len(encoded.answers[0]) == 5
    assert tiny_backbone.tokenizer.decode(encoded.answers[0], skip_special_tokens=True) == answer


def test_special_tokens_in_a_text_stay_text(tiny_backbone, text_task):
    example = Example(uid="x", text="<image> </s> <pad>", answer="unsure")
    ids = tiny_backbone.encode(text_task, [example]).prompts[0]
    assert tiny_backbone.image_token not in ids
    assert (ids == tiny_backbone.end_token).sum() == 1
    assert tiny_backbone.pad_token not in ids


def test_any_text_can_be_encoded_and_long_ones_are_cut_with_a_word(tiny_backbone, text_task):
    logged = []

    class Listening:
        def phase(self, *args): ...
        def advance(self, *args): ...
        def log(self, message):
            logged.append(message)

    texts = ("", "日本語 🙂 ñ", "word " * 500)
    encoded = tiny_backbone.encode(
        text_task, [Example(uid=str(i), text=t, answer="unsure") for i, t in enumerate(texts)], reporter=Listening()
    )
    assert max(encoded.prompt_lengths) == tiny_backbone.max_tokens
    assert logged == ["1 of 3 prompts are longer than 94 tokens and were cut at the end: 94 % of all text is lost"]
    assert len(tiny_backbone.predict(encoded, text_task)) == 3


def test_mixed_or_no_images_are_refused(tiny_backbone, vision_task):
    examples = list(vision_task.split("train")[:2])
    with pytest.raises(BadInput, match="1 of 2 examples have an image"):
        tiny_backbone.encode(vision_task, [examples[0], replace(examples[1], image=None)])
    with pytest.raises(BadInput, match="no examples"):
        tiny_backbone.encode(vision_task, [])


def test_labels_that_are_one_to_the_backbone(tiny_backbone, text_task):
    task = replace(text_task, labels=("good", " good"))
    encoded = tiny_backbone.encode(task, text_task.split("test")[:2])
    if tiny_backbone.token_ids(["good"]) == tiny_backbone.token_ids([" good"]):
        with pytest.raises(BadInput, match="rename one"):
            tiny_backbone.predict(encoded, task)
    else:
        assert len(tiny_backbone.predict(encoded, task)) == 2


def test_a_label_that_begins_another(tiny_backbone, text_task):
    task = replace(text_task, labels=("very", "very good"))
    encoded = tiny_backbone.encode(task, text_task.split("test")[:5])
    assert set(tiny_backbone.predict(encoded, task)) <= {"very", "very good"}


def test_subset_and_batch(tiny_backbone, vision_task):
    encoded = tiny_backbone.encode(vision_task, vision_task.split("train")[:6])
    part = encoded.subset(np.array([4, 1]))
    assert len(part) == 2
    assert torch.equal(part.features[0], encoded.features[4])
    batch = part.batch([1])
    assert torch.equal(batch.inputs_embeds, encoded.batch([1]).inputs_embeds)
    assert batch.decoder_input_ids[0, 0] == tiny_backbone.start_token
    assert torch.equal(batch.decoder_input_ids[0, 1:], batch.labels[0, :-1])
    assert batch.size == len(batch) == 1


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda d: (d / "model.safetensors").unlink(), "lacks model.safetensors"),
        (lambda d: (d / "model.safetensors").write_bytes(b"\x10" * 300), "cannot be loaded"),
        (lambda d: (d / "config.json").write_text("{}"), "which no family runs; nearest that can be loaded"),
        (lambda d: (d / "config.json").write_text("not json"), "cannot be loaded"),
        (lambda d: (d / "tokenizer.json").write_text("{}"), "cannot be loaded"),
        (lambda d: (d / "preprocessor_config.json").write_text("{}"), "size None"),
    ],
)
def test_broken_backbones(damage, match, tiny_backbone_dir, tmp_path):
    directory = tmp_path / "broken"
    shutil.copytree(tiny_backbone_dir, directory)
    damage(directory)
    with pytest.raises(ArtefactError, match=match) as error:
        Backbone.load(directory)
    assert "\n" not in str(error.value)


def test_truncated_and_incomplete_weights(tiny_backbone_dir, tmp_path):
    from safetensors.torch import load_file, save_file

    directory = tmp_path / "broken"
    shutil.copytree(tiny_backbone_dir, directory)
    path = directory / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtefactError, match="cannot be loaded") as error:
        Backbone.load(directory)
    assert "\n" not in str(error.value)
    path.write_bytes(whole)
    tensors = load_file(path)
    name = next(name for name in tensors if "fc1.weight" in name)
    save_file({key: value for key, value in tensors.items() if key != name}, path, {"format": "pt"})
    with pytest.raises(ArtefactError, match="lacks 1 tensors"):
        Backbone.load(directory)
    save_file(tensors | {name: torch.full_like(tensors[name], torch.nan)}, path, {"format": "pt"})
    with pytest.raises(ArtefactError, match="not finite"):
        Backbone.load(directory)


def test_fingerprint_follows_the_files(tiny_backbone_dir, tiny_backbone, tmp_path):
    directory = tmp_path / "other"
    shutil.copytree(tiny_backbone_dir, directory)
    assert Backbone.load(directory).fingerprint == tiny_backbone.fingerprint
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"note": 1}))
    assert Backbone.load(directory, name="n").fingerprint != tiny_backbone.fingerprint
