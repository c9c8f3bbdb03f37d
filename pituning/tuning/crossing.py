"""What methods say of the shots of a very small table, which are tested as well: each after a training without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pituning.errors import RunFailed
from pituning.progress import Reporter, Silent
from pituning.training.spare import each as each_of
from pituning.tuning.learners import Mixed, MixtureLearner
from pituning.tuning.selection import Choice, Fold, OnlySteps

if TYPE_CHECKING:
    from pituning.tuning.trial import Trial


@dataclass(frozen=True)
class Crossed:
    """What a method says of the N shots by cross-validation.

    Args:
        predictions: (N,) answers.
        losses: (N,) −log p(y | x) / √length of mixtures; zeros of others.
        scores: (N, L) log probability of every label, of mixtures on closed tasks; else N empty lists.
    """

    predictions: list[str]
    losses: list[float]
    scores: list[list[float]]


@dataclass
class Outcome:
    """A method that has been trained and tested.

    Args:
        state: of what π-tuning may choose; what else there is, is never exported.
        predictions: to the test examples.
        crossed: of the shots, where these are tested as well.
    """

    state: Mixed | None
    predictions: list[str]
    crossed: Crossed | None = None

    @property
    def answers(self) -> list[str]:
        """To all that is tested."""
        return self.predictions if self.crossed is None else [*self.predictions, *self.crossed.predictions]

    def to_json(self) -> dict[str, Any]:
        """All but the state."""
        crossed = {} if self.crossed is None else {"crossed": vars(self.crossed)}
        return {"predictions": self.predictions, **crossed}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], state: Mixed | None) -> Outcome:
        crossed = Crossed(**value["crossed"]) if "crossed" in value else None
        return cls(state, value["predictions"], crossed)


def cross(trial: Trial, method: str, choice: Choice | None, state: Any, reporter: Reporter) -> Crossed | None:
    """Trains a method as was chosen without each of `Trial.parts` in turn, and asks it about that part.

    Donors, rate and steps were chosen with all shots in view, and so was what π-tuning is among the candidates: what
    was chosen is flattered a little on the shots, against what chooses nothing more.

    Args:
        choice: of the method; the backbone alone has none.
        state: of a method that is not trained, which is the same without any shot.

    Returns:
        None where the shots are not tested.

    Raises:
        RunFailed: a training diverges, or its losses are no finite numbers.
    """
    if not trial.parts:
        return None
    if choice is None:
        return Crossed(trial.backbone.predict(trial.shots, trial.task), [], [])
    reporter.phase(f"cross-validate {method}", max(1, choice.steps) * len(trial.parts))
    count = len(trial.examples)
    predictions, losses = [""] * count, [0.0] * count
    scores: list[list[float]] = [[]] * count
    works = [partial(_without, trial, method, choice, state, part) for part in trial.parts]
    for part, found in zip(trial.parts, each_of(works, reporter), strict=True):
        for row, answer, loss, score in zip(part.held_out.tolist(), *found, strict=True):
            predictions[row], losses[row], scores[row] = answer, loss, score
    if not np.isfinite([*losses, *(value for each in scores for value in each)]).all():
        raise RunFailed(f"{method}: cross-validation of the shots gave no finite numbers; choose smaller rates")
    return Crossed(predictions, losses, scores)


def _without(
    trial: Trial, method: str, choice: Choice, state: Any, part: Fold, reporter: Reporter
) -> tuple[list[str], list[float], list[list[float]]]:
    """What a method says of a part of the shots after a training without it: answers, losses and scores of labels."""
    learner, labels = trial.methods.learner(method), trial.task.labels
    steps = OnlySteps(reporter)
    if choice.steps:
        state = None  # one state at a time: that of the whole backbone is as large as it
        state = trial.train(method, choice, steps, shots=trial.shots.subset(part.train))
    else:
        steps.advance()
    held_out, count = trial.shots.subset(part.held_out), len(part.held_out)
    answers = learner.predict(state, held_out, trial.task, Silent())
    losses: list[float] = [0.0] * count
    scores: list[list[float]] = [[]] * count
    if isinstance(learner, MixtureLearner):
        losses = learner.losses(state, held_out).tolist()
        if labels is not None:
            scores = learner.label_scores(state, held_out, labels, Silent()).tolist()
    return answers, losses, scores
