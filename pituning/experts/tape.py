"""Per-example gradients of linear maps: inputs and outputs are kept, weights are never differentiated.

The gradient of a linear map's weight for one example is the sum over its positions of output gradient times input, so
one batched backward pass gives the gradients of all its examples.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Tape:
    """Keeps what passes the linear maps of an expert during one forward pass."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Tensor, Tensor, bool]] = {}

    def clear(self) -> None:
        """Forgets the last forward pass."""
        self._seen.clear()

    def linear(self, slot: int, entering: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``weight @ entering + bias``, kept.

        Args:
            slot: the place of ``weight`` among the expert's tensors; ``bias``, if there is one, stands right after.
        """
        if slot in self._seen:
            raise RuntimeError("an expert's linear map ran twice in one forward pass")
        output = torch.nn.functional.linear(entering, weight, bias)
        if not output.requires_grad:
            # With everything frozen the first maps are where the graph begins.
            output.requires_grad_(True)
        self._seen[slot] = (entering.detach(), output, bias is not None)
        return output

    def gradients(self, loss: Tensor, count: int) -> Iterator[Tensor]:
        """The gradient (B, *shape) of each of the expert's ``count`` tensors in turn."""
        slots = sorted(self._seen)
        gradients = torch.autograd.grad(loss, [self._seen[slot][1] for slot in slots])
        given = 0
        for slot, gradient in zip(slots, gradients, strict=True):
            entering, _, has_bias = self._seen.pop(slot)
            yield torch.bmm(gradient.transpose(1, 2), entering)
            given += 1
            if has_bias:
                yield gradient.sum(1)
                given += 1
        if given != count:
            raise RuntimeError(f"{given} of an expert's {count} tensors took part in the forward pass")
