"""What a kind of experts is to everything else: its parameters as one flat vector, and how they act on a backbone.

In prose:

- `measure` says where the parameters sit: PEFT injects an expert into a model of the same structure that has no
  weights, and the layout is read from that.
- `attach` makes the expert act, by hooks on the backbone's modules or by what stands in front of its inputs. The model
  itself is never changed or copied. What runs is what PEFT runs on the same checkpoint, to rounding.
- `mixer` runs a weighted mixture of K experts; unless the kind has a better way, the weighted sum of their values.
- `collapse` makes one ordinary expert of a mixture, with the same outputs.
- `example_gradients` are exact per-example gradients, from which the Fisher information is made.
- `checkpoint` and `values_of` go to the tensors of a PEFT checkpoint and back.

``tests/experts/contract.py`` holds every kind to this on every family.
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, ClassVar, Literal, Protocol

import torch
from peft import PeftConfig, TaskType, get_peft_model, get_peft_model_state_dict
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.blocks import Block, with_leaves, with_roles
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.errors import BadInput
from pituning.experts.canonical import ROOT as CHECKPOINT_ROOT
from pituning.experts.kinds import KindRecord
from pituning.experts.space import ExpertSpace, SpaceBuilder, TensorSlot
from pituning.experts.tape import Tape

OTHER_LAYER = "other"
"""The layer of modules that belong to none."""

GradientsOf = Callable[[Batch], Iterator[Tensor]]
"""From a batch to per-example gradients, one tensor (B, *shape) per slot in the slots' order."""


class Mixer(Protocol):
    """Runs mixtures of experts of one space."""

    def __call__(self, experts: Tensor, weights: Tensor) -> AbstractContextManager[None]:
        """Within the context the backbone runs with Σ w φ; experts are (K, P), weights (S, K)."""


