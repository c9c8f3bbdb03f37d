"""Scores of predicted answers, per example and in all, and the score of guessing. Torch-free."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pituning.errors import BadInput
from pituning.registry import Registry, load
from pituning.tasks.base import Example, Task

BOX_GRID = 48
"""Boxes are given on a grid of 48 x 48, as the tokens ``<loc_0>`` to ``<loc_47>``."""

BOX_THRESHOLD = 0.5
CHANCE_PAIRS = 2000

_BOX = re.compile(r"\s*<loc_(\d{1,2})>\s*<loc_(\d{1,2})>\s*<loc_(\d{1,2})>\s*<loc_(\d{1,2})>\s*")

Box = tuple[int, int, int, int]


def parse_box(answer: str) -> Box | None:
    """The box ``(x1, y1, x2, y2)`` in grid cells that an answer names, or None where it names none."""
    match = _BOX.fullmatch(answer)
    if match is None:
        return None
    x1, y1, x2, y2 = (int(cell) for cell in match.groups())
    if max(x1, y1, x2, y2) >= BOX_GRID or x2 < x1 or y2 < y1:
        return None
    return x1, y1, x2, y2


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes; the same box gives 1 even when it has no area."""
    if first == second:
        return 1.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


def token_f1(prediction: str, answer: str) -> float:
    """Multiset F1 of lower-cased words (SQuAD's F1 without its English article rule); two empty texts agree."""
    predicted, wanted = Counter(prediction.lower().split()), Counter(answer.lower().split())
    if not predicted and not wanted:
        return 1.0
    common = (predicted & wanted).total()
    return 2.0 * common / (predicted.total() + wanted.total())


def exact(prediction: str, answer: str) -> float:
    """1 when two answers are the same but for case and outer blanks, else 0."""
    return float(prediction.strip().lower() == answer.strip().lower())


def box_hit(prediction: str, answer: str) -> float:
    """1 when the answer is a box that overlaps the true one by half or more, else 0."""
    first, second = parse_box(prediction), parse_box(answer)
    return float(first is not None and second is not None and box_iou(first, second) >= BOX_THRESHOLD)


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """A way to score answers.

    Args:
        name: what programs call it; task cards hold it.
        label: what people read.
        help: one sentence for people.
        path: of its function, which takes a predicted and the true answer and gives 0 to 1.
        guessing: path of the function that takes the record, the training and the test answers, and gives the expected
            score, 0 to 100, of answering with a random training answer.
        longest_answer: tokens that an open answer may have, its end included; or the answer that takes most, where
            backbones write it with as many tokens as they need.
    """

    name: str
    label: str
    help: str
    path: str
    guessing: str = "pituning.tasks.metrics:guessing_by_pairs"
    longest_answer: int | str = 48


METRICS: Registry[MetricRecord] = Registry(
    "metric",
    [
        MetricRecord(
            name="accuracy",
            label="Accuracy",
            help="Share of answers that are right.",
            path="pituning.tasks.metrics:exact",
            guessing="pituning.tasks.metrics:guessing_by_counts",
        ),
        MetricRecord(
            name="box_iou",
            label="Boxes right",
            help="Share of boxes that overlap the true one by half or more (IoU ≥ 0.5).",
            path="pituning.tasks.metrics:box_hit",
            longest_answer="<loc_47>" * 4,
        ),
        MetricRecord(
            name="token_f1",
            label="Token F1",
            help="How many words of the answer are those of the true one, and the other way round.",
            path="pituning.tasks.metrics:token_f1",
        ),
    ],
    group="pituning.metrics",
)
"""docs/architecture.md tells how to add one."""


def per_example(metric: str, predictions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """One score from 0 to 1 for each example, shape (N,), float64.

    Args:
        metric: a name of `METRICS`.

    Raises:
        BadInput: the metric is unknown, or there is not one prediction for each answer.
    """
    if len(predictions) != len(answers):
        raise BadInput(f"{len(predictions)} predictions for {len(answers)} answers; give one prediction per answer")
    scorer = load(METRICS[metric].path)
    pairs = zip(predictions, answers, strict=True)
    return np.fromiter((scorer(p, a) for p, a in pairs), dtype=np.float64, count=len(answers))


def score(metric: str, predictions: Sequence[str], answers: Sequence[str]) -> float:
    """The mean of `per_example` in points, 0 to 100."""
    if not answers:
        raise BadInput("there are no answers to score; give at least one example")
    return 100.0 * float(per_example(metric, predictions, answers).mean())


def _answers(examples: Sequence[Example]) -> list[str]:
    return [examples[i].answer for i in range(len(examples))]


def chance(task: Task) -> float:
    """The expected score, 0 to 100, of answering each test question with the answer of a random training example."""
    train, test = _answers(task.split("train")), _answers(task.split("test"))
    if not train or not test:
        return 0.0
    record = METRICS[task.metric]
    return load(record.guessing)(record, train, test)


def largest_class(task: Task) -> float:
    """The score, 0 to 100, of always answering what most training examples answer."""
    train, test = _answers(task.split("train")), _answers(task.split("test"))
    if not train or not test:
        return 0.0
    most, _ = max(Counter(train).items(), key=lambda item: (item[1], item[0]))
    return score(task.metric, [most] * len(test), test)


@dataclass(frozen=True)
class Guessing:
    """What guessing scores, 0 to 100: it stands beside every score.

    Args:
        chance: of the answer of a random training example.
        largest: of always answering the largest class; None where answers are open.
    """

    chance: float
    largest: float | None

    def __str__(self) -> str:
        by_chance = f"guessing at random scores {self.chance:.1f}"
        return by_chance if self.largest is None else f"{by_chance}, always the largest class {self.largest:.1f}"

    def to_json(self) -> dict[str, float | None]:
        largest = None if self.largest is None else round(self.largest, 4)
        return {"chance": round(self.chance, 4), "largest": largest}


def guessing(task: Task) -> Guessing | None:
    """What guessing scores on a task; None where its examples are not here. The suite's is known beforehand."""
    if task.source == "mini" and task.name in _suite():
        return Guessing(*_suite()[task.name])
    if not len(task.split("train")) or not len(task.split("test")):
        return None
    return Guessing(chance(task), None if task.labels is None else largest_class(task))


@cache
def _suite() -> dict[str, tuple[float, float | None]]:
    """Drawing all examples of the suite to count their answers takes half a minute."""
    document = json.loads((Path(__file__).parent / "mini" / "guessing.json").read_text(encoding="utf-8"))
    return {name: (row["chance"], row["largest"]) for name, row in document.items()}


def guessing_by_counts(_metric: MetricRecord, train: Sequence[str], test: Sequence[str]) -> float:
    """`chance` where an answer is right or wrong by `exact`, without drawing any."""
    guessed, wanted = (Counter(a.strip().lower() for a in answers) for answers in (train, test))
    return 100.0 * sum(n * wanted[a] for a, n in guessed.items()) / (len(train) * len(test))


def guessing_by_pairs(metric: MetricRecord, train: Sequence[str], test: Sequence[str]) -> float:
    """`chance` estimated from 2,000 seeded pairs of a training and a test answer."""
    generator = np.random.default_rng(0)
    pairs = generator.integers([len(train), len(test)], size=(CHANCE_PAIRS, 2))
    return score(metric.name, [train[int(i)] for i in pairs[:, 0]], [test[int(j)] for j in pairs[:, 1]])
