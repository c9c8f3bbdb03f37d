"""What encoder-decoders share: the encoder runs once, the decoder as often as needed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from pituning.backbones.base import Backbone, Decoding
from pituning.backbones.encoded import IGNORED, Batch, EncodedExamples, mask_of, padded

STATES_BATCH = 64


class EncoderDecoderBackbone(Backbone):
    """A backbone whose decoder attends to the states of an encoder. Prompts are padded on the right.

    Attributes:
        start_token: what the decoder is fed first.
    """

    start_token: int

    @abstractmethod
    def encode_states(self, inputs_embeds: Tensor, attention_mask: Tensor, batch: Batch) -> Tensor:
        """Encoder states (B, T, D) of the embedded inputs (B, T, D) of a batch and their mask (B, T)."""

    @abstractmethod
    def decode(
        self, states: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, cache: EncoderDecoderCache | None
    ) -> Tensor:
        """Logits (B, U, V) of decoder inputs (B, U); with a ``cache``, of the inputs after those it holds."""

    def embed(self, encoded: EncodedExamples, rows: Sequence[int], input_ids: Tensor) -> Tensor:
        """(B, T, D) embedded prompts, image features in place."""
        return self.model.get_input_embeddings()(input_ids)

    def collate(self, encoded: EncodedExamples, rows: Sequence[int]) -> Batch:
        prompts, answers = [encoded.prompts[i] for i in rows], [encoded.answers[i] for i in rows]
        labels = padded(answers, IGNORED)
        shifted = np.full_like(labels, self.start_token)
        shifted[:, 1:] = np.where(labels[:, :-1] == IGNORED, self.pad_token, labels[:, :-1])
        input_ids = torch.from_numpy(padded(prompts, self.pad_token)).to(self.device)
        with torch.no_grad():
            embeds = self.embed(encoded, rows, input_ids)
        return Batch(
            input_ids=input_ids,
            attention_mask=torch.from_numpy(mask_of(prompts)).to(self.device),
            inputs_embeds=embeds,
            labels=torch.from_numpy(labels).to(self.device),
            decoder_input_ids=torch.from_numpy(shifted).to(self.device),
            pixel_values=self.pixel_values(encoded, rows),
            states=None if encoded.states is None else pad_sequence([encoded.states[i] for i in rows], True),
        )

    def pixel_values(self, encoded: EncodedExamples, rows: Sequence[int]) -> Tensor | None:
        """(B, 3, H, W) where pixels were kept."""
        return None

    def embedded(self, batch: Batch) -> Tensor:
        """(B, T, D) the embedded prompts of a batch, image features in place."""
        assert batch.inputs_embeds is not None
        return batch.inputs_embeds

    def states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Encoder states (B, T, D) of a batch, those it carries or computed, and their mask."""
        if batch.states is not None:
            return batch.states, batch.attention_mask
        embeds, mask = self.embedded(batch), batch.attention_mask
        if self._prompt is not None:
            prompt = self._prompt(len(batch))
            embeds, mask = shortened(embeds, mask, self.max_tokens - prompt.shape[1])
            embeds = torch.cat([prompt.to(embeds.dtype), embeds], dim=1)
            mask = torch.cat([mask.new_ones(prompt.shape[:2]), mask], dim=1)
        return self.encode_states(embeds, mask, batch), mask

    def first_cache(self, size: int) -> EncoderDecoderCache | None:
        """What stands in front of the decoder's own keys and values, if anything does."""
        if self._past is None:
            return None
        return EncoderDecoderCache(DynamicCache(self._past(size)), DynamicCache())

    def logits(self, batch: Batch) -> Tensor:
        states, mask = self.states(batch)
        assert batch.decoder_input_ids is not None
        return self.decode(states, mask, batch.decoder_input_ids, self.first_cache(len(batch)))

    def start(self, batch: Batch, *, steps: int | None = None) -> Decoding:
        states, mask = self.states(batch)
        cache = self.first_cache(len(batch)) or (None if steps == 1 else empty_cache())
        tokens = torch.full((len(batch), 1), self.start_token, device=self.device)
        logits = self.decode(states, mask, tokens, cache)[:, -1]
        return Decoding(logits=logits, mask=mask, cache=cache, states=states)

    def step(self, decoding: Decoding, tokens: Tensor) -> Decoding:
        assert decoding.states is not None
        logits = self.decode(decoding.states, decoding.mask, tokens[:, None], decoding.cache)[:, -1]
        return replace(decoding, logits=logits)

    @torch.no_grad()
    def encoder_states(self, encoded: EncodedExamples) -> EncodedExamples:
        states: list[Any] = [None] * len(encoded)
        for rows in encoded.by_length(STATES_BATCH):
            hidden, mask = self.states(encoded.batch(rows))
            for row, state, inside in zip(rows, hidden, mask.bool(), strict=True):
                states[int(row)] = state[inside]
        return replace(encoded, states=states)


def empty_cache() -> EncoderDecoderCache:
    """A decoder cache that holds nothing yet."""
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def shortened(embeds: Tensor, mask: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Embedded prompts (B, T, D), padded on the right, and their mask (B, T), cut to ``room`` where they are longer.

    Each row is cut as `Backbone.encode` cuts prompts: before its last token, which says where it ends.
    """
    if embeds.shape[1] <= room:
        return embeds, mask
    kept = torch.arange(room, device=embeds.device).expand(len(embeds), room).clone()
    kept[:, -1] = (mask.sum(dim=1) - 1).clamp_min(room - 1)
    return embeds.gather(1, kept[:, :, None].expand(-1, -1, embeds.shape[2])), mask[:, :room]
