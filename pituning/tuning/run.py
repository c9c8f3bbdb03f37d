"""One low-shot π-tuning, from the shots to scores beside honest baselines and one exported expert.

1. The shots, and nothing else of the target, are embedded; the most similar tasks lend their experts.
2. Mixture, single expert, best donor continued and donors as is each get their learning rate and steps by
   cross-validation on the shots. π-tuning is the mixture unless the held-out shots speak for another, which guards
   against negative transfer. Where they speak for the untrained backbone or for guessing, that is recommended instead.
3. It and the baselines are scored on the test split, first those that a verdict needs: then it can be told, while the
   others go on. The winner collapses to one expert, is checked and exported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from pituning.errors import RunFailed
from pituning.experts.keeping import check_not_imported
from pituning.progress import Reporter, Silent
from pituning.tuning.config import CANDIDATES, MIXTURE, PARTIAL, TuneConfig, guard
from pituning.tuning.crossing import Outcome, cross
from pituning.tuning.evaluation import Scores, rounded, shown_predictions
from pituning.tuning.export import export
from pituning.tuning.jobs import Job, is_small, process_count, run_jobs, threads
from pituning.tuning.learners import Mixed, MixtureLearner
from pituning.tuning.learning_curve import learning_curve
from pituning.tuning.predictions import PREDICTIONS, predictions_csv
from pituning.tuning.selection import Choice
from pituning.tuning.temperature import PROBABILITIES, WRONG, calibrate
from pituning.tuning.trial import FORMAT_VERSION, prepare, series
from pituning.tuning.units import (
    OTHERS_PHASE,
    VERDICT_PHASE,
    curve_units,
    method_units,
    other_units,
    temperature_units,
    verdict_units,
)
from pituning.tuning.untrained import untrained_errors
from pituning.workspace.atomic import write_json, write_text
from pituning.workspace.layout import Workspace

ALPHA_EVERY = 5
"""Steps between two reports of the interpolation weights."""


def tune(
    config: TuneConfig,
    workspace: Workspace,
    reporter: Reporter | None = None,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Tunes a target on its shots with the experts of similar tasks.

    Args:
        checkpoint: a directory in which finished stages are kept, so that an interrupted run goes on; beside it all
            predictions are kept as a table (`pituning.tuning.predictions`).

    Returns:
        The result as plain JSON, the same for the same config and workspace: ``target``, ``kind``, ``shots``, ``seed``,
        ``donors``, ``weights`` (mean over sites by expert), ``score`` (points), ``baselines``, ``expert``; with
        ``chosen`` and ``candidates`` of the guard, ``recommended`` (``chosen``, or one of `UNTRAINED`, by
        ``held_out_errors``), ``mixture_score`` of the mixture whatever was chosen, ``intervals``, ``gains``
        (paired), ``confidence`` and ``neighbors`` of the prediction, ``weights_per_site``, ``methods`` (learning rate,
        steps, held-out curve), ``per_class``, ``predictions``, ``identity``, ``calibration`` and ``learning_curve``;
        and ``expected`` gains by task, where these chose how many lend.

    Raises:
        BadInput: for an unknown task or donor, or too few examples.
        ArtefactError: when an expert or the backbone is damaged.
        RunFailed: when every training of a method diverges, or the identity check fails.
    """
    check_not_imported(workspace.zoo(config.backbone).new_expert_dir(config.kind, config.expert_name))
    return _Run(config, workspace, reporter or Silent(), checkpoint).result()


