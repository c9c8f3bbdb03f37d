"""What pretraining achieved: held-out loss per objective beside two baselines that see less."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import torch
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

from pituning.pretraining.objectives import image_samples, text_samples
from pituning.pretraining.recipe import PretrainConfig, evaluate, heldout_groups

Table = dict[str, dict[str, float]]


def unigram_losses(
    tokenizer: PreTrainedTokenizerFast, config: PretrainConfig, *, draws: int = 3000
) -> dict[str, float]:
    """Loss per answer token in nats when tokens are drawn from the objective's own frequencies (add-one smoothed)."""
    rng = Random(f"{config.seed}/unigram")
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for _ in range(draws):
        for sample in image_samples(rng, "pretrain") + text_samples(rng, 4):
            counts[sample.objective].update(_answer(tokenizer, sample.answer))
    losses: dict[str, list[float]] = defaultdict(list)
    for group in heldout_groups(config, 200):
        for sample in group:
            seen = counts[sample.objective]
            total = seen.total() + len(tokenizer)
            losses[sample.objective] += [-math.log((seen[t] + 1) / total) for t in _answer(tokenizer, sample.answer)]
    return {name: sum(values) / len(values) for name, values in losses.items()}


def _answer(tokenizer: PreTrainedTokenizerFast, answer: str) -> list[int]:
    return [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]


def heldout_table(backbone: Path, text_only: Path | None, config: PretrainConfig) -> Table:
    """Per objective: loss per token and exact match (%) of the backbone, and the losses of the two baselines.

    Args:
        backbone: a finished checkpoint.
        text_only: a checkpoint of the same recipe with ``blind=True``; None leaves that column out.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(backbone)
    ours = evaluate(_load(backbone), tokenizer, config)
    unigram = unigram_losses(tokenizer, config)
    blind = evaluate(_load(text_only), tokenizer, config, with_images=False) if text_only is not None else {}
    table: Table = {}
    for name, values in ours.items():
        table[name] = {"loss": values["loss"], "exact": 100 * values["exact"], "unigram_loss": unigram[name]}
        if name in blind:
            table[name] |= {"text_only_loss": blind[name]["loss"], "text_only_exact": 100 * blind[name]["exact"]}
    return table


def _load(directory: Path) -> Florence2ForConditionalGeneration:

    model = Florence2ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32, local_files_only=True)
    return model.eval()
