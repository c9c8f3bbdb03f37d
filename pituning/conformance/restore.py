"""Putting a model back together after others have worked on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Puts a model back together when the context ends: modules, parameters, hooks and everything else it holds.

    Tensors are not copied: whoever writes into them changes them for good.
    """
    kept: list[tuple[nn.Module, dict[str, Any]]] = []
    for module in model.modules():
        held = {key: dict(value) if isinstance(value, dict) else value for key, value in module.__dict__.items()}
        kept.append((module, held))
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for module, held in kept:
            for key in set(module.__dict__) - set(held):
                del module.__dict__[key]
            for key, value in held.items():
                now = module.__dict__.get(key)
                if isinstance(now, dict) and isinstance(value, dict):
                    # In place: somebody may hold the dictionary itself, as a handle of a hook does.
                    now.clear()
                    now.update(value)
                else:
                    module.__dict__[key] = value
        for parameter, wanted in required:
            parameter.requires_grad_(wanted)