@dataclass
class _Run:
    config: TuneConfig
    workspace: Workspace
    reporter: Reporter
    checkpoint: Path | None
    choices: dict[str, Choice] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)  # what is known of the result by now

    def result(self) -> dict[str, Any]:
        """Does everything."""
        config, began = self.config, time.monotonic()
        self.trial = trial = prepare(
            config, self.workspace, self.reporter, checkpoint=self.checkpoint, cross=True, tell=self._keep_partial
        )
        self.config = config = trial.config  # without the methods that need donors, where none lends
        self.scores = Scores(trial.task, trial.tested, seed=config.seed)
        if trial.parts:
            words = f"{len(trial.test)} rows and, by cross-validation, on the {len(trial.examples)} shots"
            self.reporter.log(f"every method is tested on {words}")
        self.processes = process_count(config.processes, trial.backbone)
        if config.processes > self.processes:
            self.reporter.log(f"backbone {trial.backbone.name} takes one process, not {config.processes}")
        one_thread: AbstractContextManager[None] = threads(1) if is_small(trial.backbone) else nullcontext()
        with one_thread:
            folds, rows = len(trial.folds), len(trial.test)
            first = [(name, answers) for name, answers in config.for_verdict if trial.plays(name)]
            units = verdict_units(config, folds=folds, rows=rows, crossed=len(trial.parts), methods=first)
            self._together(VERDICT_PHASE, first, units)
            chosen = self._guard()
            score = self._test("pi", chosen)
            also = () if chosen == MIXTURE or not trial.plays(MIXTURE) else (MIXTURE,)
            mixture_score = self._test(MIXTURE, MIXTURE) if also else score if chosen == MIXTURE else None
            candidates = {name: self.choices[name].to_json() for name in trial.candidates}
            self._keep_partial({
                "score": score, "chosen": chosen, "candidates": candidates, "mixture_score": mixture_score,
            })  # fmt: skip
            curve, calibration = self._after_verdict(chosen)
            probabilities = calibration.pop(PROBABILITIES, [])
            errors = self._held_out_errors(chosen, calibration)
        baselines = {name: self.scores.score(name) for name in config.baselines}
        scored = ("pi", *also, *config.baselines)
        state = self.outcomes[chosen].state
        assert state is not None
        exported = export(trial, self.workspace, chosen, state, score=score, calibration=calibration)
        self.reporter.log(f"kept as expert {exported['expert']}")
        self.reporter.log(f"π-tuning ({chosen}): {score:.1f} points in {time.monotonic() - began:.0f} s")
        return {
            "format_version": FORMAT_VERSION,
            **self.found,
            "recommended": guard(errors, trial.held_out) if errors else chosen,
            "held_out_errors": rounded(errors),
            "baselines": baselines,
            **exported,
            "intervals": {name: self.scores.interval(name) for name in scored},
            "gains": {name: self.scores.gain("pi", name) for name in config.baselines},
            "methods": {name: choice.to_json() for name, choice in self.choices.items()},
            "per_class": self.scores.per_class("pi"),
            "learning_curve": curve,
            "predictions": self._predictions(chosen, probabilities),
            "fingerprint": trial.backbone.fingerprint,
        }

    # In several processes.

    def _together(
        self,
        phase: str,
        methods: Iterable[tuple[str, bool]],
        units: int,
        more: Mapping[Job, Callable[[Any], None]] | None = None,
    ) -> None:
        """Chooses, trains and tests methods; what was kept of an interrupted run is not done again.

        Args:
            methods: and whether each is tested, or only chosen.
            units: training steps that all of it counts for.
            more: other jobs, and what takes their values.
        """
        jobs, takes = [], dict(more or {})

        def take(method: str, value: Mapping[str, Any]) -> None:
            self._take(method, value)
            if value["outcome"] is not None:
                self._scored(method)

        for method, answers in methods:
            if self._kept(method, answers):
                if answers:
                    self._scored(method)
                continue
            count = method_units(
                self.config, method, folds=0 if method in self.choices else len(self.trial.folds),
                rows=len(self.trial.test), answers=answers, crossed=len(self.trial.parts),
            )  # fmt: skip
            job = Job(method, count, partial(self._give, method, answers))
            jobs.append(job)
            takes[job] = partial(take, method)
        jobs += (more or {}).keys()
        if jobs:
            run_jobs(
                phase, jobs, self.reporter, lambda job, value: takes[job](value), processes=self.processes, units=units
            )

    def _give(self, method: str, answers: bool, reporter: Reporter) -> dict[str, Any]:
        """What one process finds of a method for another."""
        self.reporter, before = reporter, self.reporter
        try:
            choice = None if method == "backbone" else self._choose(method)
            outcome = self._outcome(method) if answers else None
        finally:
            self.reporter = before
        state = outcome.state if outcome is not None else None
        return {
            "choice": None if choice is None else vars(choice),
            "outcome": None if outcome is None else outcome.to_json(),
            "state": None if state is None else save({name: each.cpu() for name, each in _whole(state).items()}),
        }

    def _take(self, method: str, value: Mapping[str, Any]) -> None:
        if value["choice"] is not None:
            self.choices[method] = Choice(**value["choice"])
        if value["outcome"] is not None:
            state = None if value["state"] is None else load(value["state"])
            self.outcomes[method] = Outcome.from_json(value["outcome"], self._restored(state))

    def _kept(self, method: str, answers: bool) -> bool:
        """Whether a method is as it should be by now, from what was kept if need be."""
        chosen = method in self.choices or self._restore_choice(method)
        return method in self.outcomes or self._restore_outcome(method) if answers else chosen

    def _scored(self, method: str) -> None:
        """Keeps and tells the score of a method; a mixture's is π-tuning's only where it is chosen."""
        points = (
            self.scores.add(method, self.outcomes[method].answers) if method == MIXTURE else self._test(method, method)
        )
        self.reporter.log(f"{method}: {points:.1f} points")
        self._keep_partial()

    def _keep_partial(self, found: Mapping[str, Any] | None = None) -> None:
        """Keeps what is known by now for whoever waits.

        Args:
            found: what is new of the result itself.
        """
        self.found |= found or {}
        if self.checkpoint is not None:
            write_json(self.checkpoint / PARTIAL, {**self.found, **(self._measured() if self.outcomes else {})})

    def _measured(self) -> dict[str, Any]:
        """Scores of what has been tested by now; gains of π-tuning once it has been chosen what that is."""
        scores, there = self.scores, self.scores.rows
        known = [name for name in self.config.baselines if name in there]
        return {
            "baselines": {name: scores.score(name) for name in known},
            "mixture_score": scores.score(MIXTURE) if MIXTURE in there else self.found.get("mixture_score"),
            "intervals": {name: scores.interval(name) for name in ("pi", MIXTURE, *known) if name in there},
            "gains": {name: scores.gain("pi", name) for name in known if "pi" in there},
            "methods": {name: choice.to_json() for name, choice in self.choices.items()},
        }

    def _after_verdict(self, chosen: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The other baselines; learning curve and calibration of the chosen candidate."""
        config, folds, rows = self.config, len(self.trial.folds), len(self.trial.test)
        values: dict[str, Any] = {"curve": [], "calibration": {}}
        closed = self.trial.task.labels is not None
        jobs = []
        if closed and folds:
            units = temperature_units(config, folds=folds, rows=rows)
            jobs.append(Job("calibration", units, partial(self._calibrate, chosen)))
        if config.learning_curve and self.choices[chosen].steps:
            jobs.append(Job("curve", curve_units(config, rows), partial(self._curve, chosen)))
        more = {job: partial(values.__setitem__, job.name) for job in jobs}
        units = other_units(config, folds=folds, rows=rows, closed=closed, crossed=len(self.trial.parts))
        self._together(OTHERS_PHASE, config.after_verdict, units, more)
        return values["curve"], values["calibration"]

    # Choosing on the shots.

    def _guard(self) -> str:
        """What `guard` says of the candidates; the first of them where nothing could be held out."""
        losses = {name: self.choices[name].loss for name in self.trial.candidates}
        chosen = guard(losses, self.trial.held_out)
        if losses[chosen] is None:
            self.reporter.log(f"too few shots to hold any out: π-tuning is {chosen}, at the middle learning rate")
        else:
            words = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items() if loss is not None)
            self.reporter.log(f"held-out loss: {words}; chosen: {chosen}")
        return chosen

    def _held_out_errors(self, chosen: str, calibration: dict[str, Any]) -> dict[str, float]:
        """Share of wrong answers to held-out shots of what was chosen, first, and of what needs no training; where
        answers are open the `held_out_loss` stands for it. Empty where nothing could be held out.

        Args:
            calibration: of what was chosen, which has answered them to be calibrated; that figure is taken out of it.
        """
        wrong = calibration.pop(WRONG, None)
        mine = wrong if self.trial.task.labels is not None else self.choices[chosen].loss
        if mine is None or not self.trial.folds:
            return {}
        errors = {chosen: mine, **untrained_errors(self.trial)}
        words = ", ".join(f"{name} {100 * error:.0f} %" for name, error in errors.items())
        self.reporter.log(f"wrong on held-out shots: {words}")
        return errors

    def _choose(self, method: str) -> Choice:
        if method not in self.choices and not self._restore_choice(method):
            choice = self.trial.choose(method, self.reporter)
            self.trial.stages.save(f"choice-{method}", asdict(choice))
            self.choices[method] = choice
        return self.choices[method]

    def _restore_choice(self, method: str) -> bool:
        kept = self.trial.stages.load(f"choice-{method}")
        if kept is None:
            return False
        self.reporter.log(f"goes on from the learning rate and steps that were chosen for {series(method)}")
        curve = {int(step): value for step, value in kept["curve"].items()}
        self.choices[method] = Choice(**{**kept, "curve": curve})
        return True

    # Training on all shots, testing.

    def _test(self, name: str, method: str) -> float:
        """Scores ``method`` under ``name``."""
        score = self.scores.add(name, self._outcome(method).answers)
        self.reporter.curve(name, self.choices[method].steps if method in self.choices else 0, {"score": score})
        return score

    def _outcome(self, method: str) -> Outcome:
        """A method trained as was chosen, and its answers to the test examples."""
        if method not in self.outcomes and not self._restore_outcome(method):
            outcome = self._train_and_predict(method)
            if outcome.state is not None:
                self.trial.stages.save_tensors(f"state-{method}", vars(outcome.state))
            self.trial.stages.save(f"outcome-{method}", outcome.to_json())
            self.outcomes[method] = outcome
        return self.outcomes[method]

    def _restore_outcome(self, method: str) -> bool:
        kept, tensors = self.trial.stages.load(f"outcome-{method}"), self.trial.stages.load_tensors(f"state-{method}")
        if kept is None or (tensors is None and method in CANDIDATES):
            return False
        if method != "backbone":
            self._choose(method)  # was kept, too, and belongs into the result
        self.reporter.log(f"goes on from {series(method)} as it was trained and tested")
        self.outcomes[method] = Outcome.from_json(kept, self._restored(tensors))
        return True

    def _restored(self, tensors: Mapping[str, Tensor] | None) -> Mixed | None:
        """A state as it was kept, on the backbone's device."""
        device = self.trial.backbone.device
        return None if tensors is None else Mixed(**{key: tensor.to(device) for key, tensor in tensors.items()})

    def _train_and_predict(self, method: str) -> Outcome:
        state: Any = None
        choice = None if method == "backbone" else self._choose(method)
        if choice is not None:
            show_every = ALPHA_EVERY if method == MIXTURE else 0
            state = self.trial.train(method, choice, self.reporter, show_every=show_every)
        self.reporter.phase(f"test {series(method)}", len(self.trial.test))
        answers = self.trial.answer(method, state, self.reporter)
        if method == "backbone":
            self.reporter.advance(len(self.trial.test))
        crossed = cross(self.trial, method, choice, state, self.reporter)
        return Outcome(state if method in CANDIDATES else None, answers, crossed)

    def _predictions(self, chosen: str, probabilities: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
        """Some of them for the result; all of them are kept as a file beside it."""
        state, learner = self.outcomes[chosen].state, self._mixture_learner(chosen)
        assert state is not None
        losses, crossed = learner.losses(state, self.trial.encoded_test), self.outcomes[chosen].crossed
        if crossed is not None:
            losses = np.concatenate([losses, crossed.losses])
        tested, predictions, points = self.trial.tested, self.outcomes[chosen].answers, self.scores.rows["pi"]
        if self.checkpoint is not None:
            every = {"pi": predictions} | {name: self.outcomes[name].answers for name in self.config.baselines}
            table = predictions_csv(
                tested, every, points, losses, labels=self.trial.task.labels, probabilities=probabilities
            )
            write_text(self.checkpoint.parent / PREDICTIONS, table)
        return shown_predictions(tested, predictions, points, losses)

    def _mixture_learner(self, method: str) -> MixtureLearner:
        learner = self.trial.methods.learner(method)
        assert isinstance(learner, MixtureLearner)
        return learner

    def _curve(self, chosen: str, reporter: Reporter) -> list[dict[str, Any]]:
        """The learning curve."""
        kept = self.trial.stages.load("curve")
        if kept is not None:
            reporter.log("goes on from the learning curve that was measured")
            return list(kept["points"])
        answers = self.outcomes[chosen].predictions
        points = learning_curve(self.trial, chosen, self.choices[chosen], answers, reporter)
        self.trial.stages.save("curve", {"points": points})
        return points

    def _calibrate(self, chosen: str, reporter: Reporter) -> dict[str, Any]:
        """The temperature of the chosen candidate and how well it does; empty where a training for it diverges."""
        kept = self.trial.stages.load("calibration")
        if kept is not None:
            reporter.log("goes on from the temperature that was fitted")
            return kept
        state = self.outcomes[chosen].state
        assert state is not None
        try:
            crossed = self.outcomes[chosen].crossed
            found = calibrate(self.trial, chosen, self.choices[chosen], state, reporter, crossed=crossed)
        except RunFailed as error:  # what was tuned is good without
            reporter.log(f"probabilities stay as they are: {error}")
            return {}
        self.trial.stages.save("calibration", found)
        return found


def _whole(state: Mixed) -> dict[str, Tensor]:
    """The tensors of a state, none a view of another."""
    return {name: tensor.contiguous().clone() for name, tensor in vars(state).items()}
