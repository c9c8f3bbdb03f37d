"""Positions enter OFA as biases on attention scores only: an absolute part and learned tables of relative ones."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from pituning.errors import BadInput


class RelativePositions(nn.Embedding):
    """One bias per bucket of relative positions and head, zero before training: (buckets, heads).

    Published files hold the buckets of all pairs as large integer buffers; here they are computed for the pairs at
    hand.
    """

    def forward(self, buckets: Tensor) -> Tensor:
        """(heads, Q, K) biases of buckets (Q, K)."""
        return super().forward(buckets).permute(2, 0, 1)


def text_bucket_count(size: int) -> int:
    """Rows of a table of relative text positions."""
    return 2 * size - 1


def text_buckets(queries: Tensor, keys: Tensor, *, size: int, longest: int) -> Tensor:
    """Buckets (Q, K) of text positions (Q,) and (K,), all below ``longest``.

    Distances up to ``size / 2`` have a bucket each; longer ones share logarithmically growing buckets.
    """
    of_distance = torch.as_tensor(_buckets_by_distance(size, longest), device=queries.device)
    return of_distance[queries[:, None] - keys[None, :] + longest - 1]


@cache
def _buckets_by_distance(size: int, longest: int) -> np.ndarray:
    """The bucket of each distance −(longest − 1) … longest − 1.

    Rounded in float32 on the CPU, whatever the model runs on: a distance on the edge of a bucket must not change its
    bucket with the device. An array, for a tensor that was made in inference mode could not be used in training.
    """
    with torch.device("cpu"), torch.inference_mode(False):
        middle = size // 2
        distance = torch.arange(1 - longest, longest)
        far = distance.abs().clamp(min=middle)  # (2 · longest − 1,)
        steps = torch.log(far / middle) / math.log((longest - 1) / middle) * (middle - 1)
        shared = (torch.ceil(steps).long() + middle) * distance.sign()
        return (torch.where(far <= middle, distance, shared) + size - 1).numpy()


def image_bucket_count(size: int) -> int:
    """Rows of a table of relative patch positions; the last three belong to position 0, which no patch has."""
    return (2 * size - 1) ** 2 + 3


def patch_positions(grid: tuple[int, int], *, size: int, device: torch.device | None = None) -> Tensor:
    """Position ids (rows · columns,) of the patches of an image, row by row on a ``size`` x ``size`` grid from id 1.

    Raises:
        BadInput: the image has more rows or columns than the grid.
    """
    rows, columns = grid
    if not (1 <= rows <= size and 1 <= columns <= size):
        raise BadInput(
            f"image of {rows} x {columns} patches: OFA has positions for {size} x {size}; "
            f"give an image of 1 to {16 * size} pixels a side"
        )
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    return (row[:, None] * size + column[None, :] + 1).flatten()


def patch_buckets(positions: Tensor, *, size: int) -> Tensor:
    """Buckets (V, V) of all pairs of patch positions (V,): by difference of rows, then of columns."""
    row, column = (positions - 1) // size, (positions - 1) % size
    rows, columns = row[:, None] - row[None, :] + size - 1, column[:, None] - column[None, :] + size - 1
    return rows * (2 * size - 1) + columns


def absolute_bias(queries: Tensor, keys: Tensor, *, heads: int, scale: float) -> Tensor:
    """(B, heads, Q, K) biases: scaled products of projected position embeddings (B, Q, D) and (B, K, D), per head."""
    q = queries.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, Q, D / heads)
    k = keys.unflatten(-1, (heads, -1)).transpose(1, 2)
    return (q * scale) @ k.transpose(-1, -2)
