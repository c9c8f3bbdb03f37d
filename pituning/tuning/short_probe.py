"""A short probe of a donor: what a few steps from its expert on half of the shots do for the other half.

It sees nothing but the shots, and takes a fraction of a training: 8 steps of 16 examples on half of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.encoded import EncodedExamples
from pituning.experts.model import ExpertModel
from pituning.training.config import TrainConfig
from pituning.training.single import train_expert
from pituning.tuning.learners import losses_of
from pituning.tuning.selection import held_out_loss

STEPS = 8
BATCH_SIZE = 16


@dataclass(frozen=True)
class ShortProbe:
    """How the held-out half of the shots fared.

    Args:
        loss: mean −log p(y | x) / √length; the smaller the better.
        wrong: mean of 1 − p, `held_out_loss`.
    """

    loss: float
    wrong: float


def halves(answers: Sequence[str], *, closed: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the shots that are trained on and of those held out, half of each class where answers are closed.

    Args:
        answers: of the N shots.
        closed: whether answers are classes; a class of one shot is trained on.
    """
    generator = np.random.default_rng([seed, 17])
    strata: dict[str, list[int]] = {}
    for index, answer in enumerate(answers):
        strata.setdefault(answer if closed else "", []).append(index)
    held: list[int] = []
    for rows in strata.values():
        held += [rows[int(i)] for i in generator.permutation(len(rows))[: len(rows) // 2]]
    kept = np.setdiff1d(np.arange(len(answers)), held)
    return kept, np.sort(np.array(held, dtype=np.int64))


def short_probe(
    model: ExpertModel, shots: EncodedExamples, split: tuple[np.ndarray, np.ndarray], start: Tensor, *,
    rate: float, seed: int,
) -> ShortProbe:  # fmt: skip
    """Trains a few steps from an expert on the first part of the shots and scores the second.

    Args:
        shots: prepared for the model.
        split: as `halves` gives.
        start: (P,) the donor's expert, or a new one.
        rate: the peak learning rate.

    Raises:
        RunFailed: the training diverged.
    """
    trained, held_out = split
    config = TrainConfig(steps=STEPS, batch_size=BATCH_SIZE, learning_rate=rate, warmup=1, seed=seed)
    values = train_expert(model, shots.subset(trained), config, start=start, announce=False).values
    with torch.no_grad(), model.using(values):
        losses = losses_of(model.backbone, shots.subset(held_out))
    return ShortProbe(loss=float(losses.mean()), wrong=held_out_loss(losses))
