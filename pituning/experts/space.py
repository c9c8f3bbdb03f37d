"""The flat layout of an expert's parameters. Torch-free.

All experts of one kind on one backbone share one `ExpertSpace`, so that their parameters, embeddings and mixtures are
plain vectors of the same length, addressed by tensor and by site.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pituning.errors import BadInput

KINDS = ("lora", "bottleneck", "prefix")
"""The expert kinds that can be trained, mixed and exported."""

DEFAULT_CONFIG: dict[str, dict[str, float]] = {
    # The product B A is multiplied by `scale` whatever the rank: a mixture of rank K r keeps the scale of its parts.
    "lora": {"rank": 4, "scale": 2.0},
    "bottleneck": {"size": 16},
    "prefix": {"tokens": 30},
}
"""What makes the shape of each kind's expert; kept on its card."""


def check_kind(kind: str) -> str:
    """The kind itself, or `BadInput` that lists the known ones."""
    if kind not in KINDS:
        raise BadInput(f"unknown expert kind {kind!r}; choose one of {', '.join(KINDS)}", field="kind")
    return kind


@dataclass(frozen=True)
class TensorSlot:
    """One parameter tensor in the flat vector: ``values[start : start + size].reshape(shape)``.

    ``name`` is the tensor's name in a PEFT checkpoint (a prefix's one table is cut into ``key`` and ``value``).
    """

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Site:
    """The parameters that share one interpolation weight: neighbours in the flat vector.

    Args:
        name: what people read, for example ``decoder.1.encoder_attn``.
        layer: ``encoder.0`` … ``decoder.2``, for explanations by layer.
        module: the module of the backbone that the site acts on.
    """

    name: str
    layer: str
    module: str
    slots: tuple[TensorSlot, ...]

    @property
    def start(self) -> int:
        return self.slots[0].start

    @property
    def stop(self) -> int:
        return self.slots[-1].stop

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class ExpertSpace:
    """Kind, config and the sites in the order of the flat vector, which they cover without gaps."""

    kind: str
    config: Mapping[str, float]
    sites: tuple[Site, ...]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        position = 0
        for slot in self.slots():
            if slot.start != position:
                raise ValueError(f"slot {slot.name!r} starts at {slot.start}, expected {position}")
            position = slot.stop
        object.__setattr__(self, "size", position)

    def slots(self) -> Iterator[TensorSlot]:
        for site in self.sites:
            yield from site.slots

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The tensors' names in the order of the flat vector."""
        return tuple(slot.name for slot in self.slots())

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The tensors' lengths in the order of the flat vector."""
        return tuple(slot.size for slot in self.slots())

    @cached_property
    def site_names(self) -> tuple[str, ...]:
        return tuple(site.name for site in self.sites)

    @cached_property
    def site_sizes(self) -> tuple[int, ...]:
        return tuple(site.size for site in self.sites)
