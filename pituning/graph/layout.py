"""Where the tasks stand on the screen: the same similarities give the same picture, whatever the order they come in.

Classical scaling of the pairs' ranks gives a start without any chance in it, a short force simulation pulls neighbours
together, and what overlaps at last (labels included) is pushed apart. Positions depend on S alone, not on which edges
are shown, so nothing moves when a threshold does. Of very many tasks only the points are kept apart: their labels come
with zooming in, and forces reach no further than the neighbourhood.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT = 720.0, 560.0
"""The canvas in pixels; larger ones keep its proportions."""

NODE_SIZE = 26.0
"""Height of a node's symbol in pixels at scale 1."""

LABEL_HEIGHT = 16.0
CHARACTER_WIDTH = 6.6
"""Mean advance of a 12-pixel sans-serif letter, on the wide side."""

GAP = 8.0
SLACK = 1.25
"""Room beyond the boxes, for screens on which the canvas is drawn smaller than it is and labels are not."""

NEIGHBOURS = 3

CROWD = 200
"""Tasks; more are too many for the forces and boxes of all pairs, and for labels."""

POINT = 9.0
"""Pixels between the middles of two points of a crowd, at least."""

REACH = 4.0
"""How far two tasks of a crowd push each other, in ideal distances."""


def label_boxes(labels: Sequence[str]) -> np.ndarray:
    """Width and height in pixels of each node with its label below it, (N, 2)."""
    widths = [max(NODE_SIZE, CHARACTER_WIDTH * len(label)) for label in labels]
    return np.column_stack([widths, np.full(len(widths), NODE_SIZE + LABEL_HEIGHT)]) + GAP


def layout(similarity: np.ndarray, names: Sequence[str], labels: Sequence[str], *, seed: int = 0) -> np.ndarray:
    """Positions in pixels of a canvas, (N, 2), x to the right and y down; no two boxes of `label_boxes` overlap.

    Of more than `CROWD` tasks no two are closer than about `POINT`, whatever their labels.

    Args:
        similarity: S, (N, N), symmetric; only its order matters.
        names: unique; they order the computation, so that the order of the input does not matter.
        labels: what stands below each node.
        seed: of the jitter that separates tasks with the same similarities.
    """
    n = len(names)
    if n == 0:
        return np.zeros((0, 2))
    order = sorted(range(n), key=lambda i: names[i])
    sorted_similarity = similarity[np.ix_(order, order)]
    start = _classical_scaling(_distances(sorted_similarity))
    start += np.random.default_rng(seed).normal(scale=1e-3, size=start.shape)
    attraction = _attraction(sorted_similarity)
    if n > CROWD:
        rows, columns = np.nonzero(np.triu(attraction, k=1))
        placed = _crowd(start, rows, columns, attraction[rows, columns])
    else:
        boxes = label_boxes([labels[i] for i in order]) * SLACK
        placed = _separate(_fit(_pull(start, attraction), boxes), boxes)
    result = np.empty_like(placed)
    result[order] = placed
    return result.round(2)


def _distances(similarity: np.ndarray) -> np.ndarray:
    """Distances in (0, 1] by the rank of each pair in the zoo: raw similarities crowd together, ranks do not. (N, N)"""
    n = len(similarity)
    upper = np.triu_indices(n, k=1)
    values, inverse = np.unique(-similarity[upper].round(9), return_inverse=True)  # ties share a rank
    distances = np.zeros((n, n))
    distances[upper] = (inverse + 1) / max(len(values), 1)
    return distances + distances.T


def _classical_scaling(distances: np.ndarray) -> np.ndarray:
    """The two leading principal coordinates (Torgerson), (N, 2), each signed so that its largest entry is positive."""
    n = len(distances)
    centring = np.eye(n) - 1 / n
    products = -centring @ distances**2 @ centring / 2
    if n > CROWD:  # all of them would take seconds
        from scipy.sparse.linalg import eigsh  # the app starts sooner without

        values, vectors = eigsh(products, k=2, which="LA", v0=np.ones(n) + np.arange(n) / n)
    else:
        values, vectors = np.linalg.eigh(products)
    coordinates = np.zeros((n, 2))
    for axis in range(min(2, n)):
        vector = vectors[:, -1 - axis]
        vector = vector * np.sign(vector[np.argmax(np.abs(vector).round(6))])
        coordinates[:, axis] = vector * np.sqrt(max(values[-1 - axis], 0))
    return coordinates


