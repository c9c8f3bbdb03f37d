"""Learning rate and number of steps of each method, chosen by cross-validation on the shots and on nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pituning.backbones.encoded import EncodedExamples
from pituning.errors import RunFailed
from pituning.progress import Reporter, Silent
from pituning.training.config import TrainConfig
from pituning.training.spare import Pending, begin
from pituning.tuning.config import CROSSED, fold_count
from pituning.tuning.learners import Learner, StopTraining
from pituning.tuning.search_curves import search_curve

VERSION = 3
"""Of `choose` and `train`: studies measure again what was chosen or trained under another one."""
HELD_OUT = 0.25
LOOKS = 4
"""How often a training is looked at: after each quarter of its steps."""


@dataclass(frozen=True)
class Fold:
    """Indices of the shots to train on and of those held out."""

    train: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What cross-validation found best for a method.

    Args:
        loss: `held_out_loss`, between 0 and 1; None when the shots are too few to hold any out.
        curve: the held-out loss at each check, at the chosen rate.
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
        count: how many splits; 0 for one, two of fewer than 100 shots, three of fewer than 50.

    Returns:
        ``count`` folds that each hold out about a quarter; none when no class can spare an example.
    """
    total = len(answers)
    count = count or fold_count(total)
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


def partition(answers: Sequence[str], questions: Sequence[Hashable], *, closed: bool, seed: int) -> list[Fold]:
    """Folds of the shots that hold out each of them once, stratified by class where the answer space is closed.

    Args:
        answers: of the N shots.
        questions: what they ask; those that ask the same are held out together.
        closed: whether answers are classes.

    Returns:
        At most `CROSSED` folds, as many as every class has different questions; none where a training would lack one.
    """
    rows_of: dict[Hashable, list[int]] = {}
    for row, question in enumerate(questions):
        rows_of.setdefault(question, []).append(row)
    strata: dict[str, list[list[int]]] = {}
    for rows in rows_of.values():  # annotators may disagree: the more frequent answer, or the first one, counts
        said = Counter(answers[row] for row in rows)
        strata.setdefault(said.most_common(1)[0][0] if closed else "", []).append(rows)
    count = min(CROSSED, *(len(groups) for groups in strata.values()))
    generator = np.random.default_rng([seed, 11])
    part = np.zeros(len(answers), dtype=int)
    for groups in strata.values():  # the parts that have one question more differ between classes
        first = int(generator.integers(count))
        for place, chosen in enumerate(generator.permutation(len(groups))):
            part[groups[int(chosen)]] = (first + place) % count
    folds = [Fold(np.flatnonzero(part != number), np.flatnonzero(part == number)) for number in range(count)]
    classes = {answer if closed else "" for answer in answers}
    whole = all({answers[row] if closed else "" for row in fold.train} == classes for fold in folds)
    return folds if count > 1 and whole else []


def held_out_loss(losses: np.ndarray) -> float:
    """Mean over examples of 1 − p, where −log p is −log p(y | x) / √length: what is minimised by choosing.

    A smooth stand-in for the share of wrong answers. The mean of −log p would be ruled by the few answers that a model
    is wrong and sure about, and after a dozen examples everything is sure: it picks trainings that stopped too early.

    Args:
        losses: (N,) −log p(y | x) / √length.
    """
    return float(-np.expm1(-losses).mean())


