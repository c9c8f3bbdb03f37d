"""What the speed benchmarks run on: the embedded backbone's architecture with random weights, examples, a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from pituning.backbones.encoded import EncodedExamples, TokenRows
from pituning.backbones.florence2 import Florence2Backbone
from pituning.pretraining.architecture import build_model, train_tokenizer
from pituning.progress import Reporter

TEXT = "which digit is it the one left of a small red round shape above large blue square tile near grass"
WORDS = TEXT.split(" ")
IMAGE_TOKENS = 37


def make_backbone(*, d_model: int = 128, layers: int = 3, seed: int = 0) -> Florence2Backbone:
    """A backbone of the embedded one's size; speed does not depend on what the weights are."""
    tokenizer = train_tokenizer([TEXT] * 2, vocab_size=400)
    model = build_model(tokenizer, d_model=d_model, layers=layers, vision_dims=(d_model // 2, d_model), seed=seed)
    return Florence2Backbone(model, tokenizer, name="random", fingerprint="0" * 64, image_size=48)


def make_examples(backbone: Florence2Backbone, count: int, *, words: int = 6, seed: int = 0) -> EncodedExamples:
    """Examples with random image features, prompts of ``words`` words and an answer of one word."""
    generator = np.random.default_rng(seed)
    prompts = [" ".join(generator.choice(WORDS, words)) for _ in range(count)]
    answers = [str(word) for word in generator.choice(WORDS, count)]
    text = backbone.model.config.text_config
    head = [text.bos_token_id] + [backbone.image_token] * IMAGE_TOKENS
    return EncodedExamples(
        prompts=TokenRows([*head, *ids, backbone.end_token] for ids in backbone.token_ids(prompts)),
        answers=TokenRows([*ids, backbone.end_token] for ids in backbone.token_ids(answers)),
        features=torch.randn(count, IMAGE_TOKENS, text.d_model, generator=torch.Generator().manual_seed(seed)),
        backbone=backbone,
    )


def seconds(work: Mapping[str, Callable[[], object]], *, rounds: int, reporter: Reporter) -> dict[str, float]:
    """The best processor time of each piece of work; they take turns, and the reporter is told of every round.

    Processor time of one thread, because other work on the machine disturbs it little: a second thread that waits for
    a core would be counted too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for function in work.values():
            function()
        best = dict.fromkeys(work, float("inf"))
        for _ in range(rounds):
            for name, function in work.items():
                begin = time.process_time()
                function()
                best[name] = min(best[name], time.process_time() - begin)
            reporter.advance()
        return best
    finally:
        torch.set_num_threads(threads)
