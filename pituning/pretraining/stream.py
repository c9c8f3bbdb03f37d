"""The endless seeded stream of samples: those of a step, those held out, and the tokenizer made from them."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from transformers import PreTrainedTokenizerFast

from pituning.pretraining.architecture import train_tokenizer
from pituning.pretraining.config import (
    READING_IMAGES,
    READING_TEXTS,
    RELATING_IMAGES,
    RELATING_TEXTS,
    PretrainConfig,
    curriculum_level,
)
from pituning.pretraining.objectives import LAST, image_samples, text_samples
from pituning.pretraining.sample import Sample
from pituning.pretraining.sentences import pseudo_word


def corpus_tokenizer(config: PretrainConfig) -> PreTrainedTokenizerFast:
    """Trained on pretraining text and made-up words alone: downstream label words are spelt in pieces."""
    rng = Random(config.seed)
    texts: list[str] = []
    for _ in range(4000):
        texts += [f"{s.prompt} {s.answer}" for s in text_samples(rng, 4) + image_samples(rng, "pretrain")]
    texts += [" ".join(pseudo_word(rng) for _ in range(6)) for _ in range(6000)]
    # Location tokens are added afterwards and must not be learned as text.
    return train_tokenizer((t.split("<loc")[0] for t in texts), vocab_size=config.vocab_size)


def step_samples(config: PretrainConfig, step: int) -> tuple[list[Sample], list[Sample]]:
    """The image samples and the text samples of one step."""
    rng = Random(f"{config.seed}/{step}")
    level = curriculum_level(config, step)
    images, texts = (
        (RELATING_IMAGES, RELATING_TEXTS)
        if step >= config.relating_begins
        else (READING_IMAGES, READING_TEXTS)
        if step >= config.steps
        else (config.images, config.texts)
    )
    seeing = 1.0 if level == 2 else level
    pictures = [sample for _ in range(images) for sample in image_samples(rng, "pretrain", level=seeing)]
    return pictures, text_samples(rng, texts, level)


def heldout_groups(config: PretrainConfig, per_objective: int) -> tuple[list[Sample], list[Sample]]:
    """Image and text samples from scenes that neither pretraining nor any task's split holds."""
    rng = Random(f"{config.seed}/heldout")
    counts: dict[str, int] = defaultdict(int)
    groups: tuple[list[Sample], list[Sample]] = ([], [])
    for group, make in (
        (groups[0], lambda: image_samples(rng, "heldout", level=rng.choice((1.0, LAST)))),
        (groups[1], lambda: text_samples(rng, 8, rng.choice((1.0, LAST)))),
    ):
        for _ in range(per_objective * 4):
            for sample in make():
                if counts[sample.objective] < per_objective:
                    counts[sample.objective] += 1
                    group.append(sample)
    return groups
