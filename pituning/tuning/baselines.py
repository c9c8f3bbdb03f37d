"""What each method starts with and what of it learns. All get the same shots, steps, search over rates and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.errors import BadInput
from pituning.tasks.base import Task
from pituning.tuning.bitfit import BitFitLearner
from pituning.tuning.config import CONTROLS, MIXTURE, TuneConfig, is_trained
from pituning.tuning.donors import placebo, random_donors, same_format_donors
from pituning.tuning.interpolation import Mixture
from pituning.tuning.learners import FullLearner, Learner, MixtureLearner
from pituning.tuning.lorahub import LoraHubLearner

OWN = "own"
"""The name, among a mixture's experts, of the target's own new one."""

DRAWN = ("random", "distant", "same-format")
"""The controls whose donors are experts of the zoo."""

OWN_SHARE = 0.5
AS_IS = "-untouched"


@dataclass(frozen=True, kw_only=True)
class Methods:
    """Who takes part in a tuning.

    Args:
        own: (P,) where the target's own expert starts.
        zoo: (P,) values of every expert that can lend, by task.
        donors: the chosen ones, most similar first.
        similarity: of the target to each task of the zoo, where known.
        task: the target.
        task_of: finds a task of the zoo by its name.
        own_sites: (S,) where the target's own expert alone has parameters, if there are such sites.
    """

    config: TuneConfig
    backbone: Backbone
    mixture: Mixture
    own: Tensor
    zoo: Mapping[str, Tensor]
    donors: tuple[str, ...]
    similarity: Mapping[str, float]
    task: Task
    task_of: Callable[[str], Task]
    own_sites: Tensor | None = None

    def learner(self, method: str) -> Learner:
        """The learner of a method.

        - ``mixture``: own expert and donors, experts and weights trained; what π-tuning is.
        - ``single``: one new expert of the same kind. ``donor``: the most similar task's expert, trained on.
        - ``uniform``: the mixture with equal, fixed weights. ``random``, ``distant``, ``same-format``, ``placebo``,
          ``donor-placebo``: the mixture with the donors of a `control`.
        - ``untouched``: the donors in equal parts, nothing trained; ``random-untouched`` and so on: those of a control.
          ``donor-untouched``: the most similar task's expert as it is.
        - ``lorahub``: the donors as they are, their weights searched for without gradients.
        - ``full``: every parameter of the backbone. ``bitfit``: its biases.
        """
        if method == "full":
            return FullLearner(backbone=self.backbone)
        if method == "bitfit":
            return BitFitLearner(backbone=self.backbone)
        if method == "single":
            return self._mixture((OWN,), self.own[None], learn_alpha=False)
        control = method.removesuffix(AS_IS)
        names, donors = self.control(control) if control in CONTROLS else (self.donors, self._values(self.donors))
        if method == "donor":
            return self._mixture(names[:1], self._completed(donors[:1]), learn_alpha=False)
        if method == "donor-untouched":
            return self._mixture(names[:1], donors[:1], learn_alpha=False, trained=0)
        if method == "lorahub":
            return LoraHubLearner(mixture=self.mixture, names=names, experts=donors)
        if not is_trained(method):
            return self._mixture(names, donors, learn_alpha=False, trained=0)
        together = torch.cat([self.own[None], self._completed(donors, besides=self.own_sites)])
        return self._mixture(
            (OWN, *names),
            together,
            alpha=torch.zeros(len(together)) if method == "uniform" else self._alpha(len(donors)),
            learn_alpha=method != "uniform",
            trained=1 if self.config.freeze_experts else 1 + len(donors),
            show_alpha=method == MIXTURE,
        )

    def control(self, name: str) -> tuple[tuple[str, ...], Tensor]:
        """Names and values (K, P) of the donors of a control; fewer than K where there are no more.

        - ``random``: tasks drawn at random. ``distant``: the least similar ones.
        - ``same-format``: tasks that answer in the target's form, but are neither relatives nor among the predicted.
        - ``placebo``: random parameters of the donors' norms. ``donor-placebo``: the most similar task's expert, and
          placebos in the place of the others.

        Raises:
            BadInput: when nobody can play the part.
        """
        count = len(self.donors)
        if name in ("placebo", "donor-placebo"):
            donors = self._values(self.donors)
            fakes = placebo(donors, self.mixture.model, self.config.seed)
            names = tuple(f"placebo-{number}" for number in range(1, count + 1))
            if name == "donor-placebo":
                return (self.donors[0], *names[1:]), torch.cat([donors[:1], fakes[1:]])
            return names, fakes
        chosen = drawn(
            name, self.config, tuple(self.zoo), self.donors, similarity=self.similarity, task=self.task,
            task_of=self.task_of,
        )  # fmt: skip
        return chosen, self._values(chosen)

    def _completed(self, experts: Tensor, besides: Tensor | None = None) -> Tensor:
        """Experts (K, P) that start as the target's own at the sites of the vision tower where they have nothing: from
        nothing no LoRA learns.

        Args:
            besides: (S,) sites that stay as they are.
        """
        if not self.config.vision_tower:
            return experts
        sites = self.mixture.space.sites
        lacking = torch.stack([~experts[:, site.start : site.stop].any(1) for site in sites], dim=1)
        if besides is not None:
            lacking &= ~besides
        sizes = torch.tensor(self.mixture.space.site_sizes, device=experts.device)
        return torch.where(lacking.repeat_interleave(sizes, dim=1), self.own, experts)

    def _values(self, names: Sequence[str]) -> Tensor:
        return torch.stack([self.zoo[name] for name in names]).to(self.own)

    def _alpha(self, count: int) -> Tensor:
        """(1 + K,) where α starts: own expert first."""
        start = torch.zeros(1 + count)
        if self.config.alpha_start == "own":
            start[0] = torch.tensor(count * OWN_SHARE / (1 - OWN_SHARE)).log()
        elif self.config.alpha_start == "similarity" and self.similarity:
            spread = torch.tensor(list(self.similarity.values())).std().clamp_min(1e-6)
            start[1:] = torch.tensor([self.similarity[name] for name in self.donors[:count]]) / spread
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
            own_sites=self.own_sites if names[0] == OWN else None,
        )


def drawn(
    control: str,
    config: TuneConfig,
    zoo: Sequence[str],
    donors: Sequence[str],
    *,
    similarity: Mapping[str, float],
    task: Task,
    task_of: Callable[[str], Task],
) -> tuple[str, ...]:
    """The names of the donors of a control of `DRAWN`; see `Methods.control`.

    Raises:
        BadInput: when nobody can play the part.
    """
    others = [other for other in zoo if other not in donors]
    if control == "random":
        chosen = random_donors(list(zoo), donors, config.seed)
    elif control == "distant":
        if not similarity:
            raise BadInput("the least similar tasks are not known where donors are named", field="baselines")
        chosen = sorted(others, key=similarity.__getitem__)[: len(donors)]
    else:
        chosen = same_format_donors(task, [task_of(other) for other in others], config.seed)[: len(donors)]
    if not chosen:
        what = "answers in the same form without being a relative" if control == "same-format" else "can be a donor"
        raise BadInput(f"baseline {control!r}: no other task {what} of {task.name!r}; leave it out", field="baselines")
    return tuple(chosen)
