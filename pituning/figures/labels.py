"""Where names stand beside points so that they hide neither points nor each other, as well as that can be done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CHARACTER = 6.4
"""Mean advance of an 11-pixel sans-serif letter, on the wide side."""

LINE = 15.0
GAP = 9.0
"""From a point's middle to its name."""

# Plotly's names of the eight places, best first, with the middle of the box in halves of its width and height.
PLACES: dict[str, tuple[float, float]] = {
    "top center": (0, -1),
    "bottom center": (0, 1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, -1),
    "bottom right": (1, 1),
    "top left": (-1, -1),
    "bottom left": (-1, 1),
}


def place_labels(points: np.ndarray, labels: Sequence[str], size: tuple[float, float]) -> list[str]:
    """A place of `PLACES` for each name, by turns where there is least to hide, points in crowds first.

    Args:
        points: in pixels, (N, 2), y down.
        labels: the names.
        size: of the canvas in pixels.
    """
    n = len(labels)
    if n == 0:
        return []
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + np.where(np.eye(n, dtype=bool), np.inf, 0)
    chosen = ["top center"] * n
    boxes = np.array([_box(points[i], labels[i], chosen[i]) for i in range(n)])  # (N, 4): left, top, right, bottom
    dots = np.concatenate([points - GAP, points + GAP], axis=1)
    order = np.argsort(apart.min(1), kind="stable")
    for _ in range(3):  # each sees what the others chose
        for i in order:
            others = np.arange(n) != i
            candidates = np.array([_box(points[i], labels[i], place) for place in PLACES])
            costs = [
                _overlap(box, boxes[others]) + 2 * _overlap(box, dots[others]) + 4 * _outside(box, size) + turn
                for turn, box in enumerate(candidates)  # ties go to the better place
            ]
            best = int(np.argmin(costs))
            chosen[i], boxes[i] = list(PLACES)[best], candidates[best]
    return chosen


def _box(point: np.ndarray, label: str, place: str) -> np.ndarray:
    across, down = PLACES[place]
    width, height = CHARACTER * len(label), LINE
    # Beside a point a name keeps its distance sideways; above and below it the distance is downwards.
    shift = np.array([across * (width / 2 + (GAP if down == 0 else 2)), down * (height / 2 + GAP - 2)])
    half = np.array([width, height]) / 2
    return np.concatenate([point + shift - half, point + shift + half])


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """The area that a box shares with others, in sum."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return float(np.clip(high - low, 0, None).prod(1).sum())


def _outside(box: np.ndarray, size: tuple[float, float]) -> float:
    whole = np.array([[0.0, 0.0, *size]])
    return float((box[2] - box[0]) * (box[3] - box[1])) - _overlap(box, whole)
