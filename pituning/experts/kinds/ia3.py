"""IA³ (Liu et al., NeurIPS 2022): keys, values and what enters a feed-forward block's last map, scaled one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from peft import IA3Config, PeftConfig
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from torch import Tensor, nn

from pituning.backbones.base import Backbone
from pituning.backbones.blocks import with_leaves, with_roles
from pituning.experts.kinds.base import ExpertKind, target_modules, task_type
from pituning.experts.space import ExpertSpace, union
from pituning.experts.tape import Tape


class Ia3(ExpertKind):
    """Scales of what leaves a map (d_out, 1) or, of a feed-forward map, of what enters it (1, d_in)."""

    roles = ("key", "value", "down")
    neutral = 1.0
    gradients = "copies"

    def peft_targets(self) -> Mapping[str, Sequence[str]]:
        return TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING

    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        table = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(str(backbone.model.config.model_type))
        known = [block for block in backbone.blocks if block.module in set(modules)]
        entering = with_roles(known, ("down",)) if table is None else with_leaves(known, table)
        return ia3_config(backbone, modules, [block.module for block in entering])

    def peft_config(self, backbone: Backbone, space: ExpertSpace) -> PeftConfig:
        entering = [slot.module for slot in space.slots() if scales_input(slot.shape)]
        config = ia3_config(backbone, space.modules, entering)
        config.base_model_name_or_path = backbone.name
        return config

    def together(self, spaces: Sequence[ExpertSpace]) -> ExpertSpace:
        return union(spaces)

    def placed(self, values: Tensor, source: ExpertSpace, target: ExpertSpace) -> Tensor:
        """What is missing changes nothing."""
        if source == target:
            return values
        placed = torch.full((target.size,), self.neutral, dtype=values.dtype, device=values.device)
        place = {slot.name: slot for slot in target.slots()}
        for slot in source.slots():
            placed[place[slot.name].start : place[slot.name].stop] = values[slot.start : slot.stop]
        return placed

    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        return torch.full((space.size,), self.neutral)

    @contextmanager
    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> Iterator[None]:
        handles = []
        try:
            for slot, tensor in zip(space.slots(), tensors, strict=True):
                module = backbone.module(slot.module)
                if scales_input(slot.shape):

                    def enter(_module: nn.Module, inputs: tuple[Tensor, ...], scale: Tensor = tensor) -> Tensor:
                        entering = inputs[0]
                        return (entering.to(scale.dtype) * scale.to(entering.device)).to(entering.dtype)

                    handles.append(module.register_forward_pre_hook(enter))
                else:
                    # (d_out, 1), or with copies (B, d_out, 1), beside outputs (B, T, d_out).
                    across = tensor.transpose(-1, -2)

                    def leave(_module: nn.Module, _inputs: object, output: Tensor, scale: Tensor = across) -> Tensor:
                        return (output * scale.to(output.device)).to(output.dtype)

                    handles.append(module.register_forward_hook(leave))
            yield
        finally:
            for handle in handles:
                handle.remove()


def ia3_config(backbone: Backbone, modules: Sequence[str], entering: Sequence[str]) -> IA3Config:
    """PEFT's config of scales on ``modules``, of which those of ``entering`` are scaled before the map."""
    return IA3Config(
        task_type=task_type(backbone),
        target_modules=target_modules(backbone, modules),
        feedforward_modules=target_modules(backbone, entering) if entering else [],
    )


def scales_input(shape: Sequence[int]) -> bool:
    """Whether scales of that shape act on what enters a map."""
    return shape[0] == 1
