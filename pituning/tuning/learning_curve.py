"""What fewer shots would have given: whether more of them are worth their labelling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pituning.progress import Reporter
from pituning.tasks.base import OPEN_ANSWER_CLASSES
from pituning.training.spare import each
from pituning.tuning.config import curve_shots
from pituning.tuning.evaluation import Scores
from pituning.tuning.selection import Choice
from pituning.tuning.trial import Trial


def learning_curve(
    trial: Trial, method: str, choice: Choice, predictions: Sequence[str], reporter: Reporter
) -> list[dict[str, Any]]:
    """The score after training on 1, 2, 4 and 8 of the shots of each class, up to all of them.

    The fewer are among the more. Donors, learning rate and steps are those that all shots chose: choosing anew each
    time would cost as much as that many tunings, and few shots choose badly. So the curve shows what the examples
    themselves are worth; it flatters the few a little.

    Args:
        predictions: of the method after all shots, for the test examples: with their score the curve ends. Shots that
            are tested as well have no part in it.

    Returns:
        ``shots``, ``score``, ``low`` and ``high`` (95 % over test examples) of each.
    """
    own = Scores(trial.task, trial.test, seed=trial.config.seed)
    own.add("pi", predictions)
    points = [(count, str(count)) for count in curve_shots(trial.config.shots)]
    works = [partial(_answers_after, trial, method, choice, count) for count, _ in points]
    for (_, name), answers in zip(points, each(works, reporter), strict=True):
        own.add(name, answers)
    points.append((trial.config.shots, "pi"))
    return [
        {"shots": count, "score": own.score(name), **dict(zip(("low", "high"), own.interval(name), strict=True))}
        for count, name in points
    ]


def _answers_after(trial: Trial, method: str, choice: Choice, count: int, reporter: Reporter) -> list[str]:
    """What a method says of the test examples after a training on so many shots of each class."""
    rows = first_of_each(trial.answers, count, closed=trial.task.labels is not None)
    state = trial.train(method, choice, reporter, shots=trial.shots.subset(rows), name=f"curve-{count}")
    reporter.phase(f"test curve-{count}", len(trial.test))
    return trial.answer(method, state, reporter)


def first_of_each(answers: Sequence[str], count: int, *, closed: bool) -> list[int]:
    """The places of the first ``count`` shots of each class; of open answers the first four times as many."""
    if not closed:
        return list(range(min(len(answers), count * OPEN_ANSWER_CLASSES)))
    seen: dict[str, int] = {}
    rows = []
    for place, answer in enumerate(answers):
        seen[answer] = seen.get(answer, 0) + 1
        if seen[answer] <= count:
            rows.append(place)
    return rows
