"""T5Gemma 2: a Gemma 3 made into an encoder-decoder that sees; its decoder attends to itself and the encoder in one.

Features of images are kept in `EncodedExamples.features` and stand in front of the text, between the tokens that Gemma
3's processor puts around them. The first part of the cache is the decoder's own, as in any encoder-decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, T5Gemma2ForConditionalGeneration
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from pituning.backbones.base import Backbone
from pituning.backbones.blocks import find_blocks, find_eyes
from pituning.backbones.cutting import cut
from pituning.backbones.encoded import Batch, EncodedExamples, TokenRows
from pituning.backbones.families import FAMILIES
from pituning.backbones.inputs import all_or_no_images
from pituning.backbones.loading import from_pretrained
from pituning.backbones.places import AttentionShape, Block
from pituning.backbones.seeing import SeeingBackbone
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task

STACKS = {"encoder": "model.encoder.text_model.layers", "decoder": "model.decoder.layers"}


class T5Gemma2Backbone(SeeingBackbone):
    """A T5Gemma 2."""

    record = FAMILIES["t5gemma2"]

    def __init__(self, model: Any, tokenizer: Any, **given: Any):
        super().__init__(model, tokenizer, **given)
        config = model.config
        self.start_token, self.pad_token = int(config.decoder.bos_token_id), int(config.decoder.pad_token_id)
        self.end_token = int(tokenizer.eos_token_id)
        self.max_tokens = int(config.encoder.text_config.max_position_embeddings)
        text, whole = self.token_ids(["x"])[0], tokenizer("x")["input_ids"]
        place = whole.index(text[0])
        self.begin, self.close = whole[:place], whole[place + len(text) :]  # what the tokenizer puts around a text

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = from_pretrained(T5Gemma2ForConditionalGeneration, path, dtype)
        images = AutoImageProcessor.from_pretrained(path, local_files_only=True, backend="pil")
        sees = {
            "image_size": images.size["height"], "image_mean": images.image_mean, "image_std": images.image_std,
        }  # fmt: skip
        return cls(model, tokenizer, name=name, fingerprint=fingerprint, device=device, **sees)

    def find_blocks(self) -> tuple[Block, ...]:
        return find_blocks(self.model, STACKS)

    def find_eyes(self) -> tuple[Block, ...]:
        return find_eyes(self.model)

    def find_attention(self) -> AttentionShape:
        config = self.model.config.decoder
        layers = range(config.num_hidden_layers)
        return AttentionShape(
            layers=tuple(f"{STACKS['decoder']}.{layer}.self_attn" for layer in layers),
            names=tuple(f"decoder.{layer}" for layer in layers),
            heads=config.num_key_value_heads,
            head_width=config.head_dim,
            query_heads=config.num_attention_heads,
            encoder_decoder=True,
        )

    @property
    def trained_part(self) -> str:
        return "model.decoder."

    def encode(
        self, task: Task, examples: Sequence[Example], *, keep_pixels: bool = False, reporter: Reporter | None = None
    ) -> EncodedExamples:
        examples = list(examples)
        seen = all_or_no_images(task, examples)
        features, pixels = self.see(examples, keep_pixels, reporter or Silent()) if seen else (None, None)
        head = [*self.begin, *([] if features is None else self._frame(features.shape[1]))]
        room = self.max_tokens - len(head) - len(self.close) - self.answer_room
        prompts = cut(self.prompt_tokens(task, [task.prompt(example) for example in examples]), room, reporter)
        answers = self.answer_ids([example.answer for example in examples])
        return EncodedExamples(
            prompts=TokenRows([*head, *ids, *self.close] for ids in prompts),
            answers=TokenRows([*ids[:room], self.end_token] for ids in answers),
            backbone=self,
            features=features,
            pixels=pixels,
        )

    def _frame(self, tokens: int) -> list[int]:
        """The places of an image, and what Gemma 3's processor puts around them."""
        config = self.model.config
        lines = self.token_ids(["\n\n"])[0]
        places = [config.image_token_id] * tokens
        return [*lines, config.encoder.boi_token_id, *places, config.encoder.eoi_token_id, *lines]

    def embed(self, encoded: EncodedExamples, rows: Sequence[int], input_ids: Tensor) -> Tensor:
        embeds: Tensor = self.model.get_input_embeddings()(input_ids)
        if encoded.features is None:
            return embeds
        return self.in_place(embeds, input_ids, encoded.features[list(rows)].to(embeds))

    def in_place(self, embeds: Tensor, input_ids: Tensor, features: Tensor) -> Tensor:
        begin = int((input_ids[0] == self.model.config.image_token_id).nonzero()[0, 0])  # the same in each row
        embeds[:, begin : begin + features.shape[1]] = features
        return embeds

    def features_of(self, pixel_values: Tensor) -> Tensor:
        return self.model.get_image_features(pixel_values).pooler_output

    def encode_states(self, inputs_embeds: Tensor, attention_mask: Tensor, batch: Batch) -> Tensor:
        return self.model.get_encoder()(inputs_embeds=inputs_embeds, attention_mask=attention_mask)[0]

    def decode(
        self, states: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, cache: EncoderDecoderCache | None
    ) -> Tensor:
        return self.model(
            encoder_outputs=BaseModelOutput(states),
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        ).logits

    def full_logits(self, batch: Batch) -> Tensor:
        return self.model(
            input_ids=batch.input_ids,
            pixel_values=batch.pixel_values,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
            use_cache=False,
        ).logits
