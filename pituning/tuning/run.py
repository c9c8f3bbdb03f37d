"""One low-shot π-tuning, from the shots to scores beside honest baselines and one exported expert.

1. The shots, and nothing else of the target, are embedded; the most similar tasks lend their experts.
2. Mixture, single expert, best donor continued and donors as is each get their learning rate and steps by
   cross-validation on the shots. π-tuning is the mixture unless the held-out shots speak for another, which guards
   against negative transfer.
3. It and the baselines are scored on the test split; the winner collapses to one expert, is checked and exported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pituning.errors import RunFailed
from pituning.experts.keeping import check_not_imported
from pituning.experts.store import make_expert, save_expert
from pituning.graph.predict import Neighbor
from pituning.labelling.calibration import fit_temperature, reliability, temper
from pituning.progress import Reporter, Silent
from pituning.tasks.metrics import guessing
from pituning.tuning.baselines import OWN
from pituning.tuning.config import CANDIDATES, MIXTURE, TuneConfig, guard
from pituning.tuning.evaluation import Scores, rounded, shown_predictions
from pituning.tuning.interpolation import collapse, identity_check
from pituning.tuning.learners import Mixed, MixtureLearner
from pituning.tuning.learning_curve import learning_curve
from pituning.tuning.selection import Choice
from pituning.tuning.trial import FORMAT_VERSION, TEMPERATURE, prepare, series
from pituning.workspace.layout import Workspace

CHECKED = 8
"""Shots on which the identity check compares outputs."""
STATELESS = ("backbone", "full", "bitfit")
"""Methods of which the answers are kept alone."""
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
        checkpoint: a directory in which finished stages are kept, so that an interrupted run goes on.

    Returns:
        The result as plain JSON, the same for the same config and workspace: ``target``, ``kind``, ``shots``, ``seed``,
        ``donors``, ``weights`` (mean over sites by expert), ``score`` (points), ``baselines``, ``expert``; with
        ``chosen`` and ``candidates`` of the guard, ``mixture_score`` of the mixture whatever was chosen, ``intervals``,
        ``gains`` (paired), ``confidence`` and ``neighbors`` of the prediction, ``weights_per_site``, ``methods``
        (learning rate, steps, held-out curve), ``per_class``, ``predictions``, ``identity``,
        ``calibration`` and ``learning_curve``.

    Raises:
        BadInput: for an unknown task or donor, or too few examples.
        ArtefactError: when an expert or the backbone is damaged.
        RunFailed: when every training of a method diverges, or the identity check fails.
    """
    check_not_imported(workspace.zoo(config.backbone).new_expert_dir(config.kind, config.expert_name))
    return _Run(config, workspace, reporter or Silent(), checkpoint).result()


@dataclass
class _Outcome:
    """A method that has been trained and tested."""

    state: Mixed | None  # None for what is no mixture: it is never exported
    predictions: list[str]


