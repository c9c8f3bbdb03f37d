"""Scores of predicted answers, per example and in all, and the score of guessing. Torch-free."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pituning.errors import BadInput
from pituning.tasks.base import Example, Metric, Task

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


def _exact(prediction: str, answer: str) -> float:
    return float(prediction.strip().lower() == answer.strip().lower())


def _box_hit(prediction: str, answer: str) -> float:
    first, second = parse_box(prediction), parse_box(answer)
    return float(first is not None and second is not None and box_iou(first, second) >= BOX_THRESHOLD)


_SCORERS = {"accuracy": _exact, "box_iou": _box_hit, "token_f1": token_f1}


def per_example(metric: Metric, predictions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """One score from 0 to 1 for each example, shape (N,), float64.

    Args:
        metric: ``accuracy`` (exact match but for case and outer blanks), ``box_iou`` (1 when the intersection over
            union is at least 0.5; an answer that is not a box scores 0) or ``token_f1``.
    """
    if len(predictions) != len(answers):
        raise BadInput(f"{len(predictions)} predictions for {len(answers)} answers; give one prediction per answer")
    if metric not in _SCORERS:
        raise BadInput(f"metric {metric!r} is unknown; choose {', '.join(_SCORERS)}", field="metric")
    scorer = _SCORERS[metric]
    pairs = zip(predictions, answers, strict=True)
    return np.fromiter((scorer(p, a) for p, a in pairs), dtype=np.float64, count=len(answers))


def score(metric: Metric, predictions: Sequence[str], answers: Sequence[str]) -> float:
    """The mean of `per_example` in points, 0 to 100."""
    if not answers:
        raise BadInput("there are no answers to score; give at least one example")
    return 100.0 * float(per_example(metric, predictions, answers).mean())


def _answers(examples: Sequence[Example]) -> list[str]:
    return [examples[i].answer for i in range(len(examples))]


def chance(task: Task) -> float:
    """The expected score, 0 to 100, of answering each test question with the answer of a random training example.

    Exact for accuracy; estimated from 2,000 seeded pairs for the other metrics.
    """
    train, test = _answers(task.split("train")), _answers(task.split("test"))
    if not train or not test:
        return 0.0
    if task.metric == "accuracy":
        guessed, wanted = (Counter(a.strip().lower() for a in answers) for answers in (train, test))
        return 100.0 * sum(n * wanted[a] for a, n in guessed.items()) / (len(train) * len(test))
    generator = np.random.default_rng(0)
    pairs = generator.integers([len(train), len(test)], size=(CHANCE_PAIRS, 2))
    return score(task.metric, [train[int(i)] for i in pairs[:, 0]], [test[int(j)] for j in pairs[:, 1]])
