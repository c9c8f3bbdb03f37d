"""The flat layout of an expert's parameters. Torch-free.

Experts of one `ExpertSpace` have parameters, embeddings and mixtures that are plain vectors of the same length,
addressed by tensor and by site. A space is measured on a model into which PEFT injected the expert
(`pituning.experts.kinds.base`) and kept beside the zoo as ``space.json``; what reads only that needs no torch, and
knows layers and modules without reading anything into the names of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError, BadInput
from pituning.workspace.atomic import read_json, write_json

FORMAT_VERSION = 1


@dataclass(frozen=True)
class TensorSlot:
    """One parameter tensor in the flat vector: ``values[start : start + size].reshape(shape)``.

    Args:
        name: the tensor's name in a PEFT checkpoint (a prefix's one table is cut into ``key`` and ``value``).
        module: the module of the backbone that it acts on.
        tensor: which of the module's tensors it is, such as ``lora_A.weight``.
        label: what people read of its place within a layer, such as ``self_attn.q_proj``.
    """

    name: str
    shape: tuple[int, ...]
    start: int
    module: str
    tensor: str
    label: str

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
    """

    name: str
    layer: str
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
    def modules(self) -> tuple[str, ...]:
        """The modules of the backbone that it acts on, in the order of the flat vector."""
        return tuple(dict.fromkeys(slot.module for slot in self.slots()))

    @cached_property
    def layer_of(self) -> Mapping[str, str]:
        """The layer of each tensor by its name."""
        return {slot.name: site.layer for site in self.sites for slot in site.slots}

    @cached_property
    def label_of(self) -> Mapping[str, str]:
        """What people read of each tensor's place within its layer, by its name."""
        return {slot.name: slot.label for slot in self.slots()}

    @cached_property
    def site_names(self) -> tuple[str, ...]:
        return tuple(site.name for site in self.sites)

    @cached_property
    def site_sizes(self) -> tuple[int, ...]:
        return tuple(site.size for site in self.sites)

    def to_json(self) -> dict[str, Any]:
        """What ``space.json`` holds; `space_from_json` reads it."""
        return {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "config": dict(self.config),
            "sites": [
                {
                    "name": site.name,
                    "layer": site.layer,
                    "tensors": [
                        {
                            "name": slot.name,
                            "shape": list(slot.shape),
                            "module": slot.module,
                            "tensor": slot.tensor,
                            "label": slot.label,
                        }
                        for slot in site.slots
                    ],
                }
                for site in self.sites
            ],
        }


class SpaceBuilder:
    """Puts sites one after the other into a flat vector."""

    def __init__(self, kind: str, config: Mapping[str, float]):
        self.kind, self.config = kind, dict(config)
        self._sites: list[Site] = []
        self._position = 0

    def add(self, name: str, layer: str, tensors: Sequence[TensorSlot]) -> None:
        """Adds a site; where its tensors start is filled in."""
        slots = []
        for tensor in tensors:
            slots.append(replace(tensor, start=self._position))
            self._position = slots[-1].stop
        self._sites.append(Site(name, layer, tuple(slots)))

    def build(self) -> ExpertSpace:
        """The space."""
        return ExpertSpace(self.kind, self.config, tuple(self._sites))


def union(spaces: Sequence[ExpertSpace]) -> ExpertSpace:
    """All tensors that one of the spaces has: in the order of the first, then those that only others have.

    The kind and the config are those of the first.

    Raises:
        BadInput: a tensor has different shapes.
    """
    sites: dict[tuple[str, str], dict[str, TensorSlot]] = {}
    for space in spaces:
        for site in space.sites:
            slots = sites.setdefault((site.layer, site.name), {})
            for slot in site.slots:
                if slots.setdefault(slot.name, slot).shape != slot.shape:
                    raise BadInput(
                        f"{space.kind} experts with {slot.name!r} of shapes {slots[slot.name].shape} and {slot.shape} "
                        "cannot be mixed"
                    )
    builder = SpaceBuilder(spaces[0].kind, spaces[0].config)
    for (layer, name), slots in sites.items():
        builder.add(name, layer, list(slots.values()))
    return builder.build()


def space_from_json(document: Any, path: str) -> ExpertSpace:
    """The inverse of `ExpertSpace.to_json`.

    Args:
        path: where the document stood.

    Raises:
        ArtefactError: it is damaged or from a later version.
    """
    try:
        if document["format_version"] > FORMAT_VERSION:
            raise ArtefactError(
                f"{path} has format_version {document['format_version']!r}, this version reads up to "
                f"{FORMAT_VERSION}; upgrade pituning-studio"
            )
        builder = SpaceBuilder(document["kind"], document["config"])
        for site in document["sites"]:
            slots = [
                TensorSlot(t["name"], tuple(map(int, t["shape"])), 0, t["module"], t["tensor"], t["label"])
                for t in site["tensors"]
            ]
            builder.add(site["name"], site["layer"], slots)
        return builder.build()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtefactError(f"{path} is no layout of an expert ({error}); make the zoo again") from error


def save_space(space: ExpertSpace, path: Path) -> None:
    """Writes ``space.json``."""
    write_json(path, space.to_json())


def load_space(path: Path) -> ExpertSpace:
    """Reads ``space.json``.

    Raises:
        ArtefactError: it is missing, damaged or from a later version.
    """
    return space_from_json(read_json(path), str(path))
