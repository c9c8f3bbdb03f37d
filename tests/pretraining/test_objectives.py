"""The pretraining mixture keeps away from what is tested downstream."""

from __future__ import annotations

import re
from random import Random

from pituning.pretraining.objectives import image_samples, text_samples
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.tasks.mini.world import SPLIT_BUCKETS, bucket


def _samples(n: int):
    rng = Random(5)
    for _ in range(n):
        yield from image_samples(rng, "pretrain")
        yield from text_samples(rng, 4)


def test_no_label_word_and_no_instruction_of_a_downstream_task_is_used() -> None:
    seen = " ".join(f"{s.prompt} {s.answer}" for s in _samples(1500))
    seen = re.sub(r"<loc_\d+>", " ", seen)
    words = set(re.findall(r"[a-z0-9-]+", seen))
    for name in TASK_NAMES:
        task = mini_task(name)
        assert task.instruction not in seen
        assert not set(task.labels or ()) & words, name


def test_images_come_from_pretraining_buckets_only() -> None:
    for sample in _samples(100):
        if sample.image is not None:
            assert bucket(sample.image) in SPLIT_BUCKETS["pretrain"]


def test_answers_to_counts_are_right() -> None:
    numbers = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4}
    checked = 0
    for sample in _samples(800):
        if sample.objective == "count":
            value = sample.prompt.split()[2]
            things = sample.image.things
            exact = sum(value in (t.colour, t.size) for t in things)
            shapes = sum(value in (f"{t.shape}s", f"{t.shape}es") for t in things)
            assert numbers[sample.answer] == exact + shapes
            checked += 1
    assert checked > 20
