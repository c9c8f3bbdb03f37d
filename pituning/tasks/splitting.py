"""Splits rows into train, validation and test: stratified, seeded, and without a question on two sides. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pituning.tasks.base import SPLITS

SHARES = {"train": 0.60, "validation": 0.15, "test": 0.25}


def assign_splits(questions: np.ndarray, strata: np.ndarray, given: np.ndarray, *, seed: int) -> np.ndarray:
    """The split of every row, (N,), as places in `SPLITS`.

    Rows of one stratum are dealt in the proportions 60/15/25; rows with the same question go to the same split. Where
    some splits are given, rows given as ``train`` are dealt among train and the splits that nobody was given.

    Args:
        questions: (N,) equal numbers where rows ask the same question.
        strata: (N,) equal numbers where rows have the same answer, or one constant.
        given: (N,) the split that the file names, or -1.
        seed: of the shuffle.
    """
    free = [place for place, split in enumerate(SPLITS) if split == "train" or not (given == place).any()]
    splits = np.where(given < 0, 0, given).astype(np.int8)
    rows = np.flatnonzero(splits == 0)
    if not len(rows):
        return splits
    first, group = _in_order(questions[rows])
    _, stratum = _in_order(strata[rows][first])
    dealt = np.zeros(len(first), dtype=np.int8)
    by_stratum = np.argsort(stratum, kind="stable")
    ends = np.cumsum(np.bincount(stratum))
    for number, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        members = by_stratum[begin:end]
        order = np.random.default_rng([seed, number]).permutation(len(members))
        start = 0
        for place, size in _sizes(len(members), free).items():
            dealt[members[order[start : start + size]]] = place
            start += size
    splits[rows] = dealt[group]
    return splits


def _in_order(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each value comes up first, and for each row the number of its value in that order.

    The order of the values themselves says nothing: they may be hashes, which differ from process to process.
    """
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return np.sort(first), rank[inverse]


def _sizes(count: int, free: Sequence[int]) -> dict[int, int]:
    """How many of ``count`` go to each split: train first, then test, then validation get at least one."""
    shares = [SHARES[split] for split in SPLITS]
    total = sum(shares[place] for place in free)
    sizes = dict.fromkeys(free, 0)
    left = count - 1 if count else 0  # one is train's
    for place in (2, 1):
        if place in sizes:
            sizes[place] = min(left, max(1, round(count * shares[place] / total)))
            left -= sizes[place]
    sizes[0] = count - sum(sizes.values())
    return sizes
