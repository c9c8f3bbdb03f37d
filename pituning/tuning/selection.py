"""Learning rate and number of steps of each method, chosen by cross-validation on the shots and on nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pituning.backbones.encoded import EncodedExamples
from pituning.errors import RunFailed
from pituning.progress import Reporter, Silent
from pituning.training.config import TrainConfig
from pituning.tuning.learners import Enough, Learner

HELD_OUT = 0.25
LOOKS = 4
"""How often a training is looked at: after each quarter of its steps."""
FEW = 100
"""Below this many shots one split says too little; two are made."""


@dataclass(frozen=True)
class Fold:
    """Indices of the shots to train on and of those held out."""

    train: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What cross-validation found best for a method.

    Args:
        loss: mean held-out −log p / √length; None when the shots are too few to hold any out.
        curve: the held-out loss at each look, at the chosen rate.
    """

    learning_rate: float
    steps: int
    loss: float | None
    curve: Mapping[int, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "held_out_loss": None if self.loss is None else round(self.loss, 6),
            "curve": {str(step): round(value, 6) for step, value in self.curve.items() if math.isfinite(value)},
        }


def make_folds(answers: Sequence[str], *, closed: bool, count: int, seed: int) -> list[Fold]:
    """Splits of the shots, stratified by class where the answer space is closed; all classes stay in training.

    Args:
        answers: of the N shots.
        closed: whether answers are classes.
        count: how many splits; 0 for one, or two of fewer than 100 shots.

    Returns:
        ``count`` folds that each hold out about a quarter; none when no class can spare an example.
    """
    total = len(answers)
    count = count or (1 if total >= FEW else 2)
    strata: dict[str, list[int]] = {}
    for index, answer in enumerate(answers):
        strata.setdefault(answer if closed else "", []).append(index)
    folds = []
    for number in range(count):
        generator = np.random.default_rng([seed, 7, number])
        held: list[int] = []
        for rows in strata.values():
            spare = max(1, round(HELD_OUT * len(rows))) if len(rows) > 1 else 0
            held += [rows[int(i)] for i in generator.permutation(len(rows))[:spare]]
        if not held:
            return []
        kept = np.ones(total, dtype=bool)
        kept[held] = False
        folds.append(Fold(np.flatnonzero(kept), np.sort(np.array(held))))
    return folds


def look_every(steps: int) -> int:
    """Steps between two looks at a training."""
    return max(1, steps // LOOKS)


def choose(
    learner: Learner,
    encoded: EncodedExamples,
    folds: Sequence[Fold],
    rates: Sequence[float],
    config: TrainConfig,
    *,
    method: str,
    reporter: Reporter,
) -> Choice:
    """The learning rate and the number of steps with the smallest mean loss on held-out shots.

    Every rate is trained on every fold for ``config.steps``, and looked at after each quarter of them.

    Args:
        config: everything but the learning rate.

    Raises:
        RunFailed: when the training diverges at every rate.
    """
    if not folds:
        return Choice(
            learning_rate=sorted(rates)[(len(rates) - 1) // 2], steps=max(1, config.steps // 2), loss=None, curve={}
        )
    reporter.phase(f"choose {method}", len(rates) * len(folds) * config.steps)
    curves: dict[float, dict[int, float]] = {}
    failure: RunFailed | None = None
    for rate in rates:
        curve: dict[int, float] = {}
        curves[rate] = curve
        for number, fold in enumerate(folds, start=1):
            held_out = encoded.subset(fold.held_out)
            only_steps = _OnlySteps(reporter)

            def look(step: int, state: Any, curve: dict[int, float] = curve, held: EncodedExamples = held_out) -> None:
                curve[step] = curve.get(step, 0.0) + float(learner.losses(state, held).mean()) / len(folds)

            settings = _with_rate(config, rate, look_every(config.steps))
            try:
                learner.fit(encoded.subset(fold.train), settings, series=method, reporter=only_steps, look=look)
            except RunFailed as error:
                failure, curves[rate] = error, {}
            reporter.advance(config.steps - only_steps.done)
            if not curves[rate]:
                reporter.advance(config.steps * (len(folds) - number))
                break
    best = min(
        (
            (value, rate, step)
            for rate, curve in curves.items()
            for step, value in curve.items()
            if math.isfinite(value)
        ),
        default=None,
    )
    if best is None:
        raise failure or RunFailed(f"{method}: no held-out loss is a finite number; choose smaller learning rates")
    loss, rate, step = best
    for at, value in curves[rate].items():
        reporter.metric(method, at, {"held_out_loss": value})
    return Choice(learning_rate=rate, steps=step, loss=loss, curve=curves[rate])


def train(
    learner: Learner,
    encoded: EncodedExamples,
    choice: Choice,
    config: TrainConfig,
    *,
    method: str,
    reporter: Reporter,
    show_every: int = 0,
) -> Any:
    """Trains on all shots at the chosen rate and stops at the chosen step; the state.

    The schedule is that of ``config.steps``, as it was when the step was chosen.

    Args:
        show_every: also look, and tell the reporter, every so many steps.
    """
    reporter.phase(f"train {method}", choice.steps)
    found: list[Any] = []

    def look(step: int, state: Any) -> None:
        if step >= choice.steps:
            found.append(state)
            raise Enough

    every = math.gcd(choice.steps, show_every) if show_every else choice.steps
    try:
        learner.fit(
            encoded, _with_rate(config, choice.learning_rate, every), series=method, reporter=reporter, look=look
        )
    except Enough:
        reporter.advance()  # of the step at which the training was left
    return found[0]


def _with_rate(config: TrainConfig, rate: float, eval_every: int) -> TrainConfig:
    return replace(config, learning_rate=rate, eval_every=eval_every)


class _OnlySteps(Silent):
    """Passes on steps alone: the curves of the search are not those of the method."""

    def __init__(self, reporter: Reporter):
        self.reporter = reporter
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        self.reporter.advance(steps)
