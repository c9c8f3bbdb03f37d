"""Mixtures of experts: φ̄_m = Σ_i softmax(α_m)_i φ_{i,m} for every site m (Wu et al., ICML 2023; design, section 3).

K experts are one buffer (K, P). They are mixed before the forward pass and for all sites at once, so a training step
costs about the same whatever K is. Bottleneck and prefix: the flat values themselves are mixed. LoRA: the products
B_i A_i are mixed, never the factors separately: ΔW_m = Σ_i w_i s B_i A_i for all maps of one shape in one batched
product, added to the frozen weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.network import Network, ParameterSwap, nll_per_example
from pituning.backbones.prediction import predict
from pituning.errors import BadInput, RunFailed
from pituning.experts.model import ExpertModel
from pituning.experts.shapes import CHECKPOINT_ROOT
from pituning.experts.space import ExpertSpace
from pituning.progress import Reporter
from pituning.tasks.base import Task

TOLERANCE = 1e-4
"""How far logits may differ, relative to the largest, where they are equal but for rounding."""


class Mixture:
    """Runs a frozen backbone with a weighted mixture of K experts of one kind.

    Args:
        model: gives kind, layout and, for bottleneck and prefix, the forward pass; its values are never changed.
        backbone: the same backbone without PEFT layers; LoRA's merged weights run in it. Not changed either.
    """

    def __init__(self, model: ExpertModel, backbone: Backbone):
        if model.backbone.fingerprint != backbone.fingerprint:
            raise BadInput(f"the experts' backbone {model.backbone.name!r} is not {backbone.name!r}; load one of them")
        self.model = model
        self.backbone = backbone
        self._merger = _LoraMerger(model.space, backbone) if model.kind == "lora" else None
        self.network: Network = backbone.network if self._merger else model.network

    @property
    def space(self) -> ExpertSpace:
        return self.model.space

    def uniform(self, count: int) -> Tensor:
        """Weights (S, K) that are all 1/K."""
        return torch.full((len(self.space.sites), count), 1 / count, device=self.model.device)

    @contextmanager
    def using(self, experts: Tensor, weights: Tensor) -> Iterator[None]:
        """Within the context `network` runs with the mixture; gradients flow into experts and weights.

        Args:
            experts: (K, P).
            weights: (S, K), each row summing to 1.
        """
        self._check(experts, weights)
        if self._merger is not None:
            with self._merger.using(experts, weights):
                yield
        else:
            with self.model.using(mix(self.space, experts, weights)):
                yield

    def forward(self, experts: Tensor, weights: Tensor, batch: Batch) -> Tensor:
        """Logits (B, U, V)."""
        with self.using(experts, weights):
            return self.network(batch)

    def loss(self, experts: Tensor, weights: Tensor, batch: Batch) -> Tensor:
        """(B,) −log p(y | x) of a batch, summed over answer tokens."""
        return nll_per_example(self.forward(experts, weights, batch), batch.labels)

    def predict(
        self,
        experts: Tensor,
        weights: Tensor,
        encoded: EncodedExamples,
        task: Task,
        *,
        batch_size: int = 64,
        reporter: Reporter | None = None,
    ) -> list[str]:
        """The answers to all examples, in their order."""
        with torch.no_grad(), self.using(experts.detach(), weights.detach()):
            return predict(self.network, self.backbone, encoded, task, batch_size=batch_size, reporter=reporter)

    def _check(self, experts: Tensor, weights: Tensor) -> None:
        count = experts.shape[0]
        if experts.shape != (count, self.space.size) or weights.shape != (len(self.space.sites), count) or count == 0:
            raise BadInput(
                f"experts {tuple(experts.shape)} and weights {tuple(weights.shape)} do not fit; expected (K, "
                f"{self.space.size}) and ({len(self.space.sites)}, K)"
            )


def mix(space: ExpertSpace, experts: Tensor, weights: Tensor) -> Tensor:
    """Σ_i w_{m,i} φ_{i,m} for every site m: (P,) from experts (K, P) and weights (S, K)."""
    # One split, so that its backward pass is one concatenation.
    pieces = torch.split(experts, list(space.site_sizes), dim=1)
    return torch.cat([row @ piece for row, piece in zip(weights.unbind(0), pieces, strict=True)])


@dataclass(frozen=True)
class _Group:
    """The LoRA maps of one shape, G of them."""

    names: list[str]
    sites: Tensor  # (G,) index of each map's site
    slots_a: list[int]  # of each map's A in the space's slots
    slots_b: list[int]
    frozen: Tensor  # (G, d_out, d_in)
    rank: int


class _LoraMerger:
    """Adds mixed LoRA products to a plain backbone's weights."""

    def __init__(self, space: ExpertSpace, backbone: Backbone):
        self.sizes = list(space.sizes)
        self.scale = float(space.config["scale"])
        slots = list(space.slots())
        site_of = [number for number, site in enumerate(space.sites) for _ in site.slots]
        parameters = dict(backbone.model.named_parameters())
        by_shape: dict[tuple[int, ...], list[tuple[str, int]]] = {}
        for index in range(0, len(slots), 2):  # A, then B
            name = slots[index].name.removeprefix(CHECKPOINT_ROOT).replace(".lora_A.weight", ".weight")
            by_shape.setdefault(tuple(parameters[name].shape), []).append((name, index))
        self.groups = [
            _Group(
                names=[name for name, _ in maps],
                sites=torch.tensor([site_of[index] for _, index in maps], device=backbone.device),
                slots_a=[index for _, index in maps],
                slots_b=[index + 1 for _, index in maps],
                frozen=torch.stack([parameters[name].detach() for name, _ in maps]),
                rank=slots[maps[0][1]].shape[0],
            )
            for maps in by_shape.values()
        ]
        self.swap = ParameterSwap(backbone.model, [name for group in self.groups for name in group.names])

    @contextmanager
    def using(self, experts: Tensor, weights: Tensor) -> Iterator[None]:
        with self.swap(self.merged(experts, weights)):
            yield

    def merged(self, experts: Tensor, weights: Tensor) -> list[Tensor]:
        """W + Σ_i w_i s B_i A_i of every map, in the order of the swap's names."""
        count = experts.shape[0]
        pieces = torch.split(experts, self.sizes, dim=1)
        merged: list[Tensor] = []
        for group in self.groups:
            maps, d_out, d_in = group.frozen.shape
            rank = group.rank
            a = torch.stack([pieces[i] for i in group.slots_a]).view(maps, count * rank, d_in)
            b = torch.stack([pieces[i] for i in group.slots_b]).view(maps, count, d_out, rank)
            b = b * weights[group.sites].view(maps, count, 1, 1)
            b = b.transpose(1, 2).reshape(maps, d_out, count * rank)
            merged += torch.baddbmm(group.frozen, b, a, alpha=self.scale).unbind(0)
        return merged


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
    experts, weights = experts[used], weights[:, used]
    space = mixture.space
    if space.kind != "lora" or (len(experts) == 1 and bool((weights == 1).all())):
        return Collapsed(mixture.model, mix(space, experts, weights))
    count = len(experts)
    rank = int(space.config["rank"])
    model = ExpertModel(mixture.backbone, "lora", {**space.config, "rank": count * rank})
    parts: list[Tensor] = []
    for number, site in enumerate(space.sites):
        for slot in site.slots:
            piece = experts[:, slot.start : slot.stop].view(count, *slot.shape)
            if ".lora_A." in slot.name:  # (K, r, d_in) -> (K r, d_in)
                parts.append(piece.flatten(0, 1).flatten())
            else:  # (K, d_out, r) -> (d_out, K r)
                scaled = piece * weights[number].view(count, 1, 1)
                parts.append(scaled.transpose(0, 1).reshape(slot.shape[0], count * rank).flatten())
    return Collapsed(model, torch.cat(parts))


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
        if not value <= TOLERANCE:
            raise RunFailed(f"identity check: {what} by {value:.1e} of the logits; nothing was exported, report this")
    return {"one_donor": worst, "collapsed": after}


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
