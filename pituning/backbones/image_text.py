"""Decoder-only models that see, through their own processor: SmolVLM, Qwen-VL, Gemma 3, LLaVA and others.

The processor decides how many tokens stand for an image, and what else the model is given; `EncodedExamples.images`
keeps that, and each pass runs the whole model on it. Texts alone are taken too.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoTokenizer

from pituning.backbones import shelf
from pituning.backbones.base import Backbone
from pituning.backbones.blocks import Block, find_eyes
from pituning.backbones.causal import TYPES, CausalBackbone
from pituning.backbones.chat import Turn, frame_of, turn_of
from pituning.backbones.encoded import Batch, EncodedExamples, MadeRows, TokenRows
from pituning.backbones.families import FAMILIES
from pituning.backbones.inputs import all_or_no_images
from pituning.backbones.loading import from_pretrained
from pituning.backbones.processors import processor_of
from pituning.backbones.shelf import Ahead
from pituning.errors import ArtefactError
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task

Look = tuple[Turn, Mapping[str, Tensor], Mapping[str, tuple[Tensor, Tensor]]]
"""What `ImageTextBackbone.look` gives."""

USUAL_SIZE = 448
"""Side of the pictures for models that take any size."""


class ImageTextBackbone(CausalBackbone):
    """A decoder-only model with a vision tower.

    Args:
        processor: of `processor_of`.

    Attributes:
        both_directions: whether the class says of each token what it sees, as it must where prompts are read in both.
    """

    record = FAMILIES["image_text"]
    both_directions: ClassVar[bool] = False

    def __init__(self, model: Any, tokenizer: Any, *, processor: Any, **given: Any):
        super().__init__(model, tokenizer, **given)
        self.processor = processor
        template = processor.chat_template or tokenizer.chat_template
        self.turn = turn_of(tokenizer, template=template, image=False)
        self.end_token = self.turn.end
        self.templated = bool(template)
        self.frame = frame_of(tokenizer, template=template, image=True)
        if not template:  # then the processor puts the beginning
            self.frame = replace(self.frame, head=processor.image_token)
        self.taken = inspect.signature(model.forward).parameters
        size = getattr(model.config.vision_config, "image_size", None)
        self.image_size = size if isinstance(size, int) else USUAL_SIZE

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = from_pretrained(AutoModelForImageTextToText, path, dtype)
        if model.config.is_encoder_decoder or tokenizer.eos_token_id is None:
            raise ArtefactError(f"backbone {path} is no decoder-only model whose answers end; choose another")
        if getattr(model.config.get_text_config(), "use_bidirectional_attention", None) and not cls.both_directions:
            # Whether transformers by itself lets an answer see what follows it hangs on the padding of its batch.
            raise ArtefactError(f"backbone {path} reads in both directions, which cannot be run here; choose another")
        processor = processor_of(path, model.config.model_type, tokenizer)
        return cls(model, tokenizer, processor=processor, name=name, fingerprint=fingerprint, device=device)

    def find_eyes(self) -> tuple[Block, ...]:
        return find_eyes(self.model)

    @property
    def trained_part(self) -> str:
        return self.stack_path.removesuffix("layers")

    def encode(
        self, task: Task, examples: Sequence[Example], *, keep_pixels: bool = False, reporter: Reporter | None = None
    ) -> EncodedExamples:
        examples = list(examples)
        seen = all_or_no_images(task, examples)
        asked = self.prompt_tokens(task, [task.prompt(example) for example in examples])
        texts, looks = [example.answer for example in examples], []
        large = False
        if seen:
            (reporter or Silent()).phase("encode images", len(examples))
            for example in examples:
                looks.append(self.look(example, self.processor))
                large = sum(len(examples) * each.nbytes for each in looks[0][1].values()) > shelf.HELD
                if large:
                    break
                (reporter or Silent()).advance()
        if large:  # pictures are drawn at one size, so that every one takes the places that the first one takes
            (reporter or Silent()).advance(len(examples))
            looks = looks * len(examples)
        turns = [turn for turn, _, _ in looks] or None
        prompts, answers = self.framed(asked, texts, task, reporter, turns)
        if large:
            images: Any = self._made_when_asked(examples, prompts, looks[0][0])
        else:
            images = [self._whole(look, len(prompt)) for prompt, look in zip(prompts, looks, strict=False)] or None
        return EncodedExamples(prompts=prompts, answers=answers, backbone=self, images=images)

    def _made_when_asked(self, examples: Sequence[Example], prompts: TokenRows, turn: Turn) -> MadeRows:
        """What the processor makes of each image, when it is asked for.

        A tokenizer does not take two texts at once, and what is made ahead is made beside everything else: it is made
        by a processor of its own.
        """
        processor, lengths = copy.deepcopy(self.processor), prompts.lengths

        def make(row: int) -> Mapping[str, Tensor]:
            look = self.look(examples[row], processor)
            if look[0] != turn:
                raise ArtefactError(
                    f"backbone {self.name!r} gives image {examples[row].uid} other places in the prompt than the first "
                    "one; take fewer examples at once"
                )
            return self._whole(look, int(lengths[row]))

        return MadeRows(Ahead(make), range(len(examples)))

    @staticmethod
    def _whole(look: Look, length: int) -> Mapping[str, Tensor]:
        """What the processor made of an image, with the types of all tokens of its prompt of that length."""
        turn, made, types = look
        gap = torch.zeros(length - len(turn.head) - len(turn.tail), dtype=torch.long)
        return {**made, **{name: torch.cat([head, gap, tail]) for name, (head, tail) in types.items()}}

    def look(self, example: Example, processor: Any) -> Look:
        """What stands around the prompt of an example, what the processor made of its image, and the types of the
        tokens before and after the prompt."""
        assert example.image is not None
        mark = self.tokenizer.eos_token  # stands for the prompt: a token that joins no other
        made = processor(
            images=[example.image.render(self.image_size).convert("RGB")],
            text=[self.frame.head + mark + self.frame.tail],
            text_kwargs={"add_special_tokens": not self.templated},
            return_tensors="pt",
        )
        ids = made.pop("input_ids")[0]
        place = int((ids == self.tokenizer.eos_token_id).nonzero().flatten()[-1 - self.frame.tail.count(mark)])
        types = {name: made.pop(name)[0] for name in TYPES.intersection(made)}
        return (
            Turn(tuple(ids[:place].tolist()), tuple(ids[place + 1 :].tolist()), self.end_token),
            {name: value for name, value in made.items() if name in self.taken and name != "attention_mask"},
            {name: (row[:place], row[place + 1 :]) for name, row in types.items() if name in self.taken},
        )

    def collate(self, encoded: EncodedExamples, rows: Sequence[int]) -> Batch:
        batch = super().collate(encoded, rows)
        if encoded.images is None:
            return batch
        chosen, images = [encoded.images[i] for i in rows], {}
        longest = batch.input_ids.shape[1]
        for name in chosen[0]:
            parts = [one[name] for one in chosen]
            if name in TYPES:
                parts = [torch.nn.functional.pad(part, (longest - len(part), 0))[None] for part in parts]
            whole = torch.cat(parts).to(self.device)
            images[name] = whole.to(self.dtype) if whole.is_floating_point() else whole
        return replace(batch, images=images)

    def beside_pictures(self, batch: Batch, answers: int = 0) -> dict[str, Any]:
        types = {name: value for name, value in batch.images.items() if name in TYPES}
        if types and answers:
            # The model itself says of which type the tokens of an answer are.
            grown = self.model._update_model_kwargs_for_generation({}, dict(types), num_new_tokens=answers)
            types = {name: grown[name] for name in types}
        return {**batch.images, **types}

    def beside(self, batch: Batch, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        given = self.beside_pictures(batch, ids.shape[1] - batch.input_ids.shape[1])
        given["position_ids"] = self.model._prepare_position_ids_for_generation(ids, {**given, "attention_mask": mask})
        if hasattr(self.model.base_model, "rope_deltas"):
            self.model.base_model.rope_deltas = None  # Qwen-VL's would shift the next call that brings no positions
        return given