def _attraction(similarity: np.ndarray) -> np.ndarray:
    """How strongly a pair attracts, (N, N): 1 for mutual nearest neighbours, less by rank, 0 beyond `NEIGHBOURS`."""
    n = len(similarity)
    others = np.where(np.eye(n, dtype=bool), -np.inf, similarity)
    places = np.argsort(np.argsort(-others, axis=1, kind="stable"), axis=1, kind="stable")
    strength = np.clip(1 - places / NEIGHBOURS, 0, 1) * ~np.eye(n, dtype=bool)
    return (strength + strength.T) / 2


def _pull(positions: np.ndarray, attraction: np.ndarray, steps: int = 300) -> np.ndarray:
    """Force simulation (Fruchterman and Reingold, 1991) from a start; cools down linearly. (N, 2)"""
    n = len(positions)
    if n < 3:
        return positions
    ideal = 1 / np.sqrt(n)
    positions = positions - positions.mean(0)
    positions /= max(np.abs(positions).max(), 1e-9) * 2
    for step in range(steps):
        offset = positions[:, None] - positions[None]  # (N, N, 2)
        distance = np.maximum(np.linalg.norm(offset, axis=2), 1e-3)  # (N, N)
        strength = ideal**2 / distance**2 - attraction * distance / ideal
        force = np.einsum("ij,ijk->ik", strength, offset) - 0.5 * positions  # gravity keeps loose groups in sight
        length = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-12)
        positions = positions + force / length * np.minimum(length, 0.1 * (1 - step / steps))
    return positions


def layout_of_nearest(tasks: np.ndarray, landmarks: np.ndarray, names: Sequence[str], *, seed: int = 0) -> np.ndarray:
    """Positions as of `layout`, without all of S; for more than `CROWD` tasks.

    Args:
        tasks: indices of the most similar of each task, best first, (N, k); -1 where there is none.
        landmarks: S of some tasks to all, (L, N). Their two principal components are the start, in place of classical
            scaling, which needs all pairs (landmark scaling; de Silva and Tenenbaum, 2004).
        names: unique; they order the computation.
    """
    from scipy.sparse import coo_array, triu

    n, k = len(names), min(tasks.shape[1], NEIGHBOURS)
    order = np.array(sorted(range(n), key=lambda i: names[i]))
    number = np.empty(n, dtype=np.int64)
    number[order] = np.arange(n)
    centred = landmarks[:, order]  # before anything is added up, whose rounding the forces would blow up
    centred = centred - centred.mean(1, keepdims=True)
    start = np.linalg.svd(centred, full_matrices=False)[2][:2].T  # (N, 2)
    start = start * np.sign(start[np.abs(start).round(6).argmax(0), [0, 1]])
    # By their places in the order, lest many lie within reach of many: their pairs would not fit into memory.
    start = np.argsort(np.argsort(start.round(9), axis=0, kind="stable"), axis=0, kind="stable") / n
    start = start + np.random.default_rng(seed).normal(scale=1e-3 / np.sqrt(n), size=start.shape)
    rows, places = np.nonzero(tasks[order, :k] >= 0)
    columns = number[tasks[order[rows], places]]
    strength = coo_array(((1 - places / NEIGHBOURS) / 2, (rows, columns)), shape=(n, n)).tocsr()
    pulls = triu(strength + strength.T, k=1).tocoo()
    placed = _crowd(start, pulls.row, pulls.col, pulls.data)
    result = np.empty_like(placed)
    result[order] = placed
    return result.round(2)


def _crowd(start: np.ndarray, rows: np.ndarray, columns: np.ndarray, attraction: np.ndarray) -> np.ndarray:
    """Places of very many tasks, of which the pairs ``rows``, ``columns`` attract each other. (N, 2)"""
    boxes = np.full((len(start), 2), POINT)
    return _spread(_fit(_pull_near(start, rows, columns, attraction), boxes))


