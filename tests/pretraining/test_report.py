"""The figures on held-out samples, against a slow count of the same."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from random import Random

import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.pretraining import evaluation, report
from pituning.pretraining.config import PretrainConfig
from pituning.pretraining.sample import Sample

CONFIG = PretrainConfig()
SAMPLES = [
    Sample("check", "check each: one; two.", "true false"),
    Sample("check", "check: one.", "unknown"),
    Sample("rewrite", "rewrite: it is so.", "so it is"),
]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "heldout_groups", lambda config, n: ([], SAMPLES))


def test_losses_and_hits_are_those_of_one_sample_at_a_time(tiny_backbone: Backbone, few) -> None:
    tokenizer, model = tiny_backbone.tokenizer, tiny_backbone.model
    actual = evaluation.evaluate(model, tokenizer, CONFIG)
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 5)
    for sample in SAMPLES:
        ids = torch.tensor([tokenizer(sample.prompt).input_ids])
        answer = [*tokenizer(sample.answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        start = model.config.text_config.decoder_start_token_id
        with torch.no_grad():
            logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[start, *answer[:-1]]])).logits[0]
        losses = [-math.log(torch.softmax(row.double(), 0)[t].item()) for row, t in zip(logits, answer, strict=True)]
        hits = [int(row.argmax()) == t for row, t in zip(logits, answer, strict=True)]
        values = (sum(losses), len(answer), all(hits), sum(hits[:-1]), len(answer) - 1)
        sums[sample.objective] = [a + b for a, b in zip(sums[sample.objective], values, strict=True)]
    assert set(actual) == set(sums)
    for name, (loss, length, exact, right, words) in sums.items():
        count = sum(s.objective == name for s in SAMPLES)
        assert actual[name]["loss"] == pytest.approx(loss / length, rel=1e-4)
        assert actual[name]["exact"] == pytest.approx(exact / count)
        assert actual[name]["words"] == pytest.approx(right / words)


def test_unigram_losses_are_those_of_counted_tokens(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "heldout_groups", lambda config, n: ([], SAMPLES[:1]))
    monkeypatch.setattr(report, "mixed_samples", lambda rng, images, texts: [SAMPLES[rng.randrange(2)]])
    tokenizer = tiny_backbone.tokenizer
    actual = report.unigram_losses(tokenizer, CONFIG, draws=50)
    rng, seen = Random(f"{CONFIG.seed}/unigram"), Counter()

    def tokens(sample: Sample) -> list[int]:
        return [*tokenizer(sample.answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]

    for _ in range(50):
        seen.update(tokens(SAMPLES[rng.randrange(2)]))
    losses = [-math.log((seen[t] + 1) / (sum(seen.values()) + len(tokenizer))) for t in tokens(SAMPLES[0])]
    assert actual == {"check": pytest.approx(sum(losses) / len(losses))}
