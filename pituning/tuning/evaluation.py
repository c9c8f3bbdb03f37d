"""Scores on the test split, with what is needed to judge them: intervals, paired gains, classes, examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pituning.tasks.base import SPLITS, Example, Task
from pituning.tasks.metrics import per_example
from pituning.tasks.pooling import crossed_count, others, scored_count

RESAMPLES = 2000
SHOWN = 6
"""How many right and how many wrong answers are shown."""


SUITE = "mini"
"""`Task.source` of the suite's tasks."""


def scored_examples(task: Task, most: int) -> list[Example]:
    """At most ``most`` test examples, drawn with a fixed seed, in the split's order."""
    split = task.split("test")
    if len(split) <= most:
        return [split[i] for i in range(len(split))]
    chosen = np.sort(np.random.default_rng(0).permutation(len(split))[:most])
    return [split[int(i)] for i in chosen]


def rows_to_score(task: Task, most: int, shots: Sequence[Example]) -> list[Example]:
    """What a tuning is scored on: `scored_examples`, and of a small table other rows that it does not learn from."""
    test = scored_examples(task, most)
    sizes = {split: len(task.split(split)) for split in SPLITS}
    count = scored_count(sizes, task.about.get("dealt") or (), shots=len(shots), most=most)
    return [*test, *others(task, shots, count - len(test))] if count > len(test) else test


def is_crossed(task: Task, most: int, shots: Sequence[Example]) -> bool:
    """Whether the shots are tested as well, each by what was trained without it."""
    least = len(shots) if task.labels is None else min(Counter(shot.answer for shot in shots).values())
    sizes = {split: len(task.split(split)) for split in SPLITS}
    dealt = task.about.get("dealt") or ()
    return crossed_count(sizes, dealt, metric=task.metric, shots=len(shots), least=least, most=most) > 0


def first_or_drawn(task: Task, most: int) -> list[Example]:
    """At most ``most`` test examples as studies take them: of the mini suite, whose order is at random, the first ones,
    of others `scored_examples`, since tables are often sorted by their answers."""
    return list(task.split("test")[:most]) if task.source == SUITE else scored_examples(task, most)


class Scores:
    """Scores of several methods on the same test examples, resampled together so that differences are paired.

    Args:
        seed: of the bootstrap over examples.
    """

    def __init__(self, task: Task, examples: Sequence[Example], *, seed: int = 0):
        self.task = task
        self.answers = [example.answer for example in examples]
        self.gold = [example.gold for example in examples]
        self.rows: dict[str, np.ndarray] = {}  # (N,) points of each example
        count = len(examples)
        weights = np.random.default_rng([seed, count]).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
        self._weights = weights / count  # (R, N)

    def add(self, method: str, predictions: Sequence[str]) -> float:
        """Scores a method; points of the metric, 0 to 100."""
        self.rows[method] = 100 * per_example(self.task.metric, predictions, self.gold)
        return self.score(method)

    def score(self, method: str) -> float:
        return round(float(self.rows[method].mean()), 4)

    def interval(self, method: str) -> list[float]:
        """95 % bootstrap interval of the score over test examples."""
        return self._percentiles(self.rows[method])

    def gain(self, method: str, over: str) -> dict[str, float]:
        """The difference of two methods with its paired 95 % interval over test examples."""
        difference = self.rows[method] - self.rows[over]
        low, high = self._percentiles(difference)
        return {"mean": round(float(difference.mean()), 4), "low": low, "high": high}

    def _percentiles(self, rows: np.ndarray) -> list[float]:
        low, high = np.percentile(self._weights @ rows, [2.5, 97.5])
        return [round(float(low), 4), round(float(high), 4)]

    def per_class(self, method: str) -> dict[str, float]:
        """The score of each class that the test examples have; empty for open answers."""
        if self.task.labels is None:
            return {}
        answers = np.array(self.answers)
        rows = self.rows[method]
        return {
            label: round(float(rows[answers == label].mean()), 4)
            for label in self.task.labels
            if (answers == label).any()
        }


def shown_predictions(
    examples: Sequence[Example], predictions: Sequence[str], scores: np.ndarray, losses: np.ndarray
) -> list[dict[str, Any]]:
    """The surest right answers, then the worst wrong ones.

    Args:
        scores: (N,) points of each example.
        losses: (N,) −log p of the true answer.
    """
    order = np.argsort(losses, kind="stable")
    best = [int(i) for i in order if scores[i] >= 50][:SHOWN]
    worst = [int(i) for i in order[::-1] if scores[i] < 50][:SHOWN]
    return [_shown(examples[i], predictions[i], float(scores[i]), float(losses[i])) for i in (*best, *worst)]


def _shown(example: Example, prediction: str, score: float, loss: float) -> dict[str, Any]:
    return {
        "uid": example.uid,
        "text": example.text,
        "answer": example.answer,
        "prediction": prediction,
        "score": round(score, 2),
        "loss": round(loss, 4),
    }


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Values with four decimals, for a result that people read."""
    return {name: round(float(value), 4) for name, value in values.items()}
