"""LoraHub: donors as they are, their weights found without gradients (Huang et al., COLM 2024).

The weights start from nothing, may be negative and need not sum to 1; what is minimised is the loss on the shots plus
0.05 Σ|w|, as in the paper. Two things differ from its code, so that a difference to other methods is one of the method:
the products B_iA_i are mixed, as everywhere here, not the factors; and the search is Nelder and Mead's (1965) simplex,
which needs no population for so few weights. The simplex' first edge stands for the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from pituning.backbones.encoded import EncodedExamples
from pituning.progress import Reporter
from pituning.tasks.base import Task
from pituning.training.config import TrainConfig
from pituning.tuning.interpolation import Mixture
from pituning.tuning.learners import Callback, Mixed, losses_of

BOUND = 1.5
"""Largest absolute weight."""
PENALTY = 0.05
PASSES_PER_STEP = 3
"""Forward passes that cost as much as one training step: the backward pass takes twice as long as the forward one."""


def evaluations(steps: int, config: TrainConfig, examples: int) -> int:
    """How many losses over all ``examples`` cost as much as so many training steps; at least one."""
    return max(1, steps * PASSES_PER_STEP * min(config.batch_size, examples) // examples)


@dataclass(frozen=True, kw_only=True)
class LoraHubLearner:
    """Searches for the weights of frozen experts (K, P). Its state is the best mixture so far.

    A training of so many steps is a search that costs as much: see `evaluations`.
    """

    mixture: Mixture
    names: tuple[str, ...]
    experts: Tensor

    def start(self) -> Mixed:
        return self._state(np.zeros(len(self.experts)))

    def fit(
        self, encoded: EncodedExamples, config: TrainConfig, *, series: str, reporter: Reporter, callback: Callback
    ) -> None:
        every = config.eval_every or config.steps
        checks = [*range(every, config.steps, every), config.steps]
        reported, done = 0, 0
        best, best_loss = np.zeros(len(self.experts)), np.inf

        def report(step: int) -> None:
            nonlocal reported
            reporter.advance(step - 1 - reported)
            callback(step, self._state(best))
            reporter.advance()
            reported = step

        def loss(weights: np.ndarray) -> float:
            nonlocal best, best_loss, done
            value = float(self.losses(self._state(weights), encoded).mean() + PENALTY * np.abs(weights).sum())
            done += 1
            if value < best_loss:
                best, best_loss = weights.copy(), value
            while checks and evaluations(checks[0], config, len(encoded)) <= done:
                report(checks.pop(0))
            return value

        edge = min(config.learning_rate, BOUND)
        simplex = np.vstack([best, edge * np.eye(len(best))])
        limit = evaluations(config.steps, config, len(encoded))
        minimize(
            loss, best, method="Nelder-Mead", bounds=[(-BOUND, BOUND)] * len(best),
            options={"initial_simplex": simplex, "maxfev": limit, "xatol": 0.0, "fatol": 0.0},
        )  # fmt: skip
        while checks:  # where the simplex came to a point before the budget was spent
            report(checks.pop(0))

    def losses(self, state: Mixed, encoded: EncodedExamples) -> np.ndarray:
        with torch.no_grad(), self.mixture.using(state.experts, state.weights):
            return losses_of(self.mixture.backbone, encoded)

    def predict(self, state: Mixed, encoded: EncodedExamples, task: Task, reporter: Reporter) -> list[str]:
        return self.mixture.predict(state.experts, state.weights, encoded, task, reporter=reporter)

    def _state(self, weights: np.ndarray) -> Mixed:
        row, experts = torch.from_numpy(weights).to(self.experts), self.experts
        neutral = self.mixture.model.method.neutral
        if neutral:  # weights that do not sum to 1 would scale everything: an expert that changes nothing has the rest
            experts = torch.cat([experts, torch.full_like(experts[:1], neutral)])
            row = torch.cat([row, 1 - row.sum(0, keepdim=True)])
        return Mixed(experts, row.repeat(len(self.mixture.space.sites), 1))
