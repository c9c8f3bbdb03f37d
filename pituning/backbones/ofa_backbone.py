"""OFA as a backbone (Wang et al. 2022), the one of the π-tuning paper; the model itself is `pituning.backbones.ofa`.

Prompts are lower-cased and begin with a blank, and so do answers begin with one, as in all that OFA was trained on.
Features of patches are kept in `EncodedExamples.features`; in the encoder they stand before the text. To PEFT itself a
prefix is a number of tokens like any others: with one, give ``prefix_length`` to the model, as it is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.cache_utils import EncoderDecoderCache

from pituning.backbones.base import Backbone
from pituning.backbones.blocks import find_blocks
from pituning.backbones.cutting import cut
from pituning.backbones.encoded import Batch, EncodedExamples, TokenRows
from pituning.backbones.families import FAMILIES
from pituning.backbones.inputs import all_or_no_images
from pituning.backbones.loading import from_pretrained
from pituning.backbones.ofa.encoder import OfaEncoderOutput
from pituning.backbones.ofa.model import OfaForConditionalGeneration
from pituning.backbones.ofa.resnet import patch_grid
from pituning.backbones.places import AttentionShape, Block
from pituning.backbones.seeing import SeeingBackbone, image_settings
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task

FEATURES = "features"
PATCH = 2
"""Of a patch in the mask of the encoder's states, where a token is 1: positions of patches are their own."""
STACKS = {stack: f"{stack}.layers" for stack in ("encoder", "decoder")}


class OfaBackbone(SeeingBackbone):
    """An OFA."""

    record = FAMILIES["ofa"]
    resampling = Image.Resampling.BICUBIC

    def __init__(self, model: Any, tokenizer: Any, **given: Any):
        super().__init__(model, tokenizer, **given)
        config = model.config
        self.start_token, self.end_token, self.pad_token = config.bos_token_id, config.eos_token_id, config.pad_token_id
        self.max_tokens = config.max_position_embeddings
        self.grid = patch_grid(self.image_size, self.image_size)

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True)
        model = from_pretrained(OfaForConditionalGeneration, path, dtype)
        return cls(model, tokenizer, name=name, fingerprint=fingerprint, device=device, **image_settings(path))

    def find_blocks(self) -> tuple[Block, ...]:
        return find_blocks(self.model, STACKS)

    def find_attention(self) -> AttentionShape:
        config = self.model.config
        layers, heads = range(config.decoder_layers), config.decoder_attention_heads
        return AttentionShape(
            layers=tuple(f"{STACKS['decoder']}.{layer}.self_attn" for layer in layers),
            names=tuple(f"decoder.{layer}" for layer in layers),
            heads=heads,
            head_width=config.d_model // heads,
            query_heads=heads,
            encoder_decoder=True,
        )

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self.located(self.token_ids([f" {self.spelled(text)}" for text in texts]), texts)

    def encode(
        self, task: Task, examples: Sequence[Example], *, keep_pixels: bool = False, reporter: Reporter | None = None
    ) -> EncodedExamples:
        examples = list(examples)
        seen = all_or_no_images(task, examples)
        features, pixels = self.see(examples, keep_pixels, reporter or Silent()) if seen else (None, None)
        asked = self.prompt_tokens(task, [f" {task.prompt(example).lower()}" for example in examples])
        room = self.max_tokens - self.answer_room
        answers = [ids[:room] for ids in self.answer_ids([example.answer for example in examples])]
        ends = self.start_token, self.end_token
        return EncodedExamples(
            prompts=TokenRows([ends[0], *ids, ends[1]] for ids in cut(asked, room - 2, reporter)),
            answers=TokenRows([*ids, self.end_token] for ids in answers),
            backbone=self,
            features=features,
            pixels=pixels,
        )

    def collate(self, encoded: EncodedExamples, rows: Sequence[int]) -> Batch:
        batch = super().collate(encoded, rows)
        if encoded.features is not None:
            batch.images = {FEATURES: encoded.features[list(rows)].to(self.device)}
        return batch

    def in_place(self, embeds: Tensor, input_ids: Tensor, features: Tensor) -> Tensor:
        return embeds  # the encoder is given the features beside the text

    def features_of(self, pixel_values: Tensor) -> Tensor:
        return self.model.image_features(pixel_values)

    def encode_states(self, inputs_embeds: Tensor, attention_mask: Tensor, batch: Batch) -> Tensor:
        features = batch.images.get(FEATURES)
        seen = {} if features is None else {"image_features": features, "image_grid": self.grid}
        return self.model.encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask, **seen).last_hidden_state

    def states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        states, mask = super().states(batch)  # the mask is that of the text
        patches = mask.new_full((len(batch), states.shape[1] - mask.shape[1]), PATCH)
        return states, torch.cat([patches, mask], dim=1)

    def first_cache(self, size: int) -> EncoderDecoderCache | None:
        cache = super().first_cache(size)
        if cache is not None:
            cache.prefix_length = cache.get_seq_length()
        return cache

    def decode(
        self, states: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, cache: EncoderDecoderCache | None
    ) -> Tensor:
        patches = int((attention_mask[0] == PATCH).sum())
        grid = self.grid if patches else None
        positions = self.model.encoder.position_embedding(states.shape[1] - patches, grid)
        encoded = OfaEncoderOutput(states, attention_mask.bool(), positions.expand(len(states), -1, -1))
        prefix = getattr(cache, "prefix_length", 0)
        return self.model.decoder(encoded, decoder_input_ids, cache=cache, prefix_length=prefix)

    def beside_prefix(self, length: int) -> dict[str, int]:
        return {"prefix_length": length}

    def full_logits(self, batch: Batch) -> Tensor:
        return self.model(
            input_ids=batch.input_ids,
            pixel_values=batch.pixel_values,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
        ).logits
