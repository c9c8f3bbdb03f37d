"""The best order of the leaves of a cluster tree: of all that leave clusters whole, the shortest walk from end to end.

Bar-Joseph, Gifford and Jaakkola (2001), "Fast optimal leaf ordering for hierarchical clustering". SciPy's
``optimal_ordering=True`` chooses greedily on its way up the tree and so misses the optimum (scipy issue 11227); it is
used only for zoos that are too large for the exact way.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import leaves_list, optimal_leaf_ordering
from scipy.spatial.distance import squareform

MOST_EXACT = 1000
"""Leaves. The exact way takes time in the cube of their number: about a second for so many."""


def best_leaf_order(tree: np.ndarray, distance: np.ndarray) -> list[int]:
    """The leaves of a linkage matrix in the order in which neighbours are closest in sum.

    Args:
        tree: from `scipy.cluster.hierarchy.linkage`, (N - 1, 4).
        distance: of all pairs, (N, N), symmetric.
    """
    n = len(distance)
    if n > MOST_EXACT:
        condensed = squareform(distance, checks=False)
        return [int(i) for i in leaves_list(optimal_leaf_ordering(tree, condensed))]
    leaves = [np.array([i]) for i in range(n)]
    # Of each cluster the length of its shortest walk from its leaf u to its leaf w, (size, size); inf where none is.
    walks = [np.zeros((1, 1)) for _ in range(n)]
    joints: list[tuple[np.ndarray, np.ndarray]] = []
    for a, b in tree[:, :2].astype(int):
        gap = distance[np.ix_(leaves[a], leaves[b])]
        to_gap, leave_at = _shortest(walks[a], gap)  # from u in a, over its last leaf m, to k in b
        across, enter_at = _shortest(to_gap, walks[b])  # and on to w in b
        size = len(leaves[a])
        walk = np.full((size + len(leaves[b]),) * 2, np.inf)
        walk[:size, size:], walk[size:, :size] = across, across.T
        leaves.append(np.concatenate([leaves[a], leaves[b]]))
        walks.append(walk)
        joints.append((leave_at, enter_at))
        walks[a] = walks[b] = np.empty((0, 0))  # not needed any more
    start, end = np.unravel_index(np.argmin(walks[-1]), walks[-1].shape)
    return _unfold(tree, leaves, joints, int(leaves[-1][start]), int(leaves[-1][end]))


def _shortest(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """min and argmin over m of first (U, M) + second (M, K): each (U, K)."""
    at = np.empty((first.shape[0], second.shape[1]), dtype=np.int64)
    for row, lengths in enumerate(first):
        at[row] = np.argmin(lengths[:, None] + second, axis=0)
    return np.take_along_axis(first, at, axis=1) + second[at, np.arange(second.shape[1])], at


def _unfold(
    tree: np.ndarray,
    leaves: list[np.ndarray],
    joints: list[tuple[np.ndarray, np.ndarray]],
    start: int,
    end: int,
) -> list[int]:
    """The walk through the whole tree from one leaf to another, from the joints that were best on the way up."""
    n = len(leaves) - len(tree)
    order: list[int] = []
    todo = [(len(leaves) - 1, start, end)]  # clusters with the leaves at which they begin and end, the next one last
    while todo:
        cluster, u, w = todo.pop()
        if cluster < n:
            order.append(cluster)
            continue
        a, b = (int(i) for i in tree[cluster - n, :2])
        leave_at, enter_at = joints[cluster - n]
        turned = u not in leaves[a]
        first, last = (w, u) if turned else (u, w)  # in a and in b
        i, j = int(np.flatnonzero(leaves[a] == first)[0]), int(np.flatnonzero(leaves[b] == last)[0])
        enter = enter_at[i, j]
        k, m = int(leaves[b][enter]), int(leaves[a][leave_at[i, enter]])
        parts = [(b, last, k), (a, m, first)] if turned else [(a, first, m), (b, k, last)]
        todo += reversed(parts)
    return order