def check_every(steps: int) -> int:
    """Steps between two checks of a training."""
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
    """The learning rate and the number of steps with the smallest `held_out_loss`, averaged over folds.

    The rates are climbed from the middle one: up while a larger rate does better, and down only where none did, for
    the loss over the rates has one valley. A rate is trained on every fold and looked at after each quarter of
    ``config.steps``; if its best loss at three quarters is behind the best that another had reached by then, it is
    given up. Not before: what starts from nothing wants large rates, which are often behind until theirs has fallen.

    Args:
        config: everything but the learning rate.

    Raises:
        RunFailed: when the training diverges at every rate.
    """
    rates = sorted(rates)
    usual = rates[(len(rates) - 1) // 2]
    if not folds:
        return Choice(learning_rate=usual, steps=max(1, config.steps // 2), loss=None, curve={})
    reporter.phase(f"choose {method}", len(rates) * len(folds) * config.steps)
    larger, smaller = [rate for rate in rates if rate > usual], [rate for rate in reversed(rates) if rate < usual]
    search = _Search(learner, encoded, folds, config, method, reporter, [usual, *larger, *smaller])
    try:
        search.try_rate(usual)
        for side in (larger, smaller):
            for place, rate in enumerate(side):
                before = search.best
                search.try_rate(rate)
                if before is not None and search.best == before:
                    search.leave_out(side[place:])
                    break
            if search.best is not None and search.best[1] in side:
                break
    finally:
        search.leave_out(rates)
    reporter.advance((len(rates) - len(search.tried)) * len(folds) * config.steps)
    best = search.best
    if best is None:
        raise search.failure or RunFailed(f"{method}: no held-out loss is a finite number; choose smaller rates")
    loss, rate, step = best
    curve = search.curves[rate]
    for at, value in curve.items():
        reporter.curve(method, at, {"held_out_loss": value})
    return Choice(learning_rate=rate, steps=step, loss=loss, curve=curve)


@dataclass(frozen=True)
class _Trained:
    """What a training was seen to do: its held-out losses by step, and why it diverged, if it did."""

    losses: Mapping[int, float]
    failure: RunFailed | None


class _Search:
    """Held-out losses of one method.

    Where processes are free the folds of a rate are trained at once, and the rates that come next with them. What is
    made of their losses is the same as if they had been trained one after another.

    Attributes:
        tried: the rates so far.
        curves: mean over folds of the held-out loss by step, for each rate that was not given up.
        failure: why the last rate that diverged did.
    """

    def __init__(
        self,
        learner: Learner,
        encoded: EncodedExamples,
        folds: Sequence[Fold],
        config: TrainConfig,
        method: str,
        reporter: Reporter,
        rates: Sequence[float],
    ):
        self.learner, self.encoded, self.folds = learner, encoded, folds
        self.config, self.method, self.reporter = config, method, reporter
        self.tried: list[float] = []
        self.curves: dict[float, dict[int, float]] = {}
        self.failure: RunFailed | None = None
        # For each fold and step the smallest loss that any rate has reached by then.
        self._reached: list[dict[int, float]] = [{} for _ in folds]
        self._coming = [(rate, number) for rate in rates for number in range(len(folds))]
        self._elsewhere: dict[tuple[float, int], Pending[_Trained]] = {}

    @property
    def best(self) -> tuple[float, float, int] | None:
        """The smallest loss, its rate and its step; None while there is none."""
        return min(
            ((loss, rate, step) for rate, curve in self.curves.items() for step, loss in curve.items()), default=None
        )

    def try_rate(self, rate: float) -> None:
        """Trains at a rate on every fold."""
        self.tried.append(rate)
        steps = OnlySteps(self.reporter)
        rows: list[dict[int, float]] = []
        try:
            for number in range(len(self.folds)):
                rows.append(self._one(rate, number, steps))
            curve = {step: float(np.mean([row[step] for row in rows])) for step in rows[0]}
            self.curves[rate] = {step: value for step, value in curve.items() if math.isfinite(value)}
        except StopTraining:
            pass
        except RunFailed as error:
            self.failure = error
        self.leave_out([rate])
        self.reporter.advance(len(self.folds) * self.config.steps - steps.done)

    def leave_out(self, rates: Sequence[float]) -> None:
        """Ends what is under way elsewhere at these rates: nothing more of it is needed."""
        self._coming = [each for each in self._coming if each[0] not in rates]
        for each in [each for each in self._elsewhere if each[0] in rates]:
            self._elsewhere.pop(each).drop()

    def _one(self, rate: float, number: int, steps: Reporter) -> dict[int, float]:
        """The held-out losses by step of one training."""
        reached, name = self._reached[number], search_curve(rate, number + 1)
        losses: dict[int, float] = {}

        def look(step: int, loss: float) -> None:
            losses[step] = loss
            self.reporter.curve(self.method, step, {name: loss})
            behind = min(losses.values()) > reached.get(step, math.inf)
            if behind and 4 * step >= 3 * self.config.steps and step < self.config.steps:
                raise StopTraining

        self._coming = [each for each in self._coming if each != (rate, number)]
        pending = self._elsewhere.pop((rate, number), None)
        self._begin_others()
        if pending is None:
            self._train(rate, number, steps, look)
        else:
            trained = pending.result(steps)
            for step, loss in trained.losses.items():
                look(step, loss)
            if trained.failure is not None:
                raise trained.failure
        smallest = math.inf
        for step, value in losses.items():
            smallest = min(smallest, value)
            reached[step] = min(reached.get(step, math.inf), smallest)
        return losses

    def _begin_others(self) -> None:
        """Begins with the trainings that come next in processes that are free; they are trained to their end."""
        while self._coming:
            rate, number = self._coming[0]

            def whole(reporter: Reporter, rate: float = rate, number: int = number) -> _Trained:
                losses: dict[int, float] = {}
                try:
                    self._train(rate, number, reporter, losses.__setitem__)
                except RunFailed as error:
                    return _Trained(losses, error)
                return _Trained(losses, None)

            pending = begin(whole)
            if pending is None:
                return
            self._elsewhere[rate, number] = pending
            del self._coming[0]

    def _train(self, rate: float, number: int, steps: Reporter, look: Callable[[int, float], None]) -> None:
        """Trains on a fold; ``look`` is given the held-out loss at each check, and may raise `StopTraining`."""
        fold = self.folds[number]
        held_out = self.encoded.subset(fold.held_out)

        def callback(step: int, state: Any) -> None:
            look(step, held_out_loss(self.learner.losses(state, held_out)))

        settings = _with_rate(self.config, rate, check_every(self.config.steps))
        self.learner.fit(
            self.encoded.subset(fold.train), settings, series=self.method, reporter=steps, callback=callback
        )


def as_it_is(learner: Learner, encoded: EncodedExamples, folds: Sequence[Fold]) -> Choice:
    """Nothing is trained; all shots that any fold holds out are scored."""
    losses = [held_out_loss(learner.losses(learner.start(), encoded.subset(fold.held_out))) for fold in folds]
    return Choice(learning_rate=0.0, steps=0, loss=float(np.mean(losses)) if losses else None, curve={})


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
    """Trains on all shots at the chosen rate for the chosen number of steps; the state.

    The rate falls to zero within them. Left in the middle of the schedule of ``config.steps``, as it was when the
    number was chosen, a training at a large rate is where chance has it: scores were 15 to 25 points below what the
    held-out shots had promised.

    Args:
        show_every: also check, and tell the reporter, every so many steps.
    """
    reporter.phase(f"train {method}", choice.steps)
    states: list[Any] = []

    def callback(step: int, state: Any) -> None:
        if step >= choice.steps:
            states.append(state)

    every = math.gcd(choice.steps, show_every) if show_every else choice.steps
    warmup = config.warmup * choice.steps // config.steps
    settings = replace(_with_rate(config, choice.learning_rate, every), steps=choice.steps, warmup=warmup)
    learner.fit(encoded, settings, series=method, reporter=reporter, callback=callback)
    return states[0]


def _with_rate(config: TrainConfig, rate: float, eval_every: int) -> TrainConfig:
    return replace(config, learning_rate=rate, eval_every=eval_every)


class OnlySteps(Silent):
    """Passes on steps alone: the curves of the search are not those of the method."""

    def __init__(self, reporter: Reporter):
        self.reporter = reporter
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        self.reporter.advance(steps)
