"""Florence-2 (Xiao et al. 2024): a DaViT image encoder in front of a BART-like encoder-decoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast
from transformers.cache_utils import EncoderDecoderCache

from pituning.backbones.base import AttentionShape, Backbone
from pituning.backbones.blocks import Block, find_blocks, find_eyes
from pituning.backbones.cutting import cut
from pituning.backbones.encoded import Batch, EncodedExamples, TokenRows
from pituning.backbones.families import FAMILIES
from pituning.backbones.inputs import all_or_no_images
from pituning.backbones.loading import from_pretrained
from pituning.backbones.seeing import SeeingBackbone, image_settings
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task

LANGUAGE_MODEL = "model.language_model"
STACKS = {stack: f"{LANGUAGE_MODEL}.{stack}.layers" for stack in ("encoder", "decoder")}


class Florence2Backbone(SeeingBackbone):
    """A Florence-2, run past the wrappers that cost time per call."""

    record = FAMILIES["florence2"]

    def __init__(self, model: Any, tokenizer: Any, **given: Any):
        super().__init__(model, tokenizer, **given)
        self.language_model: Any = model.model.language_model
        text = model.config.text_config
        self.start_token: int = text.decoder_start_token_id
        self.end_token: int = text.eos_token_id
        self.pad_token: int = text.pad_token_id
        self.begin_token: int = text.bos_token_id
        self.image_token: int = model.config.image_token_id
        self.max_tokens: int = text.max_position_embeddings

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True)
        model = from_pretrained(Florence2ForConditionalGeneration, path, dtype)
        return cls(model, tokenizer, name=name, fingerprint=fingerprint, device=device, **image_settings(path))

    def find_blocks(self) -> tuple[Block, ...]:
        return find_blocks(self.model, STACKS)

    def find_eyes(self) -> tuple[Block, ...]:
        return find_eyes(self.model)

    def find_attention(self) -> AttentionShape:
        text = self.model.config.text_config
        layers = range(text.decoder_layers)
        return AttentionShape(
            layers=tuple(f"{STACKS['decoder']}.{layer}.self_attn" for layer in layers),
            names=tuple(f"decoder.{layer}" for layer in layers),
            heads=text.decoder_attention_heads,
            head_width=text.d_model // text.decoder_attention_heads,
            query_heads=text.decoder_attention_heads,
            encoder_decoder=True,
        )

    @cached_property
    def lower_case(self) -> bool:
        """Whether its vocabulary knows no word with a capital, as the embedded backbone's: it then reads and writes
        lower case, and one blank between words."""
        words = (token.lstrip("Ġ") for token in self.tokenizer.get_vocab() if not token.startswith("<"))
        return not any(len(word) > 1 and word.isascii() and word != word.lower() for word in words)

    def _in_its_case(self, text: str) -> str:
        return " ".join(text.lower().split()) if self.lower_case else text

    def spelled(self, answer: str) -> str:
        return self._in_its_case(super().spelled(answer))

    @property
    def trained_part(self) -> str:
        return f"{LANGUAGE_MODEL}."

    def encode(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        keep_pixels: bool = False,
        reporter: Reporter | None = None,
    ) -> EncodedExamples:
        reporter = reporter or Silent()
        examples = list(examples)
        with_image = all_or_no_images(task, examples)
        features, pixels = self.see(examples, keep_pixels, reporter) if with_image else (None, None)
        tokens = features.shape[1] if features is not None else 0
        room = self.max_tokens - tokens - 2
        head = [self.begin_token] + [self.image_token] * tokens
        prompts = [self._in_its_case(task.prompt(example)) for example in examples]
        prompt_ids = cut(self.prompt_tokens(task, prompts), room, reporter)
        answer_ids = self.answer_ids([example.answer for example in examples])
        answer_room = self.max_tokens - self.answer_room
        return EncodedExamples(
            prompts=TokenRows([*head, *ids, self.end_token] for ids in prompt_ids),
            answers=TokenRows([*ids[:answer_room], self.end_token] for ids in answer_ids),
            backbone=self,
            features=features,
            pixels=pixels,
        )

    def embed(self, encoded: EncodedExamples, rows: Sequence[int], input_ids: Tensor) -> Tensor:
        embeds: Tensor = self.model.get_input_embeddings()(input_ids)
        if encoded.features is None:
            return embeds
        return self.in_place(embeds, input_ids, encoded.features[list(rows)].to(self.device))

    def in_place(self, embeds: Tensor, input_ids: Tensor, features: Tensor) -> Tensor:
        # Placeholders stand right after <s>, so the features are one slice.
        embeds[:, 1 : 1 + features.shape[1]] = features
        return embeds

    def features_of(self, pixel_values: Tensor) -> Tensor:
        return self.model.get_image_features(pixel_values).pooler_output

    def encode_states(self, inputs_embeds: Tensor, attention_mask: Tensor, batch: Batch) -> Tensor:
        return self.language_model.encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask)[0]

    def decode(
        self, states: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, cache: EncoderDecoderCache | None
    ) -> Tensor:
        hidden = self.language_model.decoder(
            input_ids=decoder_input_ids,
            encoder_hidden_states=states,
            encoder_attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )[0]
        return self.model.lm_head(hidden)

    def full_logits(self, batch: Batch) -> Tensor:
        return self.model(
            input_ids=batch.input_ids,
            pixel_values=batch.pixel_values,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
            use_cache=False,
        ).logits
