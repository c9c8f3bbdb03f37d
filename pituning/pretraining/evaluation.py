"""Held-out loss and exact match per objective."""

from __future__ import annotations

from collections import defaultdict

import torch
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

from pituning.pretraining.batches import answer_logits, answer_losses, collate, draw_unique, micro_batches, to_device
from pituning.pretraining.config import PretrainConfig
from pituning.pretraining.stream import heldout_groups


@torch.no_grad()
def evaluate(
    model: Florence2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    config: PretrainConfig,
    *,
    per_objective: int = 200,
    with_images: bool = True,
) -> dict[str, dict[str, float]]:
    """Held-out figures per objective; ``with_images=False`` blinds the model.

    Returns:
        ``loss`` per answer token (nats), ``exact`` share of answers that are right as a whole, ``words`` share of
        answer tokens that are right (the end of the answer left out; of a check, the share of right verdicts), all
        with gold tokens before (greedy); ``count`` of samples.
    """
    model.eval()
    device = next(model.parameters()).device
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for group in heldout_groups(config, per_objective):
        for start in range(0, len(group), 100):
            part = group[start : start + 100]
            features, owners = None, None
            if part[0].image is not None and with_images:
                pixels, owners = draw_unique(part, config.image_size)
                features = model.get_image_features(pixels.to(device)).pooler_output
            for batch in micro_batches(part):
                tokens = to_device(collate(batch, tokenizer, owners), device)
                logits = answer_logits(model, tokens, features)
                losses, lengths = answer_losses(logits, tokens.labels)
                # Right when every token is the likeliest given the gold ones before it: what greedy decoding yields.
                hits = logits.argmax(-1) == tokens.labels  # (B, U)
                words = (tokens.labels != -100) & (tokens.labels != tokenizer.eos_token_id)
                exact = (hits | (tokens.labels == -100)).all(1)
                right = (hits & words).sum(1)
                figures = torch.stack([losses, lengths, exact, right, words.sum(1)], 1).tolist()
                for sample, row in zip(batch, figures, strict=True):
                    rows[sample.objective].append(tuple(row))
    table = {}
    for name, task_rows in sorted(rows.items()):
        loss, length, exact_, right_, words_ = (sum(column) for column in zip(*task_rows, strict=True))
        count = len(task_rows)
        table[name] = {"loss": loss / length, "exact": exact_ / count, "words": right_ / words_, "count": count}
    return table
