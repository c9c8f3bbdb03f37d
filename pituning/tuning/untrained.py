"""How often the backbone alone and guessing are wrong on held-out shots: what was tuned is weighed against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pituning.tuning.learners import losses_of
from pituning.tuning.selection import Fold, held_out_loss

if TYPE_CHECKING:
    from pituning.tuning.trial import Trial


def untrained_errors(trial: Trial) -> dict[str, float]:
    """Share of wrong answers of each of `UNTRAINED` to the shots that the folds hold out, mean over folds.

    Answers are counted, not probabilities: an untrained model says much else besides the labels, and is never sure.
    Where answers are open it is the backbone's `held_out_loss`.
    """
    return {
        "backbone": float(np.mean([_backbone_error(trial, fold) for fold in trial.folds])),
        **guess_errors(trial.answers, trial.folds),
    }


def guess_errors(answers: Sequence[str], folds: Sequence[Fold]) -> dict[str, float]:
    """The same of always giving the most frequent training answer, and of giving each as often as it comes up."""
    largest, chance = [], []
    for fold in folds:
        counts = Counter(answers[row] for row in fold.train)
        most = max(counts, key=lambda answer: (counts[answer], answer))
        held = [answers[row] for row in fold.held_out]
        largest.append(np.mean([answer != most for answer in held]))
        chance.append(np.mean([1 - counts[answer] / len(fold.train) for answer in held]))
    return {"largest": float(np.mean(largest)), "chance": float(np.mean(chance))}


def _backbone_error(trial: Trial, fold: Fold) -> float:
    held_out = trial.shots.subset(fold.held_out)
    if trial.task.labels is None:
        return held_out_loss(losses_of(trial.backbone, held_out))
    answers = trial.backbone.predict(held_out, trial.task)
    return float(np.mean([answer != trial.answers[row] for answer, row in zip(answers, fold.held_out, strict=True)]))
