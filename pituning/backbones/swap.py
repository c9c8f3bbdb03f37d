"""Running a model with other tensors in the place of some of its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class ParameterSwap:
    """Runs modules with other tensors as some parameters: `torch.func.functional_call` without its overhead.

    A parameter that stands in several places, as tied embeddings do, is swapped in all of them.

    Args:
        root: the module that holds the parameters.
        names: their dotted names, as in ``root.named_parameters()``.
    """

    def __init__(self, root: nn.Module, names: Sequence[str]):
        self.names = tuple(names)
        every: dict[int, list[tuple[dict[str, Any], str]]] = {}
        for module in root.modules():
            for key, parameter in module._parameters.items():
                if parameter is not None:
                    every.setdefault(id(parameter), []).append((module._parameters, key))
        self._places: list[list[tuple[dict[str, Any], str]]] = []
        for name in self.names:
            owner, _, key = name.rpartition(".")
            parameters = root.get_submodule(owner)._parameters
            if key not in parameters:
                raise KeyError(name)
            self._places.append(every[id(parameters[key])])

    @contextmanager
    def __call__(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """Within the context the parameters are ``tensors``, in the order of the names; gradients flow into them."""
        before = [places[0][0][places[0][1]] for places in self._places]
        try:
            for places, tensor in zip(self._places, tensors, strict=True):
                for parameters, key in places:
                    parameters[key] = tensor
            yield
        finally:
            for places, tensor in zip(self._places, before, strict=True):
                for parameters, key in places:
                    parameters[key] = tensor
