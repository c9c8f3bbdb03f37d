"""What pretraining achieved: held-out loss per objective beside two baselines that see less."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pandas as pd
import torch
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

from pituning.pretraining.config import PretrainConfig
from pituning.pretraining.evaluation import evaluate
from pituning.pretraining.objectives import mixed_samples
from pituning.pretraining.stream import heldout_groups


def unigram_losses(
    tokenizer: PreTrainedTokenizerFast, config: PretrainConfig, *, draws: int = 3000
) -> dict[str, float]:
    """Loss per answer token in nats when tokens are drawn from the objective's own frequencies (add-one smoothed)."""
    rng = Random(f"{config.seed}/unigram")
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for _ in range(draws):
        for sample in mixed_samples(rng, 1, 4):
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


def heldout_table(backbone: Path, text_only: Path | None, config: PretrainConfig) -> pd.DataFrame:
    """Per objective: loss per token, exact answers and right words (%) of the backbone, and the two baselines.

    Args:
        backbone: a finished checkpoint.
        text_only: a checkpoint of the same recipe with ``blind=True``; None leaves its columns out.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(backbone)
    ours = evaluate(_load(backbone), tokenizer, config)
    unigram = unigram_losses(tokenizer, config)
    blind = evaluate(_load(text_only), tokenizer, config, with_images=False) if text_only is not None else {}
    rows = []
    for name, values in ours.items():
        row: dict[str, object] = {"objective": name, "loss": values["loss"]}
        if name in blind:
            row["text_only_loss"] = blind[name]["loss"]
        row |= {"unigram_loss": unigram[name], "exact": 100 * values["exact"], "words": 100 * values["words"]}
        if name in blind:
            row["text_only_words"] = 100 * blind[name]["words"]
        rows.append(row)
    return pd.DataFrame(rows).round(4)


def _load(directory: Path) -> Florence2ForConditionalGeneration:
    model = Florence2ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32, local_files_only=True)
    return model.eval()