class ExpertKind(ABC):
    """A kind of experts; see the module for the contract.

    Attributes:
        roles: of the linear maps that get an expert, where PEFT has no table for the model's type.
        beside: roles of maps that get one in any case, since they are none of the model's that PEFT knows.
        document: ``adapter_config.json`` of the one expert that it is for, where there is one.
        neutral: the value around which parameters lie: 0 of what is added, 1 of what scales.
        gradients: how per-example gradients are taken: ``linear`` from what a `Tape` keeps of linear maps; ``copies``
            by giving each example its own copy of the parameters; ``loop`` one example at a time, for anything.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    beside: ClassVar[tuple[str, ...]] = ()
    neutral: ClassVar[float] = 0.0
    gradients: ClassVar[Literal["linear", "copies", "loop"]] = "loop"

    def __init__(self, record: KindRecord, document: Mapping[str, Any] | None = None):
        self.record, self.document = record, document

    # Where the parameters sit.

    def targets(self, backbone: Backbone) -> list[Block]:
        """The linear maps that get an expert: PEFT's own choice for the model's type, else those of `roles`."""
        table = self.peft_targets().get(str(backbone.model.config.model_type))
        listed = with_leaves(backbone.blocks, table) if table else []
        chosen = listed or with_roles(backbone.blocks, self.roles)
        return with_roles(backbone.blocks, self.beside) + chosen

    def peft_targets(self) -> Mapping[str, Sequence[str]]:
        """PEFT's table of default target modules by model type."""
        return {}

    @abstractmethod
    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        """The PEFT config of an expert on some modules of a backbone."""

    def peft_config(self, backbone: Backbone, space: ExpertSpace) -> PeftConfig:
        """The PEFT config of an expert of a space; without the path of any machine."""
        config = self.config_for(backbone, space.config, space.modules)
        config.base_model_name_or_path = backbone.name
        return config

    def measure(self, backbone: Backbone, settings: Mapping[str, float]) -> ExpertSpace:
        """The layout of an expert with those settings on the usual modules."""
        modules = [block.module for block in self.targets(backbone)]
        if not modules:
            raise BadInput(
                f"{self.record.name} finds no module on backbone {backbone.name!r}; choose another kind", field="kind"
            )
        return self.read_space(backbone, settings, self.config_for(backbone, settings, modules))

    def measure_eyes(self, backbone: Backbone, settings: Mapping[str, float]) -> ExpertSpace:
        """The layout of an expert with those settings on the backbone's `eyes` alone.

        Raises:
            BadInput: it has none, or experts of this kind do not act there.
        """
        if not self.record.sees or not backbone.eyes:
            why = "the backbone has no linear maps there" if self.record.sees else "this kind never does"
            raise BadInput(
                f"experts of kind {self.record.name!r} cannot act in the vision tower of backbone {backbone.name!r}: "
                f"{why}; leave vision_tower out",
                field="vision_tower",
            )
        modules = [block.module for block in backbone.eyes]
        return self.read_space(backbone, settings, self.config_for(backbone, settings, modules))

    def read_space(self, backbone: Backbone, settings: Mapping[str, float], config: PeftConfig) -> ExpertSpace:
        """The layout that PEFT makes of a config, read from a model into which it injected the expert."""
        # PEFT draws from the global generator, and calls what transformers 5 deprecates.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            injected = get_peft_model(backbone.skeleton(), config, autocast_adapter_dtype=False)
            shapes = {name: tuple(t.shape) for name, t in get_peft_model_state_dict(injected).items()}
        return self.space_of(backbone, settings, shapes)

    def space_of(
        self, backbone: Backbone, settings: Mapping[str, float], shapes: Mapping[str, Sequence[int]]
    ) -> ExpertSpace:
        """The layout of a checkpoint, on whatever modules it acts; in the order of the backbone's blocks.

        Args:
            shapes: of its tensors by name, which have been checked.
        """
        if not self.record.of_modules:
            return self.measure(backbone, settings)
        places = {block.module: block for block in (*backbone.blocks, *backbone.eyes)}
        tensors: dict[str, list[TensorSlot]] = {}
        for name, shape in shapes.items():
            # A module's tensors are named by its path and their own name.
            path = name.removeprefix(CHECKPOINT_ROOT)
            ends = [f".{tensor}" for tensor in self.record.tensors if path.endswith(f".{tensor}")]
            module = path.removesuffix(ends[0]) if ends else _longest(path, places)
            label = places[module].label if module in places else module
            tensors.setdefault(module, []).append(
                TensorSlot(name, tuple(shape), 0, module, path.removeprefix(f"{module}."), label)
            )
        order = {module: number for number, module in enumerate(places)}
        sites: dict[tuple[str, str], list[TensorSlot]] = {}
        for module in sorted(tensors, key=lambda module: (order.get(module, len(order)), module)):
            block = places.get(module)
            key = (block.layer, f"{block.layer}.{block.part}") if block else (OTHER_LAYER, module)
            sites.setdefault(key, []).extend(self.ordered(tensors[module]))
        builder = SpaceBuilder(self.record.name, settings)
        for (layer, name), slots in sites.items():
            builder.add(name, layer, slots)
        return builder.build()

    def together(self, spaces: Sequence[ExpertSpace]) -> ExpertSpace:
        """A space that holds experts of all the given ones, with `placed`; the first, where all are alike.

        Raises:
            BadInput: there is none, since experts of this kind are of one size.
        """
        for space in spaces[1:]:
            if space != spaces[0]:
                raise BadInput(
                    f"{self.record.name} experts of {dict(space.config)} cannot be mixed with those of "
                    f"{dict(spaces[0].config)}"
                )
        return spaces[0]

    def placed(self, values: Tensor, source: ExpertSpace, target: ExpertSpace) -> Tensor:
        """An expert's values (P,) in a space of `together` that holds it, with the same outputs."""
        return values

    def ordered(self, slots: Sequence[TensorSlot]) -> list[TensorSlot]:
        """The tensors of one module in the order of the flat vector."""
        return list(slots)

    @abstractmethod
    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        """(P,) starting values, the same for the same seed on every machine."""

    # How they act.

    def prepare(self, backbone: Backbone, encoded: EncodedExamples) -> EncodedExamples:
        """The examples with what this kind leaves unchanged computed once."""
        return encoded

    @abstractmethod
    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> AbstractContextManager[None]:
        """Within the context the backbone runs with the expert.

        Args:
            tensors: one per slot in the slots' order; gradients flow into them. Kinds whose gradients are ``copies``
                also take tensors (B, *shape), a copy for each example.
            tape: keeps inputs and outputs of the expert's linear maps, where gradients are ``linear``.
        """

    def mixer(self, backbone: Backbone, space: ExpertSpace) -> Mixer:
        """Runs mixtures: here, of values."""
        return lambda experts, weights: self.attach(backbone, space, views(space, mix(space, experts, weights)))

    def collapse(self, space: ExpertSpace, experts: Tensor, weights: Tensor) -> tuple[ExpertSpace, Tensor]:
        """One ordinary expert (P*,) that does the same as the mixture, and its space."""
        return space, mix(space, experts, weights)

    def example_gradients(
        self, backbone: Backbone, space: ExpertSpace, values: Tensor, stack: ExitStack
    ) -> GradientsOf:
        """Exact gradients of −log p(y | x) of each example; what is installed stays until ``stack`` closes."""
        # Towers fold a picture's patches and windows into the first axis, where the tape looks for examples.
        way = "loop" if backbone.sees_by(space.modules) else self.gradients
        if way == "linear":
            tape = Tape()
            stack.enter_context(self.attach(backbone, space, views(space, values), tape))
            shapes = [slot.shape for slot in space.slots()]
            idle = {place for place, slot in enumerate(space.slots()) if slot.module in backbone.picture_modules}

            def linear(batch: Batch) -> Iterator[Tensor]:
                tape.clear()
                return tape.gradients(backbone.loss(batch).sum(), shapes, idle)

            return linear

        def copies(batch: Batch) -> Iterator[Tensor]:
            own = [t.unsqueeze(0).repeat(len(batch), *[1] * t.dim()).requires_grad_(True) for t in views(space, values)]
            with self.attach(backbone, space, own):
                loss = backbone.loss(batch).sum()
            yield from torch.autograd.grad(loss, own, materialize_grads=True)

        def loop(batch: Batch) -> Iterator[Tensor]:
            leaf = values.detach().clone().requires_grad_(True)
            with self.attach(backbone, space, views(space, leaf)):
                losses = backbone.loss(batch)
            last = len(batch) - 1
            rows = [
                torch.autograd.grad(loss, leaf, retain_graph=row < last)[0] for row, loss in enumerate(losses.unbind())
            ]
            pieces = torch.stack(rows).split(list(space.sizes), dim=1)
            yield from (piece.view(-1, *slot.shape) for piece, slot in zip(pieces, space.slots(), strict=True))

        return copies if way == "copies" else loop

    # On disk.

    def checkpoint(self, backbone: Backbone, space: ExpertSpace, values: Tensor) -> dict[str, Tensor]:
        """Flat values (P,) as the tensors of a PEFT checkpoint, by name."""
        return dict(zip(space.names, views(space, values), strict=True))

    def values_of(self, backbone: Backbone, space: ExpertSpace, checkpoint: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `checkpoint`: flat float32 values (P,) of tensors whose names and shapes have been checked."""
        return torch.cat([checkpoint[name].float().flatten() for name in space.names])

    def checkpoint_shapes(self, backbone: Backbone, space: ExpertSpace) -> dict[str, tuple[int, ...]]:
        """The shapes of `checkpoint`, by name."""
        return {slot.name: slot.shape for slot in space.slots()}


def _longest(path: str, modules: Collection[str]) -> str:
    """The longest of the modules that a tensor's path begins with, else the path without its last part."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        if ".".join(parts[:count]) in modules:
            return ".".join(parts[:count])
    return ".".join(parts[:-1]) or path


def views(space: ExpertSpace, values: Tensor) -> list[Tensor]:
    """Views of flat values (P,), one per slot, in the slots' shapes."""
    # One split, so that its backward pass is one concatenation.
    pieces = torch.split(values, list(space.sizes))
    return [piece.view(slot.shape) for piece, slot in zip(pieces, space.slots(), strict=True)]


def mix(space: ExpertSpace, experts: Tensor, weights: Tensor) -> Tensor:
    """Σ_i w_{m,i} φ_{i,m} for every site m: (P,) from experts (K, P) and weights (S, K)."""
    # One split, so that its backward pass is one concatenation.
    pieces = torch.split(experts, list(space.site_sizes), dim=1)
    return torch.cat([row @ piece for row, piece in zip(weights.unbind(0), pieces, strict=True)])


def task_type(backbone: Backbone) -> TaskType:
    """What PEFT calls the way the backbone answers."""
    return TaskType.SEQ_2_SEQ_LM if backbone.attention.encoder_decoder else TaskType.CAUSAL_LM


def target_modules(backbone: Backbone, modules: Sequence[str]) -> str | list[str]:
    """``target_modules`` of a PEFT config that takes just those modules.

    A regular expression where they are the same in every layer, since a list of names would also hit the vision tower.
    """
    patterns = dict.fromkeys(re.sub(r"\\\.\d+\\\.", lambda _: r"\.\d+\.", re.escape(module)) for module in modules)
    pattern = "|".join(patterns)
    everything = [name for name, _ in backbone.model.named_modules()]
    if {name for name in everything if re.fullmatch(pattern, name)} == set(modules):
        return pattern
    return list(modules)


def plain_number(value: float) -> Any:
    """A whole number as int, as PEFT's configs have it."""
    return int(value) if float(value).is_integer() else value
