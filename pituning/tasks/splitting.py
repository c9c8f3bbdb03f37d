"""Splits rows into train, validation and test: stratified, seeded, and without a question on two sides. Torch-free."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from pituning.tasks.base import SPLITS

SHARES = {"train": 0.60, "validation": 0.15, "test": 0.25}
SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""What a ``split`` column may say."""


def assign_splits(
    keys: Sequence[Hashable], strata: Sequence[str], given: Sequence[str | None], *, seed: int
) -> list[str]:
    """The split of every row.

    Rows of one stratum are dealt in the proportions 60/15/25; rows with the same key go to the same split. Where some
    splits are given, rows given as ``train`` are dealt among train and the splits that nobody was given.

    Args:
        keys: rows with equal keys ask the same question.
        strata: the answer of each row, or one constant.
        given: the split that the file names, or None everywhere.
        seed: of the shuffle.
    """
    named = {split for split in given if split is not None}
    free = [split for split in SPLITS if split == "train" or split not in named]
    splits = [split or "train" for split in given]
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        if splits[index] == "train":
            groups.setdefault(key, []).append(index)
    dealt: dict[str, list[list[int]]] = {}
    for group in groups.values():
        dealt.setdefault(strata[group[0]], []).append(group)
    for number, stratum in enumerate(sorted(dealt)):
        members = dealt[stratum]
        order = np.random.default_rng([seed, number]).permutation(len(members))
        begin = 0
        for split, size in _sizes(len(members), free).items():
            for place in order[begin : begin + size]:
                for index in members[int(place)]:
                    splits[index] = split
            begin += size
    return splits


def _sizes(count: int, free: Sequence[str]) -> dict[str, int]:
    """How many of ``count`` go to each split: train first, then test, then validation get at least one."""
    total = sum(SHARES[split] for split in free)
    sizes = dict.fromkeys(free, 0)
    left = count - 1 if count else 0  # one is train's
    for split in ("test", "validation"):
        if split in sizes:
            sizes[split] = min(left, max(1, round(count * SHARES[split] / total)))
            left -= sizes[split]
    sizes["train"] = count - sum(sizes.values())
    return sizes
