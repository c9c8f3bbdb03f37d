"""A backbone with experts of one kind, whose parameters are one flat vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.prediction import predict
from pituning.errors import BadInput
from pituning.experts.kinds import KINDS, full_settings
from pituning.experts.kinds.base import ExpertKind, GradientsOf, views
from pituning.experts.space import ExpertSpace
from pituning.progress import Reporter
from pituning.registry import load
from pituning.tasks.base import Example, Task


class ExpertModel:
    """Runs a frozen backbone with an expert given as a flat vector. The backbone is shared, never changed or copied.

    Args:
        kind: a name in `KINDS`.
        settings: over the backbone's and the kind's defaults, for example ``{"rank": 16}``.
        space: the layout of experts on other modules than the kind's usual ones; by default it is measured.
        document: ``adapter_config.json`` of one expert, for the kind of other PEFT methods.

    Attributes:
        space: the layout of the vector; ``space.size`` is P.

    Raises:
        BadInput: for an unknown kind or setting, or a kind that the backbone cannot have.
    """

    def __init__(
        self,
        backbone: Backbone,
        kind: str,
        settings: Mapping[str, float] | None = None,
        *,
        space: ExpertSpace | None = None,
        document: Mapping[str, Any] | None = None,
    ):
        self.backbone = backbone
        self.kind = KINDS.check(kind)
        self.document = document
        if kind in backbone.record.without:
            reason = backbone.record.without[kind]
            raise BadInput(
                f"{kind} experts cannot be used on backbone {backbone.name!r}: {reason}; choose another kind",
                field="kind",
            )
        self.method: ExpertKind = load(KINDS[kind].path)(KINDS[kind], document)
        if space is None:
            whole = full_settings(kind, {**backbone.expert_settings.get(kind, {}), **(settings or {})})
            key = (kind, tuple(sorted(whole.items())))
            if key not in backbone.spaces:
                backbone.spaces[key] = self.method.measure(backbone, whole)
            space = backbone.spaces[key]
        self.space: ExpertSpace = space

    @property
    def sees(self) -> bool:
        """Whether experts of this layout change what sees pictures."""
        return self.backbone.sees_by(self.space.modules)

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def peft_config(self) -> PeftConfig:
        """What ``adapter_config.json`` of such an expert says."""
        return self.method.peft_config(self.backbone, self.space)

    def initial(self, seed: int) -> Tensor:
        """(P,) starting values; the same seed gives the same on every machine."""
        return self.method.initial(self.backbone, self.space, seed).to(self.device)

    @contextmanager
    def using(self, values: Tensor) -> Iterator[None]:
        """Within the context the backbone runs with ``values`` (P,), from any device, and gradients flow into them."""
        if values.shape != (self.space.size,):
            raise BadInput(f"{self.kind} values have shape {tuple(values.shape)}; expected ({self.space.size},)")
        pieces = views(self.space, values.to(self.device))
        with self.backbone.changed(self.space.modules), self.method.attach(self.backbone, self.space, pieces):
            yield

    def forward(self, values: Tensor, batch: Batch) -> Tensor:
        """Logits (B, U, V) of a batch with the expert ``values`` (P,), differentiable in them."""
        with self.using(values):
            return self.backbone.logits(batch)

    def loss(self, values: Tensor, batch: Batch) -> Tensor:
        """(B,) −log p(y | x; θ, φ) in nats, summed over answer tokens."""
        with self.using(values):
            return self.backbone.loss(batch)

    def predict(
        self,
        values: Tensor,
        encoded: EncodedExamples,
        task: Task,
        *,
        batch_size: int | None = None,
        reporter: Reporter | None = None,
    ) -> list[str]:
        """The answers with the expert ``values`` (P,), in the order of the examples."""
        with self.using(values.detach()):
            return predict(self.backbone, encoded, task, batch_size=batch_size, reporter=reporter)

    def on(self, backbone: Backbone) -> ExpertModel:
        """The same layout on the same backbone loaded once more, in another precision for example."""
        return ExpertModel(backbone, self.kind, space=self.space, document=self.document)

    def with_eyes(self) -> ExpertModel:
        """The same layout with the linear maps of the backbone's vision tower behind it.

        Raises:
            BadInput: there are none, or experts of this kind do not act there.
        """
        eyes = self.method.measure_eyes(self.backbone, self.space.config)
        return ExpertModel(self.backbone, self.kind, space=self.method.together([self.space, eyes]))

    def holding(self, other: ExpertModel) -> ExpertModel:
        """A model of a layout that holds experts of both; this one, where it does."""
        space = self.method.together([self.space, other.space])
        return self if space == self.space else ExpertModel(self.backbone, self.kind, space=space)

    def encode(self, task: Task, examples: Sequence[Example], *, reporter: Reporter | None = None) -> EncodedExamples:
        """`Backbone.encode` for experts of this layout, and `prepare`."""
        return self.prepare(self.backbone.encode(task, examples, keep_pixels=self.sees, reporter=reporter))

    def prepare(self, encoded: EncodedExamples) -> EncodedExamples:
        """The examples with what this kind leaves unchanged computed once: for a prefix, the encoder's states."""
        return self.method.prepare(self.backbone, encoded)

    def example_gradients(self, values: Tensor, stack: ExitStack) -> GradientsOf:
        """From a batch to its per-example gradients; what is installed stays until ``stack`` closes."""
        stack.enter_context(self.backbone.changed(self.space.modules))
        return self.method.example_gradients(self.backbone, self.space, values.to(self.device), stack)

    def checkpoint(self, values: Tensor) -> dict[str, Tensor]:
        """Flat values (P,) as the tensors of a PEFT checkpoint, by name."""
        return self.method.checkpoint(self.backbone, self.space, values)

    def values_of(self, checkpoint: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `checkpoint`: flat float32 values (P,) of tensors whose names and shapes have been checked."""
        return self.method.values_of(self.backbone, self.space, checkpoint).to(self.device)

    def checkpoint_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of `checkpoint`, by name."""
        return self.method.checkpoint_shapes(self.backbone, self.space)
