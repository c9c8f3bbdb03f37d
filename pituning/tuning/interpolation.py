"""Mixtures of experts: φ̄_m = Σ_i softmax(α_m)_i φ_{i,m} for every site m (Wu et al., ICML 2023; design, section 3).

K experts are one buffer (K, P). They are mixed before the forward pass and for all sites at once, or, where the maps of
a LoRA are large, in activation space as one pair of rank K·r (`pituning.experts.kinds.lora`): a training step costs
about the same whatever K is, and nothing of the size of the backbone is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.prediction import predict
from pituning.errors import BadInput, RunFailed
from pituning.experts.kinds.base import Mixer
from pituning.experts.model import ExpertModel
from pituning.experts.plain import TOLERANCE
from pituning.experts.space import ExpertSpace
from pituning.progress import Reporter
from pituning.tasks.base import Task


class Mixture:
    """Runs a frozen backbone with a weighted mixture of K experts of one kind.

    Args:
        model: gives backbone, kind and layout.
    """

    def __init__(self, model: ExpertModel):
        self.model = model
        self.backbone = model.backbone
        self._mixer: Mixer = model.method.mixer(model.backbone, model.space)

    @property
    def space(self) -> ExpertSpace:
        return self.model.space

    def uniform(self, count: int) -> Tensor:
        """Weights (S, K) that are all 1/K."""
        return torch.full((len(self.space.sites), count), 1 / count, device=self.model.device)

    @contextmanager
    def using(self, experts: Tensor, weights: Tensor) -> Iterator[None]:
        """Within the context the backbone runs with the mixture; gradients flow into experts and weights.

        Args:
            experts: (K, P).
            weights: (S, K), each row summing to 1.
        """
        self._check(experts, weights)
        with self.backbone.changed(self.space.modules), self._mixer(experts, weights):
            yield

    def forward(self, experts: Tensor, weights: Tensor, batch: Batch) -> Tensor:
        """Logits (B, U, V)."""
        with self.using(experts, weights):
            return self.backbone.logits(batch)

    def loss(self, experts: Tensor, weights: Tensor, batch: Batch) -> Tensor:
        """(B,) −log p(y | x) of a batch, summed over answer tokens."""
        with self.using(experts, weights):
            return self.backbone.loss(batch)

    def predict(
        self,
        experts: Tensor,
        weights: Tensor,
        encoded: EncodedExamples,
        task: Task,
        *,
        batch_size: int | None = None,
        reporter: Reporter | None = None,
    ) -> list[str]:
        """The answers to all examples, in their order."""
        with torch.no_grad(), self.using(experts.detach(), weights.detach()):
            return predict(self.backbone, encoded, task, batch_size=batch_size, reporter=reporter)

    def _check(self, experts: Tensor, weights: Tensor) -> None:
        count = experts.shape[0]
        if experts.shape != (count, self.space.size) or weights.shape != (len(self.space.sites), count) or count == 0:
            raise BadInput(
                f"experts {tuple(experts.shape)} and weights {tuple(weights.shape)} do not fit; expected (K, "
                f"{self.space.size}) and ({len(self.space.sites)}, K)"
            )


@dataclass(frozen=True)
class Collapsed:
    """A mixture as one ordinary expert φ*: values (P*,) in the layout of ``model``."""

    model: ExpertModel
    values: Tensor


def collapse(mixture: Mixture, experts: Tensor, weights: Tensor) -> Collapsed:
    """The one expert that does the same as the mixture; of K LoRAs of rank r it is one of rank K·r.

    Experts without weight anywhere are left out.
    """
    mixture._check(experts, weights)
    experts, weights = experts.detach(), weights.detach()
    used = (weights != 0).any(0)
    space, values = mixture.model.method.collapse(mixture.space, experts[used], weights[:, used])
    if space is mixture.space:
        return Collapsed(mixture.model, values)
    return Collapsed(ExpertModel(mixture.backbone, space.kind, space=space), values)


def identity_check(
    mixture: Mixture, experts: Tensor, weights: Tensor, collapsed: Collapsed, batch: Batch
) -> dict[str, float]:
    """Proves that mixing is right before anything is exported.

    One expert at weight 1, the others at 0, must reproduce that expert as PEFT runs it; the collapsed expert must
    reproduce the mixture.

    Returns:
        The largest difference of logits relative to the largest logit: ``one_donor`` and ``collapsed``.

    Raises:
        RunFailed: when one is larger than rounding explains.
    """
    worst = 0.0
    with torch.no_grad():
        for index in range(len(experts)):
            alone = torch.zeros_like(weights)
            alone[:, index] = 1
            expected = mixture.model.forward(experts[index].detach(), batch)
            worst = max(worst, _difference(mixture.forward(experts, alone, batch), expected))
        mixed = mixture.forward(experts, weights, batch)
        after = _difference(collapsed.model.forward(collapsed.values, batch), mixed)
    for what, value in (("one expert at weight 1 differs from itself", worst), ("the collapsed expert differs", after)):
        if not value <= TOLERANCE[mixture.backbone.dtype]:
            raise RunFailed(f"identity check: {what} by {value:.1e} of the logits; nothing was exported, report this")
    return {"one_donor": worst, "collapsed": after}


def _difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
