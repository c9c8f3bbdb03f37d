"""Other PEFT methods, run by PEFT itself: DoRA, LoHa, VeRA and whatever else changes what modules do.

PEFT is let into a twin of the model that shares its weights; within the context the model's modules do what those of
the twin do. What such checkpoints hold is neither trained nor mixed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from peft import PeftConfig
from torch import Tensor, nn

from pituning.backbones.base import Backbone
from pituning.errors import BadInput
from pituning.experts.kinds.base import ExpertKind
from pituning.experts.plain import config_of, plain_model
from pituning.experts.space import ExpertSpace
from pituning.experts.tape import Tape


class OtherMethod(ExpertKind):
    """A checkpoint as it is, with its ``adapter_config.json``."""

    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        if self.document is None:
            self._refuse()
        return config_of(self.document)

    def measure(self, backbone: Backbone, settings: Mapping[str, float]) -> ExpertSpace:
        self._refuse()

    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        self._refuse()

    def together(self, spaces: Sequence[ExpertSpace]) -> ExpertSpace:
        self._refuse()

    @contextmanager
    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> Iterator[None]:
        if self.document is None:
            self._refuse()
        given = {name: tensor.detach() for name, tensor in zip(space.names, tensors, strict=True)}
        plain = plain_model(backbone, self.document, given)
        if plain.active_peft_config.is_prompt_learning:
            raise BadInput(f"is a {self.document['peft_type']} checkpoint, which only PEFT's own model runs")
        changed = [(backbone.module(path), module) for path, module in _changed(backbone, plain.get_base_model())]
        try:
            for module, instead in changed:
                module.forward = instead.forward
            yield
        finally:
            for module, _ in changed:
                module.__dict__.pop("forward", None)

    def _refuse(self) -> NoReturn:
        raise BadInput(
            "experts of other PEFT methods are imported, not trained or mixed: pituning experts import DIR --task TASK",
            field="kind",
        )


def _changed(backbone: Backbone, model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules of the twin that are of another class than the backbone's, or have weights of their own."""
    ours = dict(backbone.model.named_modules())
    inside: list[str] = []
    for path, module in model.named_modules():
        if path not in ours or any(path.startswith(f"{outer}.") for outer in inside):
            continue
        own = any(
            tensor is not ours[path]._parameters.get(name) for name, tensor in module.named_parameters(recurse=False)
        )
        if type(module) is not type(ours[path]) or own:
            inside.append(path)
            yield path, module
