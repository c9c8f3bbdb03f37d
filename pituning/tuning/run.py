"""One low-shot π-tuning, from the shots to scores beside honest baselines and one exported expert.

1. The shots, and nothing else of the target, are embedded; the most similar tasks lend their experts.
2. Mixture, single expert, best donor continued and donors untouched each get their learning rate and steps by
   cross-validation on the shots. π-tuning is the one with the smallest held-out loss, which guards against negative
   transfer.
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

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert, save_expert
from pituning.graph.predict import Neighbor
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task
from pituning.tasks.registry import load_task
from pituning.training.config import TrainConfig
from pituning.tuning.baselines import CANDIDATES, MIXTURE, OWN, Cast
from pituning.tuning.config import TuneConfig
from pituning.tuning.donors import load_zoo, predict_donors, start_values
from pituning.tuning.evaluation import Scores, rounded, scored_examples, shown_predictions
from pituning.tuning.interpolation import Mixture, collapse, identity_check
from pituning.tuning.learners import Mixed, MixtureLearner
from pituning.tuning.selection import Choice, Fold, choose, held_out_loss, make_folds, train
from pituning.tuning.stages import Stages
from pituning.workspace.layout import Workspace

FORMAT_VERSION = 1
CHECKED = 8
"""Shots on which the identity check compares outputs."""
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
        (learning rate, steps, held-out curve), ``per_class``, ``predictions`` and ``identity``.

    Raises:
        BadInput: for an unknown task or donor, or too few examples.
        ArtefactError: when an expert or the backbone is damaged.
        RunFailed: when every training of a method diverges, or the identity check fails.
    """
    return _Run(config, workspace, reporter or Silent(), checkpoint).result()


