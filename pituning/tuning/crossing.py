"""What methods say of the shots of a very small table, which are tested as well: each after a training without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pituning.progress import Reporter, Silent
from pituning.tuning.learners import MixtureLearner
from pituning.tuning.selection import Choice, OnlySteps

if TYPE_CHECKING:
    from pituning.tuning.trial import Trial


@dataclass(frozen=True)
class Crossed:
    """What a method says of the N shots by cross-validation.

    Args:
        predictions: (N,) answers.
        losses: (N,) −log p(y | x) / √length; empty of the backbone alone.
        scores: (N, L) log probability of every label, of mixtures on closed tasks; else empty.
    """

    predictions: list[str]
    losses: list[float]
    scores: list[list[float]]

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Crossed | None:
        return None if value is None else cls(**value)


def cross(trial: Trial, method: str, choice: Choice | None, state: Any, reporter: Reporter) -> Crossed | None:
    """Trains a method as was chosen without each of `Trial.parts` in turn, and asks it about that part.

    Donors, rate and steps were chosen with all shots in view, for every method alike.

    Args:
        choice: of the method; the backbone alone has none.
        state: of a method that is not trained, which is the same without any shot.

    Returns:
        None where the shots are not tested.

    Raises:
        RunFailed: a training diverges.
    """
    if not trial.parts:
        return None
    if choice is None:
        return Crossed(trial.backbone.predict(trial.shots, trial.task), [], [])
    learner, labels = trial.methods.learner(method), trial.task.labels
    reporter.phase(f"cross-validate {method}", max(1, choice.steps) * len(trial.parts))
    steps, count = OnlySteps(reporter), len(trial.examples)
    predictions, losses = [""] * count, [0.0] * count
    scores: list[list[float]] = [[]] * count
    for part in trial.parts:
        if choice.steps:
            state = trial.train(method, choice, steps, shots=trial.shots.subset(part.train))
        held_out = trial.shots.subset(part.held_out)
        rows = part.held_out.tolist()
        found = zip(
            rows, learner.predict(state, held_out, trial.task, Silent()), learner.losses(state, held_out), strict=True
        )
        for row, answer, loss in found:
            predictions[row], losses[row] = answer, float(loss)
        if labels is not None and isinstance(learner, MixtureLearner):
            for row, each in zip(rows, learner.label_scores(state, held_out, labels, Silent()).tolist(), strict=True):
                scores[row] = each
    return Crossed(predictions, losses, scores)
