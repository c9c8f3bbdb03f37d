"""The order in which a training sees its examples: a function of the seed alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BUCKET = 8
"""Batches that are drawn together and sorted by length, so that little is padding."""


def batch_order(lengths: np.ndarray, batch_size: int, seed: int, *, start: int = 0) -> Iterator[np.ndarray]:
    """Endless batches of indices: each epoch a new permutation, length-bucketed, batches shuffled.

    A last batch that would be smaller is filled up from the epoch's beginning, so that every step costs the same. The
    order does not depend on global random state, and a resumed training skips to its step.

    Args:
        lengths: (N,) tokens of each example.
        batch_size: indices per batch; all N if there are fewer.
        start: how many batches to skip.
    """
    count = len(lengths)
    size = min(batch_size, count)
    per_epoch = -(-count // size)
    epoch, skip = divmod(start, per_epoch)
    while True:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(count)
        order = np.concatenate([order, order[: per_epoch * size - count]])
        batches = []
        for begin in range(0, len(order), size * BUCKET):
            bucket = order[begin : begin + size * BUCKET]
            bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
            batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
        for index in rng.permutation(len(batches))[skip:]:
            yield batches[int(index)]
        epoch, skip = epoch + 1, 0
