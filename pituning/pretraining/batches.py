"""From samples to the tensors of a step, and from those to losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

from pituning.pretraining.sample import Sample
from pituning.tasks.mini.drawing import draw


@dataclass
class Tokens:
    """A padded micro-batch: prompts (B, T) with their mask, answers (B, U) with -100, row of its image per prompt."""

    ids: Tensor
    mask: Tensor
    labels: Tensor
    owner: Tensor | None


def draw_unique(samples: Sequence[Sample], image_size: int) -> tuple[Tensor, dict[object, int]]:
    """Pixels (N, 3, S, S) of the images, each drawn once however many samples share it, and the row of each."""
    rows: dict[object, int] = {}
    for sample in samples:
        rows.setdefault(sample.image, len(rows))
    drawn = np.stack([np.asarray(draw(content, image_size)) for content in rows])  # type: ignore[arg-type]
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1.0, rows


def collate(samples: Sequence[Sample], tokenizer: PreTrainedTokenizerFast, rows: dict[object, int] | None) -> Tokens:
    """Tokenises and pads; ``rows`` tells where each image's features will stand (None: no images)."""

    def padded(ragged: list[list[int]], fill: int) -> Tensor:
        width = max(len(row) for row in ragged)
        return torch.tensor([row + [fill] * (width - len(row)) for row in ragged])

    prompts = tokenizer([s.prompt for s in samples]).input_ids
    eos = tokenizer.eos_token_id
    answers = [[*ids, eos] for ids in tokenizer([s.answer for s in samples], add_special_tokens=False).input_ids]
    return Tokens(
        ids=padded(prompts, tokenizer.pad_token_id),
        mask=padded([[1] * len(row) for row in prompts], 0),
        labels=padded(answers, -100),
        owner=None if rows is None else torch.tensor([rows[s.image] for s in samples]),
    )


def to_device(tokens: Tokens, device: torch.device) -> Tokens:
    """The micro-batch on ``device``."""
    owner = None if tokens.owner is None else tokens.owner.to(device)
    return Tokens(tokens.ids.to(device), tokens.mask.to(device), tokens.labels.to(device), owner)


def micro_batches(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Long answers, long prompts and short ones apart, so that little is spent on padding."""
    buckets: tuple[list[Sample], ...] = ([], [], [])
    for sample in samples:
        long_prompt = len(sample.prompt) > (60 if sample.image is not None else 110)
        buckets[1 if long_prompt else 0 if len(sample.answer) > 24 else 2].append(sample)
    return [bucket for bucket in buckets if bucket]


def answer_logits(model: Florence2ForConditionalGeneration, tokens: Tokens, features: Tensor | None) -> Tensor:
    """Logits (B, U, vocabulary) of the answers; ``features`` (N, V, D) stand between ``<s>`` and the prompt."""
    embeds, mask = model.get_input_embeddings()(tokens.ids), tokens.mask  # (B, T, D), (B, T)
    if features is not None and tokens.owner is not None:
        own = features[tokens.owner]
        embeds = torch.cat([embeds[:, :1], own, embeds[:, 1:]], dim=1)
        mask = torch.cat([mask[:, :1], mask.new_ones(own.shape[:2]), mask[:, 1:]], dim=1)
    text = model.config.text_config
    shifted = torch.cat(
        [tokens.labels.new_full((len(embeds), 1), text.decoder_start_token_id), tokens.labels[:, :-1]], 1
    )
    shifted = shifted.masked_fill(shifted == -100, text.pad_token_id)
    return model(inputs_embeds=embeds, attention_mask=mask, decoder_input_ids=shifted, use_cache=False).logits


def answer_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the answer's token losses (B,) and its number of tokens (B,)."""
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    return losses.sum(1), (labels != -100).sum(1)
