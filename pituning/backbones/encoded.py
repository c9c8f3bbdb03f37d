"""Examples made ready for a backbone: token ids, and image features that the frozen vision tower computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from pituning.backbones.base import Backbone

IGNORED = -100
"""Label of a padded position."""


@dataclass
class Batch:
    """One padded batch on the backbone's device.

    Args:
        input_ids: (B, T) prompt tokens, image placeholders included.
        attention_mask: (B, T), 1 where a token is.
        labels: (B, U) answer tokens, −100 where padded, on the right.
        inputs_embeds: (B, T, D) embedded prompt with the image features in place, where the family embeds it itself.
        decoder_input_ids: (B, U) the answer shifted right, of encoder-decoders.
        pixel_values: (B, 3, H, W) normalised pixels, where the examples were encoded with ``keep_pixels``.
        states: (B, T, D) encoder states, where `EncodedExamples.with_states` computed them.
        images: what else the image processor made, each tensor with the images of the batch along its first axis.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    inputs_embeds: Tensor | None = None
    decoder_input_ids: Tensor | None = None
    pixel_values: Tensor | None = None
    states: Tensor | None = None
    images: Mapping[str, Tensor] = field(default_factory=dict)

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
        prompts: token ids of each input, with whatever the backbone puts around it.
        answers: token ids of each answer, its end token included.
        backbone: which makes batches of them.
        features: (N, V, D) frozen image features, where the family computes them once.
        pixels: (N, H, W, 3) bytes, kept for full fine-tuning, or None.
        images: of each example what the image processor made, where the family runs the whole model on it.
        states: the frozen encoder's states of each example (T, D), where nothing will change the encoder.
    """

    prompts: list[np.ndarray]
    answers: list[np.ndarray]
    backbone: Backbone
    features: Tensor | None = None
    pixels: Tensor | None = None
    images: list[Mapping[str, Tensor]] | None = None
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
            backbone=self.backbone,
            features=None if self.features is None else self.features[rows],
            pixels=None if self.pixels is None else self.pixels[rows],
            images=None if self.images is None else [self.images[i] for i in rows],
            states=None if self.states is None else [self.states[i] for i in rows],
        )

    def without_states(self) -> EncodedExamples:
        """The same examples, for whatever changes the encoder."""
        return replace(self, states=None)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """The examples at ``indices``, padded to the longest."""
        return self.backbone.collate(self, [int(i) for i in indices])


def padded(rows: Sequence[np.ndarray], fill: int, *, left: bool = False) -> np.ndarray:
    """(B, longest) int64.

    Args:
        left: pad in front, as decoder-only models want their prompts.
    """
    out = np.full((len(rows), max((len(row) for row in rows), default=1)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        if left:
            out[i, out.shape[1] - len(row) :] = row
        else:
            out[i, : len(row)] = row
    return out


def mask_of(rows: Sequence[np.ndarray], *, left: bool = False) -> np.ndarray:
    """(B, longest) int64, 1 where `padded` put a token."""
    lengths = np.array([len(row) for row in rows])
    places = np.arange(int(lengths.max(initial=1)))[None, :]
    inside = places >= places.size - lengths[:, None] if left else places < lengths[:, None]
    return inside.astype(np.int64)


def nll_per_example(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p(y | x) of each example: summed over its answer tokens.

    Args:
        logits: (B, U, V).
        labels: (B, U), −100 where padded.

    Returns:
        (B,) losses in nats.
    """
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(labels.shape).sum(dim=1)
