"""Per-example gradients of linear maps: inputs and outputs are kept, weights are never differentiated.

The gradient of a linear map's weight for one example is the sum over its positions of output gradient times input, so
one batched backward pass gives the gradients of all its examples.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor


class Tape:
    """Keeps what passes the linear maps of an expert during one forward pass."""

    def __init__(self) -> None:
        self._seen: dict[int, list[tuple[Tensor, Tensor, bool]]] = {}

    def clear(self) -> None:
        """Forgets the last forward pass."""
        self._seen.clear()

    def linear(self, slot: int, entering: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``weight @ entering + bias``, kept; a map may run more than once, as where a decoder uses it on both halves.

        Args:
            slot: the place of ``weight`` among the expert's tensors; ``bias``, if there is one, stands right after.
        """
        output = torch.nn.functional.linear(entering, weight, bias)
        if not output.requires_grad:
            # With everything frozen the first maps are where the graph begins.
            output.requires_grad_(True)
        self._seen.setdefault(slot, []).append((entering.detach(), output, bias is not None))
        return output

    def gradients(
        self, loss: Tensor, shapes: Sequence[tuple[int, ...]], idle: Collection[int] = ()
    ) -> Iterator[Tensor]:
        """The gradient (B, *shape) of each of the expert's tensors in turn.

        Args:
            shapes: of the tensors.
            idle: places of those that need not have taken part; their gradient is zero then.

        Raises:
            RuntimeError: another did not take part.
        """
        slots = sorted(self._seen)
        outputs = [output for slot in slots for _, output, _ in self._seen[slot]]
        gradients = iter(torch.autograd.grad(loss, outputs))
        place = 0
        while place < len(shapes):
            if place not in self._seen:
                if place not in idle:
                    raise RuntimeError(f"tensor {place} of an expert's {len(shapes)} took no part in the forward pass")
                yield outputs[0].new_zeros(len(outputs[0]), *shapes[place])
                place += 1
                continue
            uses = [(entering, next(gradients), has_bias) for entering, _, has_bias in self._seen.pop(place)]
            yield _sum([torch.bmm(gradient.transpose(1, 2), entering) for entering, gradient, _ in uses])
            place += 1
            if uses[0][2]:
                yield _sum([gradient.sum(1) for _, gradient, _ in uses])
                place += 1


def _sum(parts: list[Tensor]) -> Tensor:
    """Of one part that part itself."""
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
