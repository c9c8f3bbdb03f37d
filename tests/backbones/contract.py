"""What every family of backbones must do; see `pituning.backbones.base`. A family passes by standing in `TINY`."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from pituning.backbones import seeing, shelf
from pituning.backbones.base import Backbone
from pituning.backbones.composed import backbone as composed
from pituning.backbones.encoded import IGNORED
from pituning.backbones.prediction import LabelTrie
from pituning.errors import BadInput
from pituning.tasks.base import Example, Task
from tests.backbones.making import Tiny
from tests.conftest import PlainImage

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


class BackboneContract:
    """A subclass gives the fixtures ``tiny``, ``directory``, ``backbone``, and the tasks ``text_task``, ``vision_task``
    and ``box_task``."""

    def tasks(self, backbone: Backbone, text_task: Task, vision_task: Task) -> list[Task]:
        return [task for task in (text_task, vision_task) if task.modality in backbone.modalities]

    def test_it_says_what_it_is(self, backbone: Backbone, tiny: Tiny) -> None:
        assert backbone.record.name == tiny.family
        assert len(backbone.fingerprint) == 64
        assert backbone.dtype == torch.float32
        assert backbone.vocabulary >= len(backbone.tokenizer)
        assert not backbone.model.training
        assert not any(parameter.requires_grad for parameter in backbone.model.parameters())

    def test_blocks_are_linear_maps_of_the_language_model(self, backbone: Backbone) -> None:
        assert {"query", "value", "output", "up", "down"} <= {block.role for block in backbone.blocks}
        for block in backbone.blocks:
            module = backbone.module(block.module)
            assert isinstance(module, torch.nn.Linear)
            assert (module.in_features, module.out_features) == (block.d_in, block.d_out)
            assert "vision" not in block.module
        layers = list(dict.fromkeys(block.layer for block in backbone.blocks))
        assert len(layers) == len(set(layers)) >= 2
        assert all(isinstance(backbone.module(path), torch.nn.Module) for path in backbone.attention.layers)

    def test_places_survive_the_disk(self, backbone: Backbone, tmp_path: Path) -> None:
        places = backbone.places()
        places.save(tmp_path)
        assert type(places).read(tmp_path) == places

    def test_who_else_is_in_the_batch_changes_nothing(
        self, backbone: Backbone, text_task: Task, vision_task: Task
    ) -> None:
        for task in self.tasks(backbone, text_task, vision_task):
            examples = [*task.split("train")[:6], replace(task.split("train")[6], text="")]
            encoded = backbone.encode(task, examples)
            assert task is vision_task or len(set(encoded.prompt_lengths.tolist())) > 1
            with torch.no_grad():
                together = backbone.loss(encoded.batch(range(7)))
                alone = torch.stack([backbone.loss(encoded.batch([row]))[0] for row in range(7)])
                some = backbone.loss(encoded.subset([5, 2]).batch([1, 0]))
            torch.testing.assert_close(together, alone, **TOLERANCE)
            torch.testing.assert_close(together[[2, 5]], some, **TOLERANCE)

    def test_of_many_images_those_are_seen_that_are_asked_for(
        self, backbone: Backbone, vision_task: Task, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if vision_task.modality not in backbone.modalities:
            pytest.skip("it sees no images")
        examples, rows = vision_task.split("train")[:40], [31, 4, 17]
        pixels = backbone.eyes_inside
        held = backbone.encode(vision_task, examples, keep_pixels=pixels)
        drawn: list[int] = []
        render = PlainImage.render
        monkeypatch.setattr(PlainImage, "render", lambda image, size: drawn.append(image.seed) or render(image, size))
        monkeypatch.setattr(shelf, "HELD", 0)
        monkeypatch.setattr(seeing, "IMAGE_BATCH", 1)
        monkeypatch.setattr(composed, "IMAGE_BATCH", 1)
        many = backbone.encode(vision_task, examples, keep_pixels=pixels)
        batches = [np.array(rows), np.array([4, 8])]
        with torch.no_grad():
            expected = [backbone.loss(held.batch(each)) for each in batches]
            actual = [backbone.loss(many.batch(each)) for each in many.ahead(batches)]
            again = backbone.loss(many.batch(rows))
            part = backbone.loss(many.subset(rows[::-1]).batch([2, 0]))
        torch.testing.assert_close(actual, expected, **TOLERANCE)
        assert torch.equal(again, actual[0])
        torch.testing.assert_close(part, actual[0][[0, 2]], **TOLERANCE)
        assert set(drawn) <= {examples[row].image.seed for row in (0, *rows, 8)}  # type: ignore[union-attr]
        if pixels:
            with torch.no_grad():
                anew = backbone.seen_anew(many).batch(rows)
                torch.testing.assert_close(backbone.loss(anew), expected[0], **TOLERANCE)

    def test_steps_give_the_logits_of_teacher_forcing(
        self, backbone: Backbone, text_task: Task, vision_task: Task
    ) -> None:
        for task in self.tasks(backbone, text_task, vision_task):
            encoded = backbone.encode(task, task.split("train")[:5])
            batch = encoded.batch(range(5))
            with torch.no_grad():
                forced = backbone.logits(batch)
                assert forced.shape == (*batch.labels.shape, backbone.vocabulary)
                decoding = backbone.start(batch)
                steps = [decoding.logits]
                for token in batch.labels[:, :-1].T:
                    decoding = backbone.step(decoding, token.clamp_min(0))
                    steps.append(decoding.logits)
                once = backbone.start(batch, steps=1).logits
            inside = batch.labels != IGNORED
            torch.testing.assert_close(torch.stack(steps, 1)[inside], forced[inside], **TOLERANCE)
            torch.testing.assert_close(once, forced[:, 0], **TOLERANCE)

    def test_the_last_map_is_given_one_piece_of_memory(self, backbone: Backbone, text_task: Task) -> None:
        """For a slice PyTorch would copy the matrix of the whole vocabulary once for each row."""
        head, whole = backbone.model.get_output_embeddings(), []
        if head is None:  # an architecture of our own, which cuts nothing
            return
        handle = head.register_forward_hook(lambda _module, given, _out: whole.append(given[0].is_contiguous()))
        try:
            batch = backbone.collate(backbone.encode(text_task, text_task.split("train")[:3]), [0, 1, 2])
            backbone.logits(batch)
            backbone.start(batch)
        finally:
            handle.remove()
        assert whole
        assert all(whole)

    def test_rows_of_a_decoding_can_be_chosen(self, backbone: Backbone, text_task: Task) -> None:
        batch = backbone.encode(text_task, text_task.split("train")[:3]).batch(range(3))
        tokens = torch.tensor([5, 6, 7, 8])
        rows = torch.tensor([2, 0, 2, 1])
        with torch.no_grad():
            chosen = backbone.step(backbone.start(batch).select(rows), tokens).logits
            for place, row in enumerate(rows.tolist()):
                one = backbone.encode(text_task, [text_task.split("train")[row]]).batch([0])
                alone = backbone.step(backbone.start(one), tokens[[place]]).logits[0]
                torch.testing.assert_close(chosen[place], alone, **TOLERANCE)

    def test_label_scores_are_those_of_a_slow_loop(
        self, backbone: Backbone, text_task: Task, vision_task: Task
    ) -> None:
        """Every label fed whole; at each of its tokens the share among those with which some label goes on."""
        for task in self.tasks(backbone, text_task, vision_task):
            encoded = backbone.encode(task, task.split("test")[:4])
            assert task.labels is not None
            paths = [(*ids, backbone.end_token) for ids in backbone.answer_ids(task.labels)]
            expected = np.zeros((4, len(paths)))
            for number, path in enumerate(paths):
                fed = replace(encoded, answers=[np.array(path)] * 4)
                with torch.no_grad():
                    logits = backbone.logits(fed.batch(range(4))).double()
                for place in range(len(path)):
                    allowed = sorted({p[place] for p in paths if p[:place] == path[:place]})
                    shares = torch.log_softmax(logits[:, place, allowed], dim=1)
                    expected[:, number] += shares[:, allowed.index(path[place])].numpy()
            with torch.no_grad():
                found = LabelTrie(task.labels, backbone).log_probabilities(backbone, encoded.batch(range(4)))
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)
            np.testing.assert_allclose(found.exp().sum(1).numpy(), 1.0, atol=1e-6)
            assert set(backbone.predict(encoded, task, batch_size=3)) <= set(task.labels)

    def test_open_answers_are_those_of_generate(self, backbone: Backbone, directory: Path, tiny: Tiny) -> None:
        """Against transformers' own greedy search, one example at a time, without padding."""
        task = Task(name="say", title="Say", instruction="say it", modality="language", metric="token_f1", labels=None,
                    splits={})  # fmt: skip
        examples = [Example(uid=str(i), text=t, answer="red") for i, t in enumerate(("the mood", "a very good one"))]
        encoded = backbone.encode(task, examples)
        plain = tiny.plain.from_pretrained(directory, dtype=torch.float32).eval()
        expected = []
        for row in range(2):
            prompt = torch.tensor(encoded.prompts[row])[None]
            ids = plain.generate(
                prompt, **backbone.beside_ids(prompt), max_new_tokens=48, do_sample=False, num_beams=1,
                eos_token_id=backbone.end_token, pad_token_id=backbone.pad_token, forced_eos_token_id=None,
                forced_bos_token_id=None, no_repeat_ngram_size=0,
                attention_mask=torch.ones_like(prompt),
            )[0]  # fmt: skip
            new = ids[len(encoded.prompts[row]) :] if not backbone.attention.encoder_decoder else ids[1:]
            expected += backbone.text_of([new.tolist()])
        assert backbone.predict(encoded, task) == expected

    def test_the_loss_is_that_of_plain_transformers(
        self, backbone: Backbone, directory: Path, tiny: Tiny, text_task: Task
    ) -> None:
        encoded = backbone.encode(text_task, text_task.split("train")[:3])
        plain = tiny.plain.from_pretrained(directory, dtype=torch.float32).eval()
        for row in range(3):
            prompt, answer = torch.tensor(encoded.prompts[row])[None], torch.tensor(encoded.answers[row])[None]
            with torch.no_grad():
                if not tiny.labels:
                    fed = encoded.batch([row]).decoder_input_ids
                    logits = plain(input_ids=prompt, decoder_input_ids=fed).logits
                    loss = torch.nn.functional.cross_entropy(logits[0], answer[0])
                elif backbone.attention.encoder_decoder:
                    loss = plain(input_ids=prompt, labels=answer).loss
                else:
                    labels = torch.cat([torch.full_like(prompt, -100), answer], dim=1)
                    whole = torch.cat([prompt, answer], dim=1)
                    loss = plain(input_ids=whole, labels=labels, **backbone.beside_ids(whole, answer.shape[1])).loss
                ours = backbone.loss(encoded.batch([row]))[0] / answer.shape[1]
            torch.testing.assert_close(ours, loss, **TOLERANCE)

    def test_a_text_that_spells_a_special_token_stays_text(self, backbone: Backbone, text_task: Task) -> None:
        special = backbone.tokenizer.all_special_tokens
        plain = backbone.encode(text_task, [Example(uid="x", text="word", answer="unsure")]).prompts[0]
        spelled = backbone.encode(text_task, [Example(uid="x", text=" ".join(special), answer="unsure")]).prompts[0]
        ids = set(backbone.tokenizer.all_special_ids)
        assert sum(int(i) in ids for i in spelled) == sum(int(i) in ids for i in plain)

    def test_any_text_is_taken_and_a_long_one_is_cut_with_a_word(self, backbone: Backbone, text_task: Task) -> None:
        said: list[str] = []

        class Listening:
            def phase(self, *args: object) -> None: ...
            def advance(self, *args: object) -> None: ...
            def log(self, message: str) -> None:
                said.append(message)

        texts = ("", "日本語 🙂 ñ", "word " * 5000)
        examples = [Example(uid=str(i), text=t, answer="unsure") for i, t in enumerate(texts)]
        encoded = backbone.encode(text_task, examples, reporter=Listening())  # type: ignore[arg-type]
        assert max(encoded.prompt_lengths) <= backbone.max_tokens
        assert len(said) == 1
        assert said[0].startswith("1 of 3 prompts are longer than ")
        # Of a pair the longer text is cut, and the shorter one behind it stays whole.
        pairs = replace(text_task, about={"columns": {"first": "pair", "second": "pair"}})
        short, long = (
            Example(uid="x", text=f"first: {'word ' * count}second: {'happy sad ' * 4}", answer="unsure")
            for count in (1, 5000)
        )
        whole, shortened = backbone.encode(pairs, [short, long]).prompts
        assert len(whole) < len(shortened) <= backbone.max_tokens
        assert whole[-15:].tolist() == shortened[-15:].tolist()
        with torch.no_grad():
            assert all(math.isfinite(value) for value in backbone.loss(encoded.batch(range(3))).tolist())

    def test_pictures_are_all_or_none_and_need_eyes(
        self, backbone: Backbone, vision_task: Task, text_task: Task
    ) -> None:
        examples = list(vision_task.split("train")[:2])
        with pytest.raises(BadInput, match="no examples"):
            backbone.encode(text_task, [])
        with pytest.raises(BadInput, match="1 of 2 examples have an image"):
            backbone.encode(vision_task, [examples[0], replace(examples[1], image=None)])
        if "vision" not in backbone.modalities:
            with pytest.raises(BadInput, match="has images, and backbone .* reads text alone"):
                backbone.encode(vision_task, examples)

    def test_what_is_computed_once_is_what_the_whole_model_computes(
        self, backbone: Backbone, text_task: Task, vision_task: Task
    ) -> None:
        shape, layers = backbone.attention, len(backbone.attention.layers)
        for task in self.tasks(backbone, text_task, vision_task):
            examples = task.split("train")[:4]
            encoded = backbone.encode(task, examples, keep_pixels=True)
            batch, kept = encoded.batch(range(4)), backbone.encoder_states(encoded)
            keys = torch.randn(1, shape.heads, 3, shape.head_width, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                logits = backbone.logits(batch)
                torch.testing.assert_close(backbone.full_logits(batch), logits, **TOLERANCE)
                again = backbone.seen_anew(kept).batch(range(4))
                torch.testing.assert_close(backbone.logits(again), logits, **TOLERANCE)
                past = [(keys.expand(4, -1, -1, -1),) * 2] * layers
                with backbone.conditioned(past=lambda _, past=past: past):  # type: ignore[misc]
                    prefixed = backbone.logits(batch)
                    torch.testing.assert_close(backbone.logits(kept.batch(range(4))), prefixed, **TOLERANCE)
                if examples[0].image is not None:
                    turned = [replace(one, image=two.image) for one, two in pairwise(examples)]
                    other = backbone.logits(backbone.encode(task, turned).batch(range(3)))
                    assert (other - logits[:3]).abs().amax((1, 2)).min() > 1e-4

    def test_what_acts_on_it_leaves_it_as_it_was(self, backbone: Backbone, text_task: Task) -> None:
        batch = backbone.encode(text_task, text_task.split("train")[:2]).batch(range(2))
        before = copy.deepcopy(backbone.model.state_dict())
        shape, layers = backbone.attention, len(backbone.attention.layers)

        def past(size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
            return [(torch.ones(size, shape.heads, 3, shape.head_width),) * 2] * layers  # type: ignore[list-item]

        with torch.no_grad():
            plain = backbone.logits(batch)
            with backbone.conditioned(past=past):
                assert (backbone.logits(batch) - plain).abs().max() > 1e-4
            with backbone.conditioned(prompt=lambda size: torch.ones(size, 3, backbone.width)):
                assert (backbone.logits(batch) - plain).abs().max() > 1e-4
            assert torch.equal(backbone.logits(batch), plain)
        assert all(torch.equal(before[name], tensor) for name, tensor in backbone.model.state_dict().items())

    def test_half_precision_is_close(self, directory: Path, backbone: Backbone, text_task: Task) -> None:
        half = Backbone.load(directory, dtype="bfloat16")
        assert half.dtype == torch.bfloat16
        assert half.fingerprint == backbone.fingerprint
        examples = text_task.split("train")[:3]
        with torch.no_grad():
            exact = backbone.loss(backbone.encode(text_task, examples).batch(range(3)))
            close = half.loss(half.encode(text_task, examples).batch(range(3)))
        assert close.dtype == torch.float32
        torch.testing.assert_close(close, exact, atol=0.3, rtol=0.1)
