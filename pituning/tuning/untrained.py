"""How well the backbone alone and guessing do on held-out shots: the guard weighs what was tuned against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pituning.backbones.certainty import label_scores
from pituning.tuning.learners import losses_of
from pituning.tuning.selection import Fold, held_out_loss

if TYPE_CHECKING:
    from pituning.tuning.trial import Trial


def untrained_losses(trial: Trial) -> dict[str, float]:
    """`held_out_loss` of each of `UNTRAINED`, mean over folds as for what is trained; empty without folds."""
    if not trial.folds:
        return {}
    lengths = np.array([len(answer) for answer in trial.shots.answers])
    backbone = [_backbone_loss(trial, fold, lengths[fold.held_out]) for fold in trial.folds]
    return {"backbone": float(np.mean(backbone)), **guess_losses(trial.answers, trial.folds, lengths)}


def guess_losses(answers: Sequence[str], folds: Sequence[Fold], lengths: np.ndarray) -> dict[str, float]:
    """`held_out_loss` of always giving the most frequent training answer, and of giving each as often as it comes up.

    Args:
        answers: of the N shots.
        lengths: (N,) tokens of each answer, by which log p is divided as for a model.
    """
    largest, chance = [], []
    for fold in folds:
        counts = Counter(answers[row] for row in fold.train)
        most, _ = max(counts.items(), key=lambda item: (item[1], item[0]))
        held = [answers[row] for row in fold.held_out]
        shares = np.array([counts[answer] for answer in held]) / len(fold.train)
        largest.append(_loss(np.array([float(answer == most) for answer in held]), lengths[fold.held_out]))
        chance.append(_loss(shares, lengths[fold.held_out]))
    return {"largest": float(np.mean(largest)), "chance": float(np.mean(chance))}


def _loss(probabilities: np.ndarray, lengths: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return held_out_loss(-np.log(probabilities) / np.sqrt(lengths))


def _backbone_loss(trial: Trial, fold: Fold, lengths: np.ndarray) -> float:
    """Of classes only their own probabilities count: an untrained model would also say much else, but is not let."""
    held_out, labels = trial.shots.subset(fold.held_out), trial.task.labels
    if labels is None:
        return held_out_loss(losses_of(trial.backbone, held_out))
    right = [labels.index(trial.answers[row]) for row in fold.held_out]
    scores = label_scores(trial.backbone, held_out, labels)
    return held_out_loss(-scores[np.arange(len(right)), right] / np.sqrt(lengths))
