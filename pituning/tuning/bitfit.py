"""BitFit: nothing but the biases are trained (Ben Zaken, Ravfogel, Goldberg, ACL 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.prediction import predict
from pituning.backbones.swap import ParameterSwap
from pituning.errors import BadInput
from pituning.progress import Reporter
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.training.loop import fit
from pituning.tuning.learners import Callback, losses_of


@dataclass(frozen=True, kw_only=True)
class BitFitLearner:
    """Trains all biases of the language model, those of layer norms included. Its state is their flat values (P,).

    Like an expert it acts behind the frozen vision tower.
    """

    backbone: Backbone

    def start(self) -> Tensor:
        parameters = dict(self.backbone.model.named_parameters())
        return torch.cat([parameters[name].detach().flatten() for name in self._names])

    def fit(
        self, encoded: EncodedExamples, config: TrainConfig, *, series: str, reporter: Reporter, callback: Callback
    ) -> None:
        biases = self.start().requires_grad_(True)
        swap = self._swap()

        def loss(batch: Batch) -> Tensor:
            with swap(self._tensors(biases)):
                return self.backbone.loss(batch)

        def evaluate(step: int) -> Mapping[str, float]:
            callback(step, biases.detach().clone())
            return {}

        fit([biases], loss, encoded.without_states(), config, reporter=reporter, series=series, evaluate=evaluate,
            announce=False)  # fmt: skip

    def losses(self, state: Tensor, encoded: EncodedExamples) -> np.ndarray:
        with torch.no_grad(), self._swap()(self._tensors(state)):
            return losses_of(self.backbone, encoded.without_states())

    def predict(self, state: Tensor, encoded: EncodedExamples, task: Task, reporter: Reporter) -> list[str]:
        with self._swap()(self._tensors(state)):
            return predict(self.backbone, encoded.without_states(), task, reporter=reporter)

    @property
    def _names(self) -> list[str]:
        parameters, part = self.backbone.model.named_parameters(), self.backbone.trained_part
        names = [name for name, _ in parameters if name.startswith(part) and name.endswith(".bias")]
        if not names:
            raise BadInput(f"backbone {self.backbone.name!r} has no biases for bitfit to train; leave it out",
                           field="baselines")  # fmt: skip
        return names

    def _swap(self) -> ParameterSwap:
        return ParameterSwap(self.backbone.model, self._names)

    def _tensors(self, flat: Tensor) -> tuple[Tensor, ...]:
        parameters = dict(self.backbone.model.named_parameters())
        return torch.split(flat, [parameters[name].numel() for name in self._names])  # every bias is a vector
