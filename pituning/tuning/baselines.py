"""What each method starts with and what of it learns. All get the same shots, steps, learning rates and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.tuning.config import TuneConfig
from pituning.tuning.donors import placebo, random_donors
from pituning.tuning.interpolation import Mixture
from pituning.tuning.learners import FullLearner, Learner, MixtureLearner

OWN = "own"
"""The name, among a mixture's experts, of the target's own new one."""

MIXTURE = "mixture"
CANDIDATES = (MIXTURE, "single", "donor", "untouched")
"""What π-tuning chooses from by cross-validation, which guards against negative transfer."""

OWN_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who takes part in a tuning.

    Args:
        own: (P,) where the target's own expert starts.
        zoo: (P,) values of every expert that can lend, by task.
        donors: the chosen ones, most similar first.
        similarity: of the target to each task of the zoo, where known.
    """

    config: TuneConfig
    backbone: Backbone
    mixture: Mixture
    own: Tensor
    zoo: Mapping[str, Tensor]
    donors: tuple[str, ...]
    similarity: Mapping[str, float]

    def learner(self, method: str) -> Learner:
        """The learner of a method.

        - ``mixture``: own expert and donors, experts and weights trained; what π-tuning is.
        - ``single``: one new expert of the same kind. ``donor``: the most similar task's expert, trained on.
        - ``uniform``: the mixture with equal, fixed weights. ``random``, ``placebo``: the mixture with tasks drawn by
          lot, with random parameters of the donors' norms.
        - ``untouched``: the donors in equal parts, nothing trained. ``full``: every parameter of the backbone.
        """
        if method == "full":
            return FullLearner(backbone=self.backbone)
        if method == "single":
            return self._mixture((OWN,), self.own[None], learn_alpha=False)
        donors = self._values(self.donors)
        if method == "donor":
            return self._mixture(self.donors[:1], donors[:1], learn_alpha=False)
        if method == "untouched":
            return self._mixture(self.donors, donors, learn_alpha=False, trained=0)
        if method in ("random", "placebo"):
            names, values = self.control(method, donors)
            return self._mixture(
                (OWN, *names), self._with_own(values), alpha=self._alpha(), trained=self._trained(len(names))
            )
        together = self._with_own(donors)
        return self._mixture(
            (OWN, *self.donors),
            together,
            alpha=torch.zeros(len(together)) if method == "uniform" else self._alpha(),
            learn_alpha=method == MIXTURE,
            trained=self._trained(len(donors)),
            show_alpha=method == MIXTURE,
        )

    def control(self, method: str, donors: Tensor) -> tuple[tuple[str, ...], Tensor]:
        """Names and values (K, P) of the donors of a control."""
        if method == "placebo":
            names = tuple(f"placebo-{number}" for number in range(1, len(donors) + 1))
            return names, placebo(donors, self.mixture.model, self.config.seed)
        drawn = tuple(random_donors(list(self.zoo), self.donors, self.config.seed))
        return drawn, self._values(drawn)

    def _values(self, names: Sequence[str]) -> Tensor:
        return torch.stack([self.zoo[name] for name in names]).to(self.own)

    def _with_own(self, donors: Tensor) -> Tensor:
        return torch.cat([self.own[None], donors])

    def _trained(self, donors: int) -> int:
        return 1 if self.config.freeze_experts else 1 + donors

    def _alpha(self) -> Tensor:
        """(1 + K,) where α starts: own expert first."""
        count = len(self.donors)
        start = torch.zeros(1 + count)
        if self.config.alpha_start == "own":
            start[0] = torch.tensor(count * OWN_SHARE / (1 - OWN_SHARE)).log()
        elif self.config.alpha_start == "similarity" and self.similarity:
            spread = torch.tensor(list(self.similarity.values())).std().clamp_min(1e-6)
            start[1:] = torch.tensor([self.similarity[name] for name in self.donors]) / spread
            start[0] = start[1:].max()
        return start

    def _mixture(
        self,
        names: Sequence[str],
        experts: Tensor,
        *,
        alpha: Tensor | None = None,
        learn_alpha: bool = True,
        trained: int | None = None,
        show_alpha: bool = False,
    ) -> MixtureLearner:
        return MixtureLearner(
            mixture=self.mixture,
            names=tuple(names),
            experts=experts,
            alpha=(torch.zeros(len(experts)) if alpha is None else alpha).to(experts),
            learn_alpha=learn_alpha,
            trained=len(experts) if trained is None else trained,
            alpha_rate=self.config.alpha_rate,
            show_alpha=show_alpha,
        )
