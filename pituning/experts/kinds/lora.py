"""LoRA (Hu et al., ICLR 2022): ``y + s B A x`` beside linear maps.

Mixtures mix the products B_i A_i, never the factors separately. Where it is cheaper a map is merged: ΔW_m = Σ_i w_i s
B_i A_i for all maps of one shape in one batched product, added to the frozen weights. The others run in activation
space as one pair of rank K·r, so that nothing of the size of a weight is ever made. `merging_is_cheaper` counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import Tensor, nn

from pituning.backbones.base import Backbone
from pituning.backbones.places import IMAGE_ROLE
from pituning.backbones.swap import ParameterSwap
from pituning.experts.kinds.base import ExpertKind, Mixer, mix, plain_number, target_modules, task_type
from pituning.experts.space import ExpertSpace, SpaceBuilder, TensorSlot, union
from pituning.experts.tape import Tape

A, B = "lora_A.weight", "lora_B.weight"
MERGED_AT_MOST = 2**17
"""Numbers in a weight that is merged: of larger ones the merged weights and their gradients would fill the memory."""
TOKENS = 1024
"""Tokens of a step for which operations are counted. Not those of each batch, so that a batch's size never changes how
its examples are computed."""
THIN = 112
"""What reading and writing a token's value beside a map costs in multiplications: products as thin as these wait for
memory, and each map's own calls take time, where merging takes one call for all. Chosen between what was measured at
widths of 128, where merging is faster, and 256, where both are alike."""


def merging_is_cheaper(d_out: int, d_in: int, width: int) -> bool:
    """Whether a step with a map merged needs fewer multiplications than with a pair of factors beside it.

    Merged: B A and its two gradients, and the gradient of the whole weight, which the frozen map has not. Beside:
    both products and their gradients.

    Args:
        width: the rank of the pair, K·r.
    """
    merged = d_out * d_in * (3 * width + TOKENS)
    beside = TOKENS * (d_out + d_in) * (3 * width + THIN)
    return d_out * d_in <= MERGED_AT_MOST and merged <= beside


@dataclass(frozen=True)
class LoraMap:
    """One linear map with a LoRA: where its factors stand among the slots, and its site."""

    module: str
    a: int
    b: int
    site: int


def maps_of(space: ExpertSpace) -> list[LoraMap]:
    """The maps of a space, in its order."""
    pairs: dict[str, dict[str, int]] = {}
    sites: dict[str, int] = {}
    index = 0
    for number, site in enumerate(space.sites):
        for slot in site.slots:
            pairs.setdefault(slot.module, {})[slot.tensor] = index
            sites[slot.module] = number
            index += 1
    return [LoraMap(module, pair[A], pair[B], sites[module]) for module, pair in pairs.items()]


class Lora(ExpertKind):
    """Low-rank updates."""

    roles = ("query", "value", "up", "down")
    beside = (IMAGE_ROLE,)
    gradients = "linear"

    def peft_targets(self) -> Mapping[str, Sequence[str]]:
        return TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        rank = int(settings["rank"])
        return LoraConfig(
            task_type=task_type(backbone),
            target_modules=target_modules(backbone, modules),
            r=rank,
            lora_alpha=plain_number(settings["scale"] * rank),
            lora_dropout=0.0,
        )

    def ordered(self, slots: Sequence[TensorSlot]) -> list[TensorSlot]:
        return sorted(slots, key=lambda slot: (A, B).index(slot.tensor))

    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        values = torch.zeros(space.size)
        for slot in space.slots():
            if slot.tensor == A:
                values[slot.start : slot.stop] = uniform(slot, generator)
        return values

    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> AbstractContextManager[None]:
        pairs = [(m.module, m.a, m.b, tensors[m.a], tensors[m.b]) for m in maps_of(space)]
        return _beside(backbone, pairs, float(space.config["scale"]), tape)

    def together(self, spaces: Sequence[ExpertSpace]) -> ExpertSpace:
        return common_space(spaces)

    def placed(self, values: Tensor, source: ExpertSpace, target: ExpertSpace) -> Tensor:
        return values if source == target else placed(values, source, target)

    def mixer(self, backbone: Backbone, space: ExpertSpace) -> Mixer:
        return _LoraMixer(backbone, space)

    def collapse(self, space: ExpertSpace, experts: Tensor, weights: Tensor) -> tuple[ExpertSpace, Tensor]:
        """Of K LoRAs of rank r one of rank K·r; one alone stays itself."""
        count = len(experts)
        if count == 1 and bool((weights == 1).all()):
            return space, mix(space, experts, weights)
        parts: list[Tensor] = []
        for number, site in enumerate(space.sites):
            for slot in site.slots:
                piece = experts[:, slot.start : slot.stop].view(count, *slot.shape)
                if slot.tensor == A:  # (K, r, d_in) -> (K r, d_in)
                    parts.append(piece.flatten(0, 1).flatten())
                else:  # (K, d_out, r) -> (d_out, K r)
                    scaled = piece * weights[number].view(count, 1, 1)
                    parts.append(scaled.transpose(0, 1).reshape(-1))
        return with_rank(space, count * int(space.config["rank"])), torch.cat(parts)


def with_rank(space: ExpertSpace, rank: int) -> ExpertSpace:
    """The same maps with another rank."""
    builder = SpaceBuilder(space.kind, {**space.config, "rank": rank})
    for site in space.sites:
        slots = [
            replace(slot, shape=(rank, slot.shape[1]) if slot.tensor == A else (slot.shape[0], rank))
            for slot in site.slots
        ]
        builder.add(site.name, site.layer, slots)
    return builder.build()


def common_space(spaces: Sequence[ExpertSpace]) -> ExpertSpace:
    """A space that holds LoRAs of all the given ones: every map that one of them has, and the largest rank.

    The maps stand in the order of the first space, then those that only others have. What is missing is zero.
    """
    rank = max(int(space.config["rank"]) for space in spaces)
    return union([with_rank(space, rank) for space in spaces])


def placed(values: Tensor, source: ExpertSpace, target: ExpertSpace) -> Tensor:
    """A LoRA's values (P,) in a space that holds it: padded with zeros, its scale folded into B. Outputs are equal."""
    fold = float(source.config["scale"]) / float(target.config["scale"])
    out = torch.zeros(target.size, dtype=values.dtype, device=values.device)
    there = {slot.name: slot for slot in target.slots()}
    for slot in source.slots():
        piece = values[slot.start : slot.stop].view(slot.shape) * (fold if slot.tensor == B else 1.0)
        wide = torch.zeros(there[slot.name].shape, dtype=values.dtype, device=values.device)
        wide[: slot.shape[0], : slot.shape[1]] = piece
        out[there[slot.name].start : there[slot.name].stop] = wide.flatten()
    return out


