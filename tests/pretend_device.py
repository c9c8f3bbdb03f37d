"""A device that only pretends to be one: its tensors compute on the CPU, yet refuse to meet tensors that are there.

What runs on it without an error puts every tensor where a GPU would need it, and the numbers can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
ATEN = torch.ops.aten
BETWEEN_DEVICES = {ATEN._to_copy.default, ATEN.copy_.default}
INDEXED = {ATEN.index.Tensor, ATEN.index_put_.default, ATEN._index_put_impl_.default}
"""What a GPU's tensors are indexed with may be on the CPU."""


class Elsewhere(Tensor):
    """A tensor of the pretended device; ``inner`` has its values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Elsewhere:
        made = Elsewhere(self.inner.clone()).requires_grad_(self.requires_grad)
        made._is_param = getattr(self, "_is_param", False)
        memo[id(self)] = made
        return made

    def __repr__(self) -> str:
        return f"Elsewhere({self.inner!r})"

    def tolist(self) -> Any:
        return self.inner.tolist()


def _run(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Does on the CPU what the pretended device is asked for.

    Raises:
        RuntimeError: some of the tensors are on the CPU, as a GPU would.
    """
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    if ours and function not in BETWEEN_DEVICES | INDEXED:
        strangers = [tuple(t.shape) for t in tensors if not isinstance(t, Elsewhere) and t.dim() > 0]
        if strangers:
            raise RuntimeError(f"{function}: expected all tensors on one device; on the CPU are {strangers}")
    asked = kwargs.get("device")
    here = torch.device(asked).type == NAME if asked is not None else bool(ours)
    if here and asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = function(*tree_map(_values, args), **tree_map(_values, kwargs))
    if function is ATEN.copy_.default:
        return args[0]
    known = {id(tensor.inner): tensor for tensor in ours}  # what was changed in place stays the same object

    def placed(x: Any) -> Any:
        if not here or not isinstance(x, Tensor):
            return x
        return known[id(x)] if id(x) in known else Elsewhere(x)

    return tree_map(placed, result)


def _values(x: Any) -> Any:
    return x.inner if isinstance(x, Elsewhere) else x


class _Pretending(TorchDispatchMode):
    """Lets functions that make tensors make them there."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


@cache
def register() -> None:
    """Makes the device known to PyTorch, once in a process, before its first backward pass."""
    _setup_privateuseone_for_python_backend(NAME)
    # Layers that run again for their gradients ask every device that there is.
    getattr(torch, NAME).get_amp_supported_dtype = lambda: [torch.bfloat16]

    # `torch.tensor(numbers, device=...)` passes by every mode.
    @torch.library.impl("aten::empty_strided", "PrivateUse1")
    def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_options: Any) -> Tensor:
        return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))

    @torch.library.impl("aten::copy_", "PrivateUse1")
    def copy(target: Tensor, source: Tensor, _non_blocking: bool = False) -> Tensor:
        _values(target).copy_(_values(source))
        return target


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Within the context there is one more device."""
    register()
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a module that moves gets new parameters
    try:
        with _Pretending():
            yield torch.device(NAME, 0)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
