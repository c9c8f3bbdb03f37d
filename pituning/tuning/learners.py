"""What can be trained on the shots: a mixture of experts (one expert is a mixture of one), or the whole backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.certainty import label_scores
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.prediction import predict
from pituning.progress import Reporter
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.training.loop import fit
from pituning.training.single import TunedBackbone, full_finetune
from pituning.tuning.interpolation import Mixture

Callback = Callable[[int, Any], None]
"""Called with the number of steps done and the state; may raise `StopTraining`."""


class StopTraining(Exception):
    """Ends a training at the step at which it is raised."""


class Learner(Protocol):
    """A method that learns from shots. A state is what training has made, in a form of the learner's own."""

    def start(self) -> Any:
        """The state before any training."""

    def fit(
        self, encoded: EncodedExamples, config: TrainConfig, *, series: str, reporter: Reporter, callback: Callback
    ) -> None:
        """Trains from the start; ``callback`` sees the state every ``config.eval_every`` steps and at the end."""

    def losses(self, state: Any, encoded: EncodedExamples) -> np.ndarray:
        """(N,) −log p(y | x) / √length of each example: what training minimises."""

    def predict(self, state: Any, encoded: EncodedExamples, task: Task, reporter: Reporter) -> list[str]:
        """The answers to all examples."""


@dataclass(frozen=True)
class Mixed:
    """The state of a mixture: experts (K, P) and weights (S, K)."""

    experts: Tensor
    weights: Tensor


@dataclass(frozen=True, kw_only=True)
class MixtureLearner:
    """Trains experts and interpolation weights together (Wu et al., ICML 2023).

    Args:
        names: of the K experts; ``own`` is the target's.
        experts: (K, P) where they start.
        alpha: (K,) where each site's α starts.
        learn_alpha: whether α is trained; else the weights stay softmax(alpha).
        trained: how many of the experts are trained, the first ones; the others stay as they are.
        alpha_rate: learning rate of α as a multiple of the experts'.
        show_alpha: whether the reporter is told of the weights.
        own_sites: (S,) where the first expert alone has parameters: there is nothing to mix, its weight is 1.
    """

    mixture: Mixture
    names: tuple[str, ...]
    experts: Tensor
    alpha: Tensor
    learn_alpha: bool
    trained: int
    alpha_rate: float = 10.0
    show_alpha: bool = False
    own_sites: Tensor | None = None

    def start(self) -> Mixed:
        return Mixed(self.experts, self._weights(self._rows()))

    def fit(
        self, encoded: EncodedExamples, config: TrainConfig, *, series: str, reporter: Reporter, callback: Callback
    ) -> None:
        learning = self.experts[: self.trained].clone().requires_grad_(self.trained > 0)
        # Adam moves every parameter by about its learning rate: dividing α by the factor multiplies its rate by it.
        alpha = (self._rows() / self.alpha_rate).requires_grad_(self.learn_alpha)
        parameters = [tensor for tensor in (learning, alpha) if tensor.requires_grad]

        def experts() -> Tensor:
            return torch.cat([learning, self.experts[self.trained :]])

        def state() -> Mixed:
            return Mixed(experts().detach(), self._weights(alpha.detach() * self.alpha_rate))

        def loss(batch: Batch) -> Tensor:
            return self.mixture.loss(experts(), self._weights(alpha * self.alpha_rate), batch)

        def evaluate(step: int) -> Mapping[str, float]:
            now = state()
            if self.show_alpha:
                self._tell(step, now, reporter)
            callback(step, now)
            return {}

        if not parameters:
            callback(config.steps, state())
            return
        if self.show_alpha:
            self._tell(0, self.start(), reporter)
        fit(parameters, loss, encoded, config, reporter=reporter, series=series, evaluate=evaluate, announce=False)

    def losses(self, state: Mixed, encoded: EncodedExamples) -> np.ndarray:
        with torch.no_grad(), self.mixture.using(state.experts, state.weights):
            return losses_of(self.mixture.backbone, encoded)

    def predict(self, state: Mixed, encoded: EncodedExamples, task: Task, reporter: Reporter) -> list[str]:
        return self.mixture.predict(state.experts, state.weights, encoded, task, reporter=reporter)

    def label_scores(
        self, state: Mixed, encoded: EncodedExamples, labels: Sequence[str], reporter: Reporter
    ) -> np.ndarray:
        """(N, L) log probability of every label for every example."""
        with torch.no_grad(), self.mixture.using(state.experts, state.weights):
            return label_scores(self.mixture.backbone, encoded, labels, reporter=reporter)

    def mixed(self, weights: Tensor) -> tuple[list[str], list[list[float]]]:
        """The sites where there is something to mix, and their rows of weights (S, K)."""
        alone = [False] * len(weights) if self.own_sites is None else self.own_sites.tolist()
        rows = zip(self.mixture.space.site_names, weights.tolist(), alone, strict=True)
        shown = [(name, row) for name, row, skipped in rows if not skipped]
        return [name for name, _ in shown], [row for _, row in shown]

    def _tell(self, step: int, state: Mixed, reporter: Reporter) -> None:
        sites, rows = self.mixed(state.weights)
        reporter.alpha(step, sites, self.names, rows)

    def _rows(self) -> Tensor:
        return self.alpha.repeat(len(self.mixture.space.sites), 1)

    def _weights(self, alpha: Tensor) -> Tensor:
        weights = alpha.softmax(dim=1)
        if self.own_sites is None:
            return weights
        alone = torch.zeros_like(weights)
        alone[:, 0] = 1
        return torch.where(self.own_sites[:, None], alone, weights)


@dataclass(frozen=True, kw_only=True)
class FullLearner:
    """Full fine-tuning of the backbone, vision tower included. Its state is all tuned parameters."""

    backbone: Backbone

    def start(self) -> TunedBackbone:
        return TunedBackbone(self.backbone, tuple(self.backbone.model.parameters()))

    def fit(
        self, encoded: EncodedExamples, config: TrainConfig, *, series: str, reporter: Reporter, callback: Callback
    ) -> None:
        steps = 0

        def evaluate(tuned: TunedBackbone) -> Mapping[str, float]:
            nonlocal steps
            steps = min(steps + config.eval_every, config.steps)
            callback(steps, tuned)
            return {}

        full_finetune(
            self.backbone, encoded, config, reporter=reporter, series=series, evaluate=evaluate, announce=False
        )

    def losses(self, state: TunedBackbone, encoded: EncodedExamples) -> np.ndarray:
        with torch.no_grad(), state.using() as backbone:
            return losses_of(backbone, backbone.seen_anew(encoded))

    def predict(self, state: TunedBackbone, encoded: EncodedExamples, task: Task, reporter: Reporter) -> list[str]:
        with torch.no_grad(), state.using() as backbone:
            return predict(backbone, backbone.seen_anew(encoded), task, reporter=reporter)


def losses_of(backbone: Backbone, encoded: EncodedExamples) -> np.ndarray:
    """(N,) −log p(y | x) / √length of each example, with whatever expert acts on the backbone."""
    losses = np.empty(len(encoded))
    for rows in encoded.by_length(backbone.evaluation_batch):
        batch = encoded.batch(rows)
        losses[rows] = (backbone.loss(batch) / batch.lengths.sqrt()).cpu().numpy()
    return losses