def uniform(slot: TensorSlot, generator: torch.Generator) -> Tensor:
    """Uniform within 1/sqrt(fan in), as PyTorch and PEFT start a linear map and ``lora_A``."""
    return (torch.rand(slot.size, generator=generator) * 2 - 1) / math.sqrt(slot.shape[1])


@contextmanager
def _beside(
    backbone: Backbone, pairs: Sequence[tuple[str, int, int, Tensor, Tensor]], scale: float, tape: Tape | None = None
) -> Iterator[None]:
    """Hooks that add ``scale B A x``; of each map its module, the places of A and B, and A and B."""
    handles = []
    try:
        for module, place_a, place_b, a, b in pairs:

            def hook(
                _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor,
                place_a: int = place_a, place_b: int = place_b, a: Tensor = a, b: Tensor = b,
            ) -> Tensor:  # fmt: skip
                # The map may be on another device than the expert, where a model is spread over several.
                a, b = a.to(output.device), b.to(output.device)
                entering = inputs[0].to(device=output.device, dtype=a.dtype)
                if tape is None:
                    low = nn.functional.linear(nn.functional.linear(entering, a), b)
                else:
                    low = tape.linear(place_b, tape.linear(place_a, entering, a), b)
                return (output + low * scale).to(output.dtype)

            handles.append(backbone.module(module).register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class _Group:
    """The merged maps of one shape, G of them."""

    modules: list[Any]  # linear maps, of whatever class
    sites: Tensor  # (G,) index of each map's site
    slots_a: list[int]
    slots_b: list[int]
    rank: int


@dataclass(frozen=True)
class _Plan:
    """How the maps are mixed of a number of experts."""

    groups: list[_Group]
    swap: ParameterSwap
    """Of the groups' weights, in their order."""
    beside: list[LoraMap]


class _LoraMixer:
    """Mixtures of LoRAs: each map merged or in activation space, whichever is cheaper."""

    def __init__(self, backbone: Backbone, space: ExpertSpace):
        self.backbone, self.space = backbone, space
        self.sizes, self.scale = list(space.sizes), float(space.config["scale"])
        self.slots = list(space.slots())
        self._plans: dict[int, _Plan] = {}

    @contextmanager
    def __call__(self, experts: Tensor, weights: Tensor) -> Iterator[None]:
        plan = self.plan(weights.shape[1])
        pieces = torch.split(experts, self.sizes, dim=1)
        pairs = self._pairs(plan, pieces, weights)
        with plan.swap(self._merged(plan, pieces, weights)), _mixed_beside(pairs):
            yield

    def plan(self, count: int) -> _Plan:
        """Which maps are merged with ``count`` experts."""
        if count not in self._plans:
            by_shape: dict[tuple[Any, ...], list[LoraMap]] = {}
            beside: list[LoraMap] = []
            for one in maps_of(self.space):
                (rank, d_in), (d_out, _) = self.slots[one.a].shape, self.slots[one.b].shape
                weight = self.backbone.module(one.module).weight
                if weight.is_floating_point() and merging_is_cheaper(d_out, d_in, count * rank):
                    by_shape.setdefault((*weight.shape, weight.device), []).append(one)
                else:
                    beside.append(one)
            groups = [
                _Group(
                    modules=[self.backbone.module(one.module) for one in maps],
                    sites=torch.tensor([one.site for one in maps], device=self.backbone.device),
                    slots_a=[one.a for one in maps],
                    slots_b=[one.b for one in maps],
                    rank=self.slots[maps[0].a].shape[0],
                )
                for maps in by_shape.values()
            ]
            names = [f"{one.module}.weight" for maps in by_shape.values() for one in maps]
            self._plans[count] = _Plan(groups, ParameterSwap(self.backbone.model, names), beside)
        return self._plans[count]

    def _merged(self, plan: _Plan, pieces: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
        """W + Σ_i w_i s B_i A_i of every merged map, in the order of the swap's names."""
        merged: list[Tensor] = []
        for group in plan.groups:
            # Stacked anew each time: kept, it would be a second copy of the weights.
            frozen = torch.stack([module.weight.detach() for module in group.modules])
            maps, d_out, d_in = frozen.shape
            rank, count = group.rank, weights.shape[1]
            a = torch.stack([pieces[i] for i in group.slots_a]).view(maps, count * rank, d_in)
            b = torch.stack([pieces[i] for i in group.slots_b]).view(maps, count, d_out, rank)
            b = b * weights[group.sites].view(maps, count, 1, 1)
            b = b.transpose(1, 2).reshape(maps, d_out, count * rank)
            a, b = a.to(frozen.device), b.to(frozen.device)
            if frozen.dtype == a.dtype:
                merged += frozen.baddbmm_(b, a, alpha=self.scale).unbind(0)
            else:
                merged += (frozen + self.scale * torch.bmm(b, a)).to(frozen.dtype).unbind(0)
        return merged

    def _pairs(self, plan: _Plan, pieces: Sequence[Tensor], weights: Tensor) -> list[tuple[nn.Module, Tensor, Tensor]]:
        """Of every map that is not merged its module and one pair of rank K·r, weights and scale in B."""
        pairs = []
        count, scaled = weights.shape[1], weights * self.scale
        for one in plan.beside:
            (rank, d_in), (d_out, _) = self.slots[one.a].shape, self.slots[one.b].shape
            a = pieces[one.a].reshape(count * rank, d_in)
            b = pieces[one.b].view(count, d_out, rank) * scaled[one.site].view(count, 1, 1)
            pairs.append((self.backbone.module(one.module), a, b.transpose(0, 1).reshape(d_out, count * rank)))
        return pairs


@contextmanager
def _mixed_beside(pairs: Sequence[tuple[nn.Module, Tensor, Tensor]]) -> Iterator[None]:
    """Hooks that add ``B A x`` in the same pass that writes it: tensors as large as an output are what takes time."""
    handles = []
    try:
        for module, a, b in pairs:

            def hook(
                _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, a: Tensor = a, b: Tensor = b
            ) -> Tensor:
                a, b = a.to(output.device), b.to(output.device)
                low = nn.functional.linear(inputs[0].to(device=output.device, dtype=a.dtype), a)
                added = torch.addmm(output.to(a.dtype).flatten(0, -2), low.flatten(0, -2), b.t())
                return added.view(output.shape).to(output.dtype)

            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
