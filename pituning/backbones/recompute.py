"""Gradient checkpointing: the layers keep only what enters them and run again for the gradients.

transformers checkpoints its layers in training mode alone, and there it also takes their cache away; a backbone stays
in evaluation mode, and prefixes are a cache. So it is done here, for layers of any model. Two things are particular:

- Experts act by hooks and by tensors in the place of parameters, and both are gone when the backward pass runs a layer
  again. What acted on a layer is kept with its call, and acts again.
- A layer that runs again finds the cache as it was before its first run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

ACTING = (
    "_parameters", "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
)  # fmt: skip
"""What of a module decides how it computes and is changed from outside while an expert acts."""

State = list[tuple[dict[Any, Any], dict[Any, Any]]]
"""Dictionaries and what they are to hold."""


@contextmanager
def checkpointed(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Within the context the layers keep no activations where gradients are asked for.

    The backward pass may run inside the context or after it; outputs and gradients are the same.
    """
    before = [layer.__dict__.get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = _twice(layer, layer.forward)
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.__dict__["forward"]
            else:  # somebody's own, such as that which moves a layer's inputs between devices
                layer.forward = forward


def _twice(layer: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    modules = list(layer.modules())

    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        acting = [module.__dict__[name] for module in modules for name in ACTING]
        state: State = [(held, _copy(held)) for held in (*acting, *_parts_of_caches([*args, *kwargs.values()]))]
        first = True

        def again(*args: Any, **kwargs: Any) -> Any:
            nonlocal first
            if first:
                first = False
                return forward(*args, **kwargs)
            with _holding(state):
                return forward(*args, **kwargs)

        # Nothing is drawn in evaluation mode, so that there is no random state to keep.
        return checkpoint(again, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run


@contextmanager
def _holding(state: State) -> Iterator[None]:
    """Within the context the dictionaries hold what they are to."""
    before = [dict(held) for held, _ in state]
    try:
        for held, wanted in state:
            held.clear()
            held.update(_copy(wanted))
        yield
    finally:
        for (held, _), kept in zip(state, before, strict=True):
            held.clear()
            held.update(kept)


def _copy(held: dict[Any, Any]) -> dict[Any, Any]:
    """The dictionary, with lists that will be appended to: a cache makes its layers when it first needs them."""
    return {key: list(value) if isinstance(value, list) else value for key, value in held.items()}


def _parts_of_caches(given: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """The attributes of caches among a layer's arguments, and those of their layers; updates put others there."""
    for cache in given:
        if not hasattr(cache, "get_seq_length"):
            continue
        inner = [getattr(cache, name, None) for name in ("self_attention_cache", "cross_attention_cache")]
        for each in [cache, *(part for part in inner if part is not None)]:
            yield each.__dict__
            updated = each.__dict__.get("is_updated")
            if isinstance(updated, dict):
                yield updated
            for layer in getattr(each, "layers", ()):
                yield layer.__dict__
