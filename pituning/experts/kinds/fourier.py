"""FourierFT (Gao et al., ICML 2024): a few frequencies of the update of a linear map, ``ΔW = s Re(F⁻¹(c))``.

Which frequencies is drawn once by a seed, so that of maps of one shape all experts have the same; c (n,) is learned.
ΔW is linear in c: a mixture Σ w c is an ordinary expert of the same size, and its update is exactly Σ w ΔW.

Since cos(a + b) = cos a cos b − sin a sin b, ΔW is a product ``U diag(c, c) Vᵀ`` of rank 2 n. It is made where that is
less than what the product costs, as PEFT always does; elsewhere nothing of the size of a weight is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from peft import FourierFTConfig, PeftConfig
from peft.utils.constants import TRANSFORMERS_MODELS_TO_FOURIERFT_TARGET_MODULES_MAPPING
from torch import Tensor, nn

from pituning.backbones.base import Backbone
from pituning.errors import BadInput
from pituning.experts.kinds import KindRecord
from pituning.experts.kinds.base import ExpertKind, plain_number, target_modules, task_type
from pituning.experts.space import ExpertSpace, SpaceBuilder, union
from pituning.experts.tape import Tape


class Fourier(ExpertKind):
    """Spectra of updates, (n,) of each map."""

    roles = ("query", "value", "up", "down")
    gradients = "copies"

    def __init__(self, record: KindRecord, document: Mapping[str, Any] | None = None):
        super().__init__(record, document)
        self._bases: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    def peft_targets(self) -> Mapping[str, Sequence[str]]:
        return TRANSFORMERS_MODELS_TO_FOURIERFT_TARGET_MODULES_MAPPING

    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        count = int(settings["frequencies"])
        for block in backbone.blocks:
            if block.module in set(modules) and block.d_in * block.d_out < count:
                raise BadInput(
                    f"{count} frequencies are more than the {block.d_in * block.d_out} of {block.module!r} on backbone "
                    f"{backbone.name!r}; give fewer",
                    field="kind",
                )
        return FourierFTConfig(
            task_type=task_type(backbone),
            target_modules=target_modules(backbone, modules),
            n_frequency=count,
            scaling=plain_number(settings["scale"]),
            random_loc_seed=int(settings["seed"]),
            init_weights=True,
        )

    def together(self, spaces: Sequence[ExpertSpace]) -> ExpertSpace:
        seeds = {int(space.config["seed"]) for space in spaces}
        if len(seeds) > 1:
            raise BadInput(
                f"{self.record.name} experts whose frequencies were drawn with the seeds "
                f"{', '.join(map(str, sorted(seeds)))} cannot be mixed: they have no frequencies in common"
            )
        return union([with_frequencies(space, max(int(s.config["frequencies"]) for s in spaces)) for space in spaces])

    def placed(self, values: Tensor, source: ExpertSpace, target: ExpertSpace) -> Tensor:
        """Padded with zeros, since of more frequencies of one seed the first are the same; the scale folded in."""
        if source == target:
            return values
        found = torch.zeros(target.size, dtype=values.dtype, device=values.device)
        starts = {slot.name: slot.start for slot in target.slots()}
        fold = float(source.config["scale"]) / float(target.config["scale"])
        for slot in source.slots():
            found[starts[slot.name] : starts[slot.name] + slot.size] = values[slot.start : slot.stop] * fold
        return found

    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        return torch.zeros(space.size)

    @contextmanager
    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> Iterator[None]:
        count, seed, scale = (space.config[name] for name in ("frequencies", "seed", "scale"))
        places = {block.module: block for block in backbone.blocks}
        handles = []
        try:
            for slot, tensor in zip(space.slots(), tensors, strict=True):
                d_out, d_in = places[slot.module].d_out, places[slot.module].d_in

                def hook(
                    _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor,
                    spectrum: Tensor = tensor, shape: tuple[int, int] = (d_out, d_in),
                ) -> Tensor:  # fmt: skip
                    # The map may be on another device than the expert, where a model is spread over several.
                    spectrum = spectrum.to(output.device)
                    entering = inputs[0].to(device=output.device, dtype=spectrum.dtype)
                    left, right = self.basis(shape, int(count), int(seed), spectrum)
                    both = torch.cat([spectrum, spectrum], dim=-1) * scale
                    if spectrum.dim() == 1 and math.prod(shape) <= left.shape[1] * sum(shape):
                        added = nn.functional.linear(entering, (left * both) @ right.T)
                    else:  # with copies (B, 2 n), beside inputs (B, T, 2 n)
                        added = ((entering @ right) * (both if both.dim() == 1 else both[:, None])) @ left.T
                    return (output + added).to(output.dtype)

                handles.append(backbone.module(slot.module).register_forward_hook(hook))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def basis(self, shape: tuple[int, int], count: int, seed: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """U (d_out, 2 n) and V (d_in, 2 n) of the first ``count`` frequencies that PEFT draws for a map.

        Args:
            like: whose type and device they get.
        """
        key = (shape, count, seed, like.dtype, like.device)
        if key not in self._bases:
            d_out, d_in = shape
            drawn = torch.randperm(d_out * d_in, generator=torch.Generator().manual_seed(seed))[:count]
            across = torch.outer(torch.arange(d_out), drawn // d_in).remainder(d_out).double() * (2 * math.pi / d_out)
            along = torch.outer(torch.arange(d_in), drawn % d_in).remainder(d_in).double() * (2 * math.pi / d_in)
            left = torch.cat([across.cos(), -across.sin()], dim=1) / (d_out * d_in)
            self._bases[key] = left.to(like), torch.cat([along.cos(), along.sin()], dim=1).to(like)
        return self._bases[key]


def with_frequencies(space: ExpertSpace, count: int) -> ExpertSpace:
    """The same maps with another number of frequencies."""
    builder = SpaceBuilder(space.kind, {**space.config, "frequencies": count})
    for site in space.sites:
        builder.add(site.name, site.layer, [replace(slot, shape=(count,)) for slot in site.slots])
    return builder.build()
