"""Embeddings for tokens that pretraining never showed."""

from __future__ import annotations

from random import Random

import torch
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

from pituning.pretraining.config import PretrainConfig
from pituning.pretraining.objectives import mixed_samples

SEEN_DRAWS = 3000
"""Draws from the mixture after which a token that never came counts as unseen."""


@torch.no_grad()
def spread_unseen_embeddings(
    model: Florence2ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig
) -> int:
    """Draws the embeddings of tokens that pretraining never showed from the normal distribution of the others.

    Tied to the output layer, they only ever learned to be improbable, all alike; new label words that are spelt with
    them could not be told apart. The same is done when a vocabulary grows (Hewitt 2021, "Initializing new word
    embeddings for pretrained language models"). Returns how many tokens these are.
    """
    seen: set[int] = set()
    rng = Random(f"{config.seed}/seen")
    for _ in range(SEEN_DRAWS):
        for sample in mixed_samples(rng, 1, 4):
            seen.update(tokenizer(sample.prompt).input_ids, tokenizer(sample.answer).input_ids)
    weight = model.get_input_embeddings().weight
    unseen = sorted(set(range(len(weight))) - seen - set(tokenizer.all_special_ids))
    known = weight[sorted(seen)].double()
    centred = known - known.mean(0)
    covariance = centred.T @ centred / len(known)
    values, vectors = torch.linalg.eigh(covariance)
    draws = torch.randn(
        len(unseen), len(values), generator=torch.Generator().manual_seed(config.seed), dtype=torch.float64
    )
    drawn = known.mean(0) + (draws.to(weight.device) * values.clamp(min=0).sqrt()) @ vectors.T
    weight[unseen] = drawn.to(weight.dtype)
    return len(unseen)
