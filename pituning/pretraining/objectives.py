"""The pretraining mixture: seeing and reading (level 0), then mostly comparing (level 1), reading closely (2), at last
pairs of sentences and verdicts in several words (3).

None of it uses the label words or the formats of the 20 downstream tasks (a test holds the two vocabularies apart).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from pituning.pretraining import checks, pairs, pictures, sentences
from pituning.pretraining.sample import Sample
from pituning.tasks.mini.world import Scene, draw_in_split, random_scene

SceneObjective = Callable[[Scene, Random, float], Sample | None]
TextObjective = Callable[[Random, float], Sample | None]
F = TypeVar("F")

LAST = 3.0
PLACES_KNOWN = 2 / 3
"""From this level on more is asked about how two things stand to each other: it pays once things are found at all."""

# Weight at level 0, weight at level 1, factor from PLACES_KNOWN on, objective.
SCENE_OBJECTIVES: tuple[tuple[float, float, float, SceneObjective], ...] = (
    (1.6, 0.7, 1, pictures.caption),
    (1.2, 1.0, 1, pictures.detect),
    (1.0, 0.5, 1, pictures.region),
    (1.6, 0.7, 1, pictures.attribute),
    (1.0, 0.6, 1, pictures.extreme),
    (0.6, 0.9, 1, pictures.count),
    (0.8, 0.7, 1, pictures.neighbour),
    (0.8, 0.8, 3, checks.picture_relation),
    (0.8, 3.4, 1, checks.picture_check),
    (0.8, 0.6, 1.5, checks.picture_reason),
    (0.1, 0.2, 1, pictures.picture_words),
)
TEXT_OBJECTIVES: tuple[tuple[float, float, float, TextObjective], ...] = (
    (1.2, 3.8, 1, checks.text_check),
    (1.6, 1.4, 1, checks.statement_check),
    (1.2, 0.8, 1.5, checks.text_reason),
    (0.8, 0.8, 2, checks.text_relation),
    (1.8, 0.9, 1, sentences.text_question),
    (1.0, 0.4, 1, sentences.rewrite),
    (0.9, 0.7, 1, sentences.infill),
    (0.6, 0.4, 1, sentences.feeling),
)
READING_OBJECTIVES: tuple[tuple[float, TextObjective], ...] = (
    (3.0, checks.text_check),
    (1.0, checks.text_reason),
    (0.4, checks.text_relation),
    (1.4, sentences.text_question),
    (1.2, sentences.said_of),
    (0.2, sentences.rewrite),
    (0.7, sentences.infill),
    (0.3, sentences.feeling),
)
"""Level 2. What is said of which thing is what texts are misread in, so that is asked for outright too."""

RELATING_OBJECTIVES: tuple[tuple[float, TextObjective], ...] = (
    (4.0, pairs.pair),
    (1.4, pairs.told),
    (3.4, checks.text_check),
    (1.4, checks.statement_check),
    (0.6, checks.text_reason),
    (0.3, checks.text_relation),
    (0.7, sentences.text_question),
    (0.4, sentences.said_of),
    (0.3, sentences.rewrite),
    (0.8, sentences.infill),
    (0.7, sentences.feeling),
)
"""Level 3. Two sentences are compared with each other, and each skill of comparing is asked for in other words."""


def _draw(rng: Random, objectives: Sequence[tuple[float, float, float, F]], level: float) -> F:
    late_share = min(level, 1.0)
    weights = [
        ((1 - late_share) * early + late_share * late) * (factor if level >= PLACES_KNOWN else 1)
        for early, late, factor, _ in objectives
    ]
    return rng.choices([objective[-1] for objective in objectives], weights)[0]


def scene_samples(rng: Random, split: str, prompts: int, level: float = 1.0) -> list[Sample]:
    """One scene of the split's own buckets and ``prompts`` things to do with it."""
    scene = draw_in_split(random_scene, rng, split)
    samples: list[Sample] = []
    while len(samples) < prompts:
        made = _draw(rng, SCENE_OBJECTIVES, level)(scene, rng, level)
        if made is not None:
            samples.append(Sample(made.objective, made.prompt, made.answer, scene))
    return samples


def text_samples(rng: Random, count: int, level: float = 1.0) -> list[Sample]:
    """Samples without an image."""
    samples: list[Sample] = []
    while len(samples) < count:
        if level > 1:
            mixture = RELATING_OBJECTIVES if level > 2 else READING_OBJECTIVES
            (make,) = rng.choices([make for _, make in mixture], [weight for weight, _ in mixture])
            made = make(rng, level if level > 2 else 1.0)
        else:
            made = _draw(rng, TEXT_OBJECTIVES, level)(rng, level)
        if made is not None:
            samples.append(made)
    return samples


def mixed_samples(rng: Random, images: int, texts: int) -> list[Sample]:
    """Samples of every objective of the curriculum's later half: for counting what pretraining shows."""
    level = rng.choice((1.0, LAST))
    return [s for _ in range(images) for s in image_samples(rng, "pretrain", level=level)] + text_samples(
        rng, texts, level
    )


def image_samples(rng: Random, split: str, prompts: int = 2, level: float = 1.0) -> list[Sample]:
    """Samples that share one image."""
    kind = rng.random()
    if kind < 0.72:
        return scene_samples(rng, split, prompts, level)
    if kind < 0.84:
        return pictures.parts_samples(rng, split, 2)
    if kind < 0.93:
        return pictures.glyph_samples(rng, split)
    return pictures.tile_samples(rng, split, 2)