def _pull_near(
    positions: np.ndarray, rows: np.ndarray, columns: np.ndarray, attraction: np.ndarray, steps: int = 120
) -> np.ndarray:
    """`_pull` with forces between those that attract each other and between those that are near. (N, 2)"""
    from scipy.spatial import cKDTree

    n = len(positions)
    ideal = 1 / np.sqrt(n)
    positions = positions - positions.mean(0)
    positions /= max(np.abs(positions).max(), 1e-9) * 2
    pull = attraction / ideal
    for step in range(steps):
        force = -0.5 * positions
        offset = positions[rows] - positions[columns]  # (pairs, 2)
        _push(force, rows, columns, -(pull * np.linalg.norm(offset, axis=1))[:, None] * offset)
        near = cKDTree(positions).query_pairs(REACH * ideal, output_type="ndarray")
        offset = positions[near[:, 0]] - positions[near[:, 1]]
        squared = np.maximum((offset**2).sum(1), 1e-6)
        _push(force, near[:, 0], near[:, 1], ideal**2 / squared[:, None] * offset)
        length = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-12)
        positions = positions + force / length * np.minimum(length, 0.1 * (1 - step / steps))
    return positions


def _push(force: np.ndarray, rows: np.ndarray, columns: np.ndarray, amount: np.ndarray) -> None:
    """Adds what pairs do to each other, (pairs, 2), to the force on each task, (N, 2)."""
    for axis in range(2):
        force[:, axis] += np.bincount(rows, amount[:, axis], len(force))
        force[:, axis] -= np.bincount(columns, amount[:, axis], len(force))


def _spread(positions: np.ndarray, rounds: int = 200) -> np.ndarray:
    """Pushes points apart until hardly any two are closer than `POINT`."""
    from scipy.spatial import cKDTree

    positions = positions.copy()
    for _ in range(rounds):
        near = cKDTree(positions).query_pairs(0.98 * POINT, output_type="ndarray")
        if not len(near):
            break
        offset = positions[near[:, 0]] - positions[near[:, 1]]
        distance = np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-6)
        _push(positions, near[:, 0], near[:, 1], offset / distance * (POINT - distance) / 2)
    return positions - positions.min(0) + POINT / 2


def _fit(positions: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Spreads positions over the canvas; the canvas grows when its boxes fill more than half of it.

    Half of a coordinate is its place in the order of all, so that crowded parts take some of the empty parts' room.
    """
    low, high = positions.min(0), positions.max(0)
    unit = np.where(high - low > 1e-9, (positions - low) / np.maximum(high - low, 1e-9), 0.5)
    places = np.argsort(np.argsort(positions, axis=0, kind="stable"), axis=0, kind="stable")
    unit = (unit + places / max(len(positions) - 1, 1)) / 2
    growth = max(1.0, np.sqrt(2 * boxes.prod(1).sum() / (WIDTH * HEIGHT)))
    frame = np.array([WIDTH, HEIGHT]) * growth - boxes.max(0)
    return boxes.max(0) / 2 + unit * frame


def _separate(positions: np.ndarray, boxes: np.ndarray, rounds: int = 2000) -> np.ndarray:
    """Pushes overlapping boxes apart along the axis of least overlap until none overlaps; the others stay."""
    positions = positions.copy()
    reach = (boxes[:, None] + boxes[None]) / 2  # (N, N, 2)
    rows, columns = np.triu_indices(len(positions), k=1)
    for _ in range(rounds):
        offset = positions[rows] - positions[columns]  # (pairs, 2)
        overlap = reach[rows, columns] - np.abs(offset)
        touching = np.flatnonzero((overlap > 1e-6).all(1))
        if touching.size == 0:
            break
        push = np.zeros_like(positions)
        for pair in touching:
            i, j = rows[pair], columns[pair]
            axis = int(np.argmin(overlap[pair]))
            # A little more than needed, so that chains come to rest.
            amount = (overlap[pair, axis] + 0.5) / 2 * (1 if offset[pair, axis] >= 0 else -1)
            push[i, axis] += amount
            push[j, axis] -= amount
        positions += push
    return positions - (positions - boxes / 2).min(0)