@dataclass
class _Run:
    config: TuneConfig
    workspace: Workspace
    reporter: Reporter
    checkpoint: Path | None
    choices: dict[str, Choice] = field(default_factory=dict)
    outcomes: dict[str, _Outcome] = field(default_factory=dict)

    def result(self) -> dict[str, Any]:
        """Does everything."""
        config, began = self.config, time.monotonic()
        self.trial = trial = prepare(config, self.workspace, self.reporter, checkpoint=self.checkpoint)
        self.scores = Scores(trial.task, trial.test, seed=config.seed)
        chosen = self._guard()
        score = self._test("pi", chosen)
        mixture_score = score if chosen == MIXTURE else self._test(MIXTURE, MIXTURE)
        baselines = {name: self._test(name, name) for name in config.baselines}
        curve = self._curve(chosen)
        calibration = self._calibrate(chosen)
        exported = self._export(chosen, score, calibration)
        self.reporter.log(f"π-tuning ({chosen}): {score:.1f} points in {time.monotonic() - began:.0f} s")
        return {
            "format_version": FORMAT_VERSION,
            "target": config.target,
            "kind": config.kind,
            "shots": config.shots,
            "seed": config.seed,
            "donors": list(trial.methods.donors),
            "score": score,
            "baselines": baselines,
            "chosen": chosen,
            "candidates": {name: self.choices[name].to_json() for name in CANDIDATES},
            "mixture_score": mixture_score,
            **exported,
            "intervals": {name: self.scores.interval(name) for name in self.scores.rows},
            "gains": {name: self.scores.gain("pi", name) for name in config.baselines},
            "predictor": None if config.donor_names else config.predictor,
            "confidence": {n.task: n.confidence for n in trial.neighbors if n.task in trial.methods.donors},
            "neighbors": [_plain(neighbor) for neighbor in trial.neighbors],
            "methods": {name: choice.to_json() for name, choice in self.choices.items()},
            "metric": trial.task.metric,
            "guessing": None if (guessed := guessing(trial.task)) is None else guessed.to_json(),
            "examples": len(trial.shots),
            "test_examples": len(trial.test),
            "per_class": self.scores.per_class("pi"),
            "learning_curve": curve,
            "predictions": self._shown(chosen),
            "backbone": config.backbone,
            "fingerprint": trial.backbone.fingerprint,
        }

    # Choosing on the shots.

    def _guard(self) -> str:
        """What `guard` says of the candidates; the mixture where nothing could be held out."""
        losses = {name: self._choose(name).loss for name in CANDIDATES}
        chosen = guard(losses, self.trial.held_out)
        if losses[chosen] is None:
            self.reporter.log("too few shots to hold any out: π-tuning is the mixture, at the middle learning rate")
        else:
            words = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items() if loss is not None)
            self.reporter.log(f"held-out loss: {words}; chosen: {chosen}")
        return chosen

    def _choose(self, method: str) -> Choice:
        if method in self.choices:
            return self.choices[method]
        kept = self.trial.stages.load(f"choice-{method}")
        if kept is not None:
            choice = Choice(**{**kept, "curve": {int(step): value for step, value in kept["curve"].items()}})
        else:
            choice = self.trial.choose(method, self.reporter)
        self.trial.stages.save(f"choice-{method}", asdict(choice))
        self.choices[method] = choice
        return choice

    # Training on all shots, testing.

    def _test(self, name: str, method: str) -> float:
        """Scores ``method`` under ``name``."""
        score = self.scores.add(name, self._outcome(method).predictions)
        self.reporter.curve(name, self.choices[method].steps if method in self.choices else 0, {"score": score})
        return score

    def _outcome(self, method: str) -> _Outcome:
        """A method trained as was chosen, and its answers to the test examples."""
        if method in self.outcomes:
            return self.outcomes[method]
        kept, tensors = self.trial.stages.load(f"outcome-{method}"), self.trial.stages.load_tensors(f"state-{method}")
        if kept is not None and (tensors is not None or method in STATELESS):
            if method != "backbone":
                self._choose(method)  # was kept, too, and belongs into the result
            outcome = _Outcome(self._restored(tensors), kept["predictions"])
        else:
            outcome = self._train_and_predict(method)
            if outcome.state is not None:
                self.trial.stages.save_tensors(f"state-{method}", vars(outcome.state))
            self.trial.stages.save(f"outcome-{method}", {"predictions": outcome.predictions})
        self.outcomes[method] = outcome
        return outcome

    def _restored(self, tensors: Mapping[str, Tensor] | None) -> Mixed | None:
        """A state as it was kept, on the backbone's device."""
        device = self.trial.backbone.device
        return None if tensors is None else Mixed(**{key: tensor.to(device) for key, tensor in tensors.items()})

    def _train_and_predict(self, method: str) -> _Outcome:
        state: Any = None
        if method != "backbone":
            choice = self._choose(method)
            show_every = ALPHA_EVERY if method == MIXTURE else 0
            state = self.trial.train(method, choice, self.reporter, show_every=show_every)
        self.reporter.phase(f"test {series(method)}", len(self.trial.test))
        answers = self.trial.answer(method, state, self.reporter)
        if method == "backbone":
            self.reporter.advance(len(self.trial.test))
        return _Outcome(state if isinstance(state, Mixed) else None, answers)

    def _shown(self, chosen: str) -> list[dict[str, Any]]:
        state, learner = self.outcomes[chosen].state, self._mixture_learner(chosen)
        assert state is not None
        losses = learner.losses(state, self.trial.encoded_test)
        return shown_predictions(self.trial.test, self.outcomes[chosen].predictions, self.scores.rows["pi"], losses)

    def _mixture_learner(self, method: str) -> MixtureLearner:
        learner = self.trial.methods.learner(method)
        assert isinstance(learner, MixtureLearner)
        return learner

    def _curve(self, chosen: str) -> list[dict[str, Any]]:
        """The learning curve, where it was asked for and anything is trained."""
        if not self.config.learning_curve or not self.choices[chosen].steps:
            return []
        kept = self.trial.stages.load("curve")
        if kept is not None:
            return list(kept["points"])
        points = learning_curve(self.trial, chosen, self.choices[chosen], self.scores, self.reporter)
        self.trial.stages.save("curve", {"points": points})
        return points

    # How far the probabilities can be trusted.

    def _calibrate(self, chosen: str) -> dict[str, Any]:
        """The temperature of the chosen candidate, and how well it does on the test examples.

        It is fitted on the shots that the folds hold out; the test examples take no part. Empty for open answers, and
        where nothing could be held out.
        """
        trial, labels = self.trial, self.trial.task.labels
        if labels is None or not trial.folds:
            return {}
        kept = trial.stages.load("calibration")
        if kept is not None:
            return kept
        try:
            scores, gold = trial.held_out_scores(chosen, self.choices[chosen], self.reporter)
        except RunFailed as error:  # what was tuned is good without
            self.reporter.log(f"probabilities stay as they are: {error}")
            return {}
        temperature = round(fit_temperature(scores, gold), 6)
        self.reporter.phase(f"test {TEMPERATURE}", len(trial.test))
        state, learner = self.outcomes[chosen].state, self._mixture_learner(chosen)
        assert state is not None
        raw = learner.label_scores(state, trial.encoded_test, labels, self.reporter)
        right = np.array([labels[place] for place in raw.argmax(axis=1)]) == np.array([e.answer for e in trial.test])
        measured = {
            name: reliability(np.exp(temper(raw, value)).max(axis=1), right)
            for name, value in (("before", 1.0), ("after", temperature))
        }
        before, after = (f"{100 * each.ece:.1f}" for each in measured.values())
        self.reporter.log(
            f"temperature {temperature:.2f} from {len(gold)} held-out shots: ECE {before} → {after} points"
        )
        found = {
            "temperature": temperature,
            "rows": len(gold),
            **{name: each.to_json() for name, each in measured.items()},
        }
        trial.stages.save("calibration", found)
        return found

    # Export.

    def _export(self, chosen: str, score: float, calibration: Mapping[str, Any]) -> dict[str, Any]:
        """Collapses the chosen candidate to one expert, checks it and saves it in the workspace."""
        state, learner = self.outcomes[chosen].state, self._mixture_learner(chosen)
        assert state is not None
        collapsed = collapse(self.trial.methods.mixture, state.experts, state.weights)
        batch = self.trial.shots.batch(range(min(CHECKED, len(self.trial.shots))))
        identity = identity_check(self.trial.methods.mixture, state.experts, state.weights, collapsed, batch)
        name = self.config.expert_name
        weights = _mean_weights(learner.names, state.weights, (OWN, *self.trial.methods.donors))
        spec = {**asdict(self.config), "method": "pi", "chosen": chosen, "donors_used": list(self.trial.methods.donors),
                "weights": weights}  # fmt: skip
        expert = make_expert(
            collapsed.model, collapsed.values, name=name, task=self.trial.task.name, seed=self.config.seed, spec=spec,
            scores={"test": score}, temperature=calibration.get("temperature"),
            calibration={key: value for key, value in calibration.items() if key != "temperature"},
        )  # fmt: skip
        save_expert(
            expert, collapsed.model, self.workspace.zoo(self.config.backbone).new_expert_dir(self.config.kind, name)
        )
        self.reporter.log(f"kept as expert {name}")
        return {
            "expert": name,
            "weights": weights,
            "weights_per_site": {
                "sites": list(self.trial.methods.mixture.space.site_names),
                "experts": list(learner.names),
                "weights": [[round(value, 6) for value in row] for row in state.weights.tolist()],
            },
            "identity": identity,
            "calibration": dict(calibration) or None,
        }


def _mean_weights(names: tuple[str, ...], weights: Tensor, experts: tuple[str, ...]) -> dict[str, float]:
    """Mean over sites by expert; 0 for those that the chosen candidate leaves out."""
    means = dict(zip(names, torch.mean(weights, dim=0).tolist(), strict=True))
    return rounded({name: means.get(name, 0.0) for name in experts})


def _plain(neighbor: Neighbor) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(neighbor).items()}
