"""Examples made ready for a backbone: token ids, and image features that the frozen vision tower computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

IGNORED = -100
"""Label of a padded position."""


@dataclass
class Batch:
    """One padded batch on the backbone's device.

    Args:
        input_ids: (B, T) prompt tokens, image placeholders included.
        attention_mask: (B, T), 1 where a token is.
        inputs_embeds: (B, T, D) embedded prompt with the image features in place.
        labels: (B, U) answer tokens, −100 where padded.
        decoder_input_ids: (B, U) the answer shifted right.
        pixel_values: (B, 3, H, W) normalised pixels, where the examples were encoded with ``keep_pixels``.
        states: (B, T, D) encoder states, where `EncodedExamples.with_states` computed them.
    """

    input_ids: Tensor
    attention_mask: Tensor
    inputs_embeds: Tensor
    labels: Tensor
    decoder_input_ids: Tensor
    pixel_values: Tensor | None = None
    states: Tensor | None = None

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    @property
    def size(self) -> int:
        return len(self)

    @property
    def lengths(self) -> Tensor:
        """(B,) number of answer tokens, the end token included."""
        return (self.labels != IGNORED).sum(dim=1)


@dataclass
class EncodedExamples:
    """Tokenised examples of one task for one backbone.

    Args:
        prompts: token ids of each input, ``<s> <image>… prompt </s>``.
        answers: token ids of each answer, ``… </s>``.
        features: (N, V, D) frozen image features, or None without images.
        pixels: (N, H, W, 3) bytes, kept for full fine-tuning, or None.
        embedding: the backbone's token embedding.
        states: the frozen encoder's states of each example (T, D), where nothing will change the encoder.
    """

    prompts: list[np.ndarray]
    answers: list[np.ndarray]
    features: Tensor | None
    pixels: Tensor | None
    embedding: nn.Module
    pad: int
    start: int
    device: torch.device
    states: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def prompt_lengths(self) -> np.ndarray:
        """(N,) tokens of each prompt, for length-bucketed batches."""
        return np.array([len(prompt) for prompt in self.prompts], dtype=np.int64)

    def subset(self, indices: Sequence[int] | np.ndarray) -> EncodedExamples:
        """The examples at ``indices``, in that order."""
        rows = [int(i) for i in indices]
        return EncodedExamples(
            prompts=[self.prompts[i] for i in rows],
            answers=[self.answers[i] for i in rows],
            features=None if self.features is None else self.features[rows],
            pixels=None if self.pixels is None else self.pixels[rows],
            embedding=self.embedding,
            pad=self.pad,
            start=self.start,
            device=self.device,
            states=None if self.states is None else [self.states[i] for i in rows],
        )

    @torch.no_grad()
    def with_states(self, encode: Callable[[Tensor, Tensor], Tensor], batch_size: int = 64) -> EncodedExamples:
        """The same examples with the encoder's states computed once, for experts that act on the decoder alone.

        Args:
            encode: embedded prompts (B, T, D) and mask (B, T) to states (B, T, D).
        """
        states: list[Tensor] = [torch.empty(0)] * len(self)
        order = np.argsort(self.prompt_lengths, kind="stable")
        for begin in range(0, len(order), batch_size):
            rows = order[begin : begin + batch_size]
            batch = self.batch(rows)
            encoded = encode(batch.inputs_embeds, batch.attention_mask)
            for row, state in zip(rows, encoded, strict=True):
                states[int(row)] = state[: len(self.prompts[int(row)])].clone()
        return replace(self, states=states)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The examples at ``indices``, padded to the longest."""
        rows = [int(i) for i in indices]
        prompts = _padded([self.prompts[i] for i in rows], self.pad)
        labels = _padded([self.answers[i] for i in rows], IGNORED)
        shifted = np.full_like(labels, self.start)
        shifted[:, 1:] = np.where(labels[:, :-1] == IGNORED, self.pad, labels[:, :-1])
        mask = np.arange(prompts.shape[1])[None, :] < np.array([len(self.prompts[i]) for i in rows])[:, None]
        input_ids = torch.from_numpy(prompts).to(self.device)
        with torch.no_grad():
            embeds: Tensor = self.embedding(input_ids)
            if self.features is not None:
                # Placeholders stand right after <s>, so the features are one slice.
                embeds[:, 1 : 1 + self.features.shape[1]] = self.features[rows].to(self.device)
        return Batch(
            input_ids=input_ids,
            attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self.device),
            inputs_embeds=embeds,
            labels=torch.from_numpy(labels).to(self.device),
            decoder_input_ids=torch.from_numpy(shifted).to(self.device),
            pixel_values=None if self.pixels is None else normalise(self.pixels[rows].to(self.device)),
            states=None if self.states is None else pad_sequence([self.states[i] for i in rows], batch_first=True),
        )


def normalise(pixels: Tensor) -> Tensor:
    """Bytes (N, H, W, 3) to (N, 3, H, W) between −1 and 1: mean 0.5 and deviation 0.5 of values between 0 and 1."""
    return (pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0).contiguous()


def _padded(rows: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """(B, longest) int64."""
    out = np.full((len(rows), max((len(row) for row in rows), default=1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
