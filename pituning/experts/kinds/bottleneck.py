"""Bottleneck adapters (Houlsby et al. 2019): ``y + up(relu(down(y)))`` after a linear map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from peft import PeftConfig
from torch import Tensor, nn

from pituning.backbones.base import Backbone
from pituning.experts.bottleneck import BottleneckConfig
from pituning.experts.kinds.base import ExpertKind, target_modules, task_type
from pituning.experts.kinds.lora import uniform
from pituning.experts.space import ExpertSpace, SpaceBuilder, TensorSlot, union
from pituning.experts.tape import Tape

TENSORS = ("bottleneck_down.weight", "bottleneck_down.bias", "bottleneck_up.weight", "bottleneck_up.bias")


class Bottleneck(ExpertKind):
    """Two-layer adapters after an attention block's output and a feed-forward block's last map."""

    roles = ("output", "down")
    gradients = "linear"

    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        return BottleneckConfig(
            task_type=task_type(backbone),
            target_modules=target_modules(backbone, modules),
            size=int(settings["size"]),
        )

    def ordered(self, slots: Sequence[TensorSlot]) -> list[TensorSlot]:
        return sorted(slots, key=lambda slot: TENSORS.index(slot.tensor))

    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        values = torch.zeros(space.size)
        for slot in space.slots():
            if slot.tensor == TENSORS[0]:
                values[slot.start : slot.stop] = uniform(slot, generator)
        return values

    def together(self, spaces: Sequence[ExpertSpace]) -> ExpertSpace:
        size = max(int(space.config["size"]) for space in spaces)
        return union([with_size(space, size) for space in spaces])

    def placed(self, values: Tensor, source: ExpertSpace, target: ExpertSpace) -> Tensor:
        """Padded with zeros, which pass nothing on."""
        if source == target:
            return values
        placed = torch.zeros(target.size, dtype=values.dtype, device=values.device)
        place = {slot.name: slot for slot in target.slots()}
        for slot in source.slots():
            wide = torch.zeros(place[slot.name].shape, dtype=values.dtype, device=values.device)
            wide[tuple(slice(size) for size in slot.shape)] = values[slot.start : slot.stop].view(slot.shape)
            placed[place[slot.name].start : place[slot.name].stop] = wide.flatten()
        return placed

    @contextmanager
    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> Iterator[None]:
        handles = []
        try:
            for number, module in enumerate(space.modules):
                first = len(TENSORS) * number

                def hook(_module: nn.Module, _inputs: object, output: Tensor, first: int = first) -> Tensor:
                    # The map may be on another device than the expert, where a model is spread over several.
                    own = [tensor.to(output.device) for tensor in tensors[first : first + len(TENSORS)]]
                    down, down_bias, up, up_bias = own
                    entering = output.to(down.dtype)
                    if tape is None:
                        inner = torch.relu(nn.functional.linear(entering, down, down_bias))
                        added = nn.functional.linear(inner, up, up_bias)
                    else:
                        inner = torch.relu(tape.linear(first, entering, down, down_bias))
                        added = tape.linear(first + 2, inner, up, up_bias)
                    return (output + added).to(output.dtype)

                handles.append(backbone.module(module).register_forward_hook(hook))
            yield
        finally:
            for handle in handles:
                handle.remove()


def with_size(space: ExpertSpace, size: int) -> ExpertSpace:
    """The same maps with adapters of another size."""
    builder = SpaceBuilder(space.kind, {**space.config, "size": size})
    for site in space.sites:
        slots = []
        for slot in site.slots:
            shape = list(slot.shape)
            if slot.tensor != TENSORS[3]:  # the last bias is as wide as the map
                shape[1 if slot.tensor == TENSORS[2] else 0] = size
            slots.append(replace(slot, shape=tuple(shape)))
        builder.add(site.name, site.layer, slots)
    return builder.build()
