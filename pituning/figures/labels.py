"""Where names stand beside points so that they hide neither points nor each other, as well as that can be done."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

CHARACTER = 5.3
"""Mean advance of an 11-pixel sans-serif letter, on the wide side."""

WIDE = 11.0
"""Advance of a letter that fills a square, as those of Chinese do."""

LINE = 15.0
GAP = 9.0
"""From a point's middle to its name."""

NEAR, NEAR_COST = 16.0, 0.2
"""So near a point stands its own name; what it costs, of the area, that another's does, which is read as its own."""

MOST_TRIED = 40
"""Names of which each may try all places, which takes a tenth of a second; of more some are hidden anyway."""

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
    """A place of `PLACES` for each name, where there is least to hide.

    By turns, points in crowds first, each takes the best place beside what the others have. Then each that still hides
    something tries all places, and those whom it would hide there make way for it, where less is hidden so in all.

    Args:
        points: in pixels, (N, 2), y down.
        labels: the names.
        size: of the canvas in pixels.
    """
    n = len(labels)
    if n == 0:
        return []
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + np.where(np.eye(n, dtype=bool), np.inf, 0)
    boxes = np.array([[_box(points[i], labels[i], place) for place in PLACES] for i in range(n)])  # (N, places, 4)
    dots, near = (np.concatenate([points - room, points + room], axis=1) for room in (GAP, NEAR))
    alone = np.array([
        [
            2 * _overlap(box, np.delete(dots, i, 0)) + 4 * _outside(box, size) + turn
            + NEAR_COST * _overlap(box, np.delete(near, i, 0))
            for turn, box in enumerate(own)
        ]
        for i, own in enumerate(boxes)
    ])  # what a place costs whatever the others have; ties go to the better place  # fmt: skip
    chosen = np.zeros(n, dtype=int)
    each = np.arange(n)

    def shared(i: int, place: int, places: np.ndarray) -> np.ndarray:
        """The areas (N,) that a name would share with the others."""
        others = boxes[each, places]
        others[i] = 0
        return _overlaps(boxes[i, place], others)

    def best(i: int, places: np.ndarray) -> int:
        return int(np.argmin([alone[i, place] + shared(i, place, places).sum() for place in range(len(PLACES))]))

    def total(places: np.ndarray) -> float:
        now = boxes[each, places]
        return float(alone[each, places].sum() + sum(_overlap(box, now[i + 1 :]) for i, box in enumerate(now)))

    order = np.argsort(apart.min(1), kind="stable")
    for _ in range(3):  # each sees what the others chose
        for i in order:
            chosen[i] = best(i, chosen)
    for i in order if n <= MOST_TRIED else ():
        if alone[i, chosen[i]] + shared(i, chosen[i], chosen).sum() < len(PLACES):  # hides nothing
            continue
        least = total(chosen)
        for place in range(len(PLACES)):
            changed = chosen.copy()
            changed[i] = place
            for j in np.flatnonzero(shared(i, place, changed)).tolist():
                changed[j] = best(j, changed)
            if (hidden := total(changed)) < least:
                chosen, least = changed, hidden
    return [list(PLACES)[place] for place in chosen]


def _box(point: np.ndarray, label: str, place: str) -> np.ndarray:
    across, down = PLACES[place]
    width = sum(WIDE if unicodedata.east_asian_width(letter) in "WF" else CHARACTER for letter in label)
    height = LINE
    # Beside a point a name keeps its distance sideways; above and below it the distance is downwards.
    shift = np.array([across * (width / 2 + (GAP if down == 0 else 2)), down * (height / 2 + GAP - 2)])
    half = np.array([width, height]) / 2
    return np.concatenate([point + shift - half, point + shift + half])


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """The area that a box shares with others, in sum."""
    return float(_overlaps(box, others).sum())


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that a box shares with each of others (N, 4): (N,)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return np.clip(high - low, 0, None).prod(1)


def _outside(box: np.ndarray, size: tuple[float, float]) -> float:
    whole = np.array([[0.0, 0.0, *size]])
    return float((box[2] - box[0]) * (box[3] - box[1])) - _overlap(box, whole)