@dataclass
class _Outcome:
    """A method that has been trained and tested."""

    state: Mixed | None  # None for full fine-tuning, whose state is the whole backbone
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
        neighbors = self._prepare()
        chosen = self._guard()
        score = self._test("pi", chosen)
        mixture_score = score if chosen == MIXTURE else self._test(MIXTURE, MIXTURE)
        baselines = {name: self._test(name, name) for name in config.baselines}
        exported = self._export(chosen, score)
        self.reporter.log(f"π-tuning ({chosen}): {score:.1f} points in {time.monotonic() - began:.0f} s")
        return {
            "format_version": FORMAT_VERSION,
            "target": config.target,
            "kind": config.kind,
            "shots": config.shots,
            "seed": config.seed,
            "donors": list(self.cast.donors),
            "score": score,
            "baselines": baselines,
            "chosen": chosen,
            "candidates": {name: self.choices[name].to_json() for name in CANDIDATES},
            "mixture_score": mixture_score,
            **exported,
            "intervals": {name: self.scores.interval(name) for name in self.scores.rows},
            "gains": {name: self.scores.gain("pi", name) for name in config.baselines},
            "predictor": None if config.donor_names else config.predictor,
            "confidence": {n.task: n.confidence for n in neighbors if n.task in self.cast.donors},
            "neighbors": [_plain(neighbor) for neighbor in neighbors],
            "methods": {name: choice.to_json() for name, choice in self.choices.items()},
            "metric": self.task.metric,
            "examples": len(self.shots),
            "test_examples": len(self.test),
            "per_class": self.scores.per_class("pi"),
            "predictions": self._shown(chosen),
            "backbone": self.backbone.fingerprint,
        }

    def _prepare(self) -> list[Neighbor]:
        """Loads what takes part, embeds the shots, names the donors; the zoo by similarity."""
        config = self.config
        self.task: Task = load_task(config.target, self.workspace)
        shots = self.task.shots(config.shots, config.seed)
        self.test: list[Example] = scored_examples(self.task, config.test_examples)
        if not self.test:
            raise BadInput(f"task {self.task.name!r} has no test examples to score on; add some", field="target")
        self.backbone = Backbone.load(self.workspace.backbone_dir())
        model = ExpertModel(self.backbone, config.kind)
        zoo = load_zoo(config, self.workspace, model)
        self.stages = Stages(
            self.checkpoint, {"format": FORMAT_VERSION, "backbone": self.backbone.fingerprint, **asdict(config)}
        )
        self.shots: EncodedExamples = self._encode(shots, model)
        neighbors = self._neighbors(zoo, model)
        donors = config.donor_names or tuple(neighbor.task for neighbor in neighbors[: config.donors])
        self.reporter.log(f"donors: {', '.join(donors)}")
        self.cast = Cast(
            config=config,
            backbone=self.backbone,
            mixture=Mixture(model, self.backbone),
            own=start_values(zoo, model),
            zoo={name: expert.values for name, expert in zoo.items()},
            donors=donors,
            similarity={neighbor.task: neighbor.similarity for neighbor in neighbors},
        )
        self.folds: list[Fold] = make_folds(
            [shot.answer for shot in shots], closed=self.task.labels is not None, count=config.folds, seed=config.seed
        )
        self.encoded_test = self._encode(self.test, model)
        self.scores = Scores(self.task, self.test, seed=config.seed)
        return neighbors

    def _encode(self, examples: list[Example], model: ExpertModel) -> EncodedExamples:
        pixels = "full" in self.config.baselines
        return model.prepare(self.backbone.encode(self.task, examples, keep_pixels=pixels, reporter=self.reporter))

    def _neighbors(self, zoo: Mapping[str, Any], model: ExpertModel) -> list[Neighbor]:
        if self.config.donor_names:
            return []
        kept = self.stages.load("neighbors")
        if kept is not None:
            return [Neighbor(**neighbor) for neighbor in kept["neighbors"]]
        found = predict_donors(
            self.config, self.task, self.shots, zoo, model, self.backbone, self.workspace, self.reporter
        )
        self.stages.save("neighbors", {"neighbors": [asdict(neighbor) for neighbor in found]})
        return found

    # Choosing on the shots.

    def _settings(self) -> TrainConfig:
        return TrainConfig(
            steps=self.config.steps, batch_size=self.config.batch_size, warmup=self.config.steps // 10,
            seed=self.config.seed,
        )  # fmt: skip

    def _guard(self) -> str:
        """The candidate with the smallest held-out loss; the mixture where nothing could be held out."""
        losses = {name: self._choose(name).loss for name in CANDIDATES}
        known = {name: loss for name, loss in losses.items() if loss is not None}
        if not known:
            self.reporter.log("too few shots to hold any out: π-tuning is the mixture, at the middle learning rate")
            return MIXTURE
        chosen = min(known, key=lambda name: (known[name], CANDIDATES.index(name)))
        words = ", ".join(f"{name} {loss:.3f}" for name, loss in known.items())
        self.reporter.log(f"held-out loss: {words}; chosen: {chosen}")
        return chosen

    def _choose(self, method: str) -> Choice:
        if method in self.choices:
            return self.choices[method]
        kept = self.stages.load(f"choice-{method}")
        if kept is not None:
            choice = Choice(**{**kept, "curve": {int(step): value for step, value in kept["curve"].items()}})
        elif method == "untouched":
            choice = self._as_it_is(method)
        else:
            choice = choose(
                self.cast.learner(method),
                self.shots,
                self.folds,
                self.config.rates(method),
                self._settings(),
                method=_series(method),
                reporter=self.reporter,
            )
        self.stages.save(f"choice-{method}", asdict(choice))
        self.choices[method] = choice
        return choice

    def _as_it_is(self, method: str) -> Choice:
        """Nothing is trained; all shots that any fold holds out are scored."""
        learner = self.cast.learner(method)
        losses = [
            held_out_loss(learner.losses(learner.start(), self.shots.subset(fold.held_out))) for fold in self.folds
        ]
        return Choice(learning_rate=0.0, steps=0, loss=float(np.mean(losses)) if losses else None, curve={})

    # Training on all shots, testing.

    def _test(self, name: str, method: str) -> float:
        """Scores ``method`` under ``name``."""
        score = self.scores.add(name, self._outcome(method).predictions)
        self.reporter.metric(name, self.choices[method].steps if method in self.choices else 0, {"score": score})
        return score

    def _outcome(self, method: str) -> _Outcome:
        """A method trained as was chosen, and its answers to the test examples."""
        if method in self.outcomes:
            return self.outcomes[method]
        kept, tensors = self.stages.load(f"outcome-{method}"), self.stages.load_tensors(f"state-{method}")
        if kept is not None and (tensors is not None or method in ("backbone", "full")):
            if method != "backbone":
                self._choose(method)  # was kept, too, and belongs into the result
            outcome = _Outcome(self._restored(tensors), kept["predictions"])
        else:
            outcome = self._train_and_predict(method)
            if outcome.state is not None:
                self.stages.save_tensors(f"state-{method}", vars(outcome.state))
            self.stages.save(f"outcome-{method}", {"predictions": outcome.predictions})
        self.outcomes[method] = outcome
        return outcome

    def _restored(self, tensors: Mapping[str, Tensor] | None) -> Mixed | None:
        """A state as it was kept, on the backbone's device."""
        return None if tensors is None else Mixed(**{key: t.to(self.backbone.device) for key, t in tensors.items()})

    def _train_and_predict(self, method: str) -> _Outcome:
        if method == "backbone":
            self.reporter.phase("test backbone", len(self.test))
            answers = self.backbone.predict(self.encoded_test, self.task)
            self.reporter.advance(len(self.test))
            return _Outcome(None, answers)
        learner, choice = self.cast.learner(method), self._choose(method)
        state = (
            train(
                learner, self.shots, choice, self._settings(), method=_series(method), reporter=self.reporter,
                show_every=ALPHA_EVERY if method == MIXTURE else 0,
            )
            if choice.steps
            else learner.start()
        )  # fmt: skip
        self.reporter.phase(f"test {_series(method)}", len(self.test))
        answers = learner.predict(state, self.encoded_test, self.task, self.reporter)
        return _Outcome(state if isinstance(state, Mixed) else None, answers)

    def _shown(self, chosen: str) -> list[dict[str, Any]]:
        state, learner = self.outcomes[chosen].state, self._mixture_learner(chosen)
        assert state is not None
        losses = learner.losses(state, self.encoded_test)
        return shown_predictions(self.test, self.outcomes[chosen].predictions, self.scores.rows["pi"], losses)

    def _mixture_learner(self, method: str) -> MixtureLearner:
        learner = self.cast.learner(method)
        assert isinstance(learner, MixtureLearner)
        return learner

    # Export.

    def _export(self, chosen: str, score: float) -> dict[str, Any]:
        """Collapses the chosen candidate to one expert, checks it and saves it in the workspace."""
        state, learner = self.outcomes[chosen].state, self._mixture_learner(chosen)
        assert state is not None
        collapsed = collapse(self.cast.mixture, state.experts, state.weights)
        batch = self.shots.batch(range(min(CHECKED, len(self.shots))))
        identity = identity_check(self.cast.mixture, state.experts, state.weights, collapsed, batch)
        name = self.config.expert_name
        weights = _mean_weights(learner.names, state.weights, (OWN, *self.cast.donors))
        spec = {**asdict(self.config), "method": "pi", "chosen": chosen, "donors_used": list(self.cast.donors),
                "weights": weights}  # fmt: skip
        expert = make_expert(
            collapsed.model, collapsed.values, name=name, task=self.task.name, seed=self.config.seed, spec=spec,
            scores={"test": score},
        )  # fmt: skip
        save_expert(expert, collapsed.model, self.workspace.new_expert_dir(self.config.kind, name))
        self.reporter.log(f"kept as expert {name}")
        return {
            "expert": name,
            "weights": weights,
            "weights_per_site": {
                "sites": list(self.cast.mixture.space.site_names),
                "experts": list(learner.names),
                "weights": [[round(value, 6) for value in row] for row in state.weights.tolist()],
            },
            "identity": identity,
        }


def _series(method: str) -> str:
    """The name of a method's curve; the mixture's is π-tuning's."""
    return "pi" if method == MIXTURE else method


def _mean_weights(names: tuple[str, ...], weights: Tensor, everyone: tuple[str, ...]) -> dict[str, float]:
    """Mean over sites by expert; 0 for those that the chosen candidate leaves out."""
    means = dict(zip(names, torch.mean(weights, dim=0).tolist(), strict=True))
    return rounded({name: means.get(name, 0.0) for name in everyone})


def _plain(neighbor: Neighbor) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(neighbor).items()}
