"""The Houlsby bottleneck adapter as a PEFT method; importing this module registers it.

After an attention block's output projection and after a feed-forward block's last map, before the residual sum:
``y + up(relu(down(y)))`` (Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP"). A checkpoint loads
with ``PeftModel.from_pretrained`` once this module is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType, register_peft_method
from torch import Tensor, nn

METHOD = "BOTTLENECK"


@dataclass
class BottleneckConfig(PeftConfig):
    """Config of a bottleneck adapter."""

    target_modules: list[str] | str | None = field(
        default=None, metadata={"help": "Names, or a regular expression, of the linear maps to put an adapter after."}
    )
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Names to leave out."})
    size: int = field(default=16, metadata={"help": "Width of the bottleneck."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = getattr(PeftType, METHOD)
        if self.size < 1:
            raise ValueError(f"bottleneck size is {self.size}; it must be at least 1")
        for name in ("target_modules", "exclude_modules"):
            if isinstance(getattr(self, name), list):
                setattr(self, name, set(getattr(self, name)))


class BottleneckLinear(nn.Module, BaseTunerLayer):
    """A linear map followed by its adapters."""

    # PEFT's mix-in, of which nothing is known to the type checker.
    set_adapter: Any
    active_adapters: Any
    _move_adapter_to_device_of_base_layer: Any

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")

    def __init__(self, base_layer: nn.Linear, adapter_name: str, size: int):
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        self.bottleneck_down = nn.ModuleDict()
        self.bottleneck_up = nn.ModuleDict()
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self.update_layer(adapter_name, size)

    def update_layer(self, adapter_name: str, size: int, inference_mode: bool = False) -> None:
        """Adds an adapter that starts as the identity: ``up`` is zero."""
        down, up = nn.Linear(self.out_features, size), nn.Linear(size, self.out_features)
        for tensor in (down.bias, up.weight, up.bias):
            nn.init.zeros_(tensor)
        self.bottleneck_down[adapter_name], self.bottleneck_up[adapter_name] = down, up
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=inference_mode)

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        hidden = self.base_layer(hidden, *args, **kwargs)
        if self.disable_adapters:
            return hidden
        for name in self.active_adapters:
            if name in self.bottleneck_down:
                down: Any = self.bottleneck_down[name]
                up = self.bottleneck_up[name]
                # PEFT keeps adapters in float32 where the base model is in half precision.
                added = up(torch.relu(down(hidden.to(down.weight.dtype))))
                hidden = (hidden + added).to(hidden.dtype)
        return hidden


class BottleneckModel(BaseTuner):
    """Puts adapters after the targeted linear maps of a model."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLinear
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012 (the base class declares it so)

    def _create_and_replace(
        self,
        config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, BottleneckLinear):
            target.update_layer(adapter_name, config.size, inference_mode=config.inference_mode)
            return
        if not isinstance(target, nn.Linear):
            raise ValueError(f"bottleneck target {current_key!r} is a {type(target).__name__}; it must be a linear map")
        adapted = BottleneckLinear(target, adapter_name, config.size)
        if adapter_name not in self.active_adapters:
            adapted.requires_grad_(False)
        self._replace_module(parent, target_name, adapted, target)


def _register() -> None:
    """Registers the method once. PEFT looks methods up in the enum `PeftType`, which has no door for new members."""
    if METHOD not in PeftType.__members__:
        member = str.__new__(PeftType, METHOD)
        member._name_ = METHOD
        member._value_ = METHOD
        member.__objclass__ = PeftType
        setattr(PeftType, METHOD, member)  # before the map, which forbids setting members
        PeftType._member_names_.append(METHOD)
        PeftType._member_map_[METHOD] = member
        PeftType._value2member_map_[METHOD] = member
    if METHOD not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(name=METHOD.lower(), config_cls=BottleneckConfig, model_cls=BottleneckModel)


_register()
