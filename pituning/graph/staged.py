"""Two predictions one after the other: a cheap one makes a shortlist, a dearer one puts it in order. Torch-free."""

from __future__ import annotations

import numpy as np

SHORTLIST = 6
"""Donors on a shortlist where nothing else is said."""


def staged(first: np.ndarray, second: np.ndarray, shortlist: int = SHORTLIST) -> np.ndarray:
    """One prediction out of two: the donors that the first ranks highest, in the order of the second, then the rest.

    Args:
        first: (..., N) larger is better; NaN for a donor that cannot be ranked, which stays so.
        second: (..., N) larger is better; NaN comes last of a shortlist.
        shortlist: how many donors of each row are on it.

    Returns:
        (..., N) scores of which the order alone means something: N for the first donor, N − 1 for the next, and so on.
    """
    count = first.shape[-1]
    ranked = np.argsort(-np.where(np.isfinite(first), first, -np.inf), axis=-1, kind="stable")
    head = ranked[..., :shortlist]
    probed = np.take_along_axis(second, head, axis=-1)
    order = np.argsort(-np.where(np.isfinite(probed), probed, -np.inf), axis=-1, kind="stable")
    ranked = np.concatenate([np.take_along_axis(head, order, axis=-1), ranked[..., shortlist:]], axis=-1)
    scores = np.empty(first.shape)
    np.put_along_axis(scores, ranked, np.broadcast_to(np.arange(count, 0, -1.0), first.shape), axis=-1)
    return np.where(np.isfinite(first), scores, np.nan)
