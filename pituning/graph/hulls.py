"""Soft outlines around the communities of a task graph, and where their names stand beside them.

An outline surrounds what is near to a community's tasks and to the shortest lines that join them, and leaves out what
is nearer to others: no task is ever within the outline of a community that is not its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx
import numpy as np

from pituning.graph.layout import CROWD, POINT, label_boxes
from pituning.graph.newcomers import is_own

MOST = 12
"""Communities with an outline, the largest; more would be a mess."""

CELL = 4.0
"""Pixels of the grid on which outlines are found."""

REACH = 42.0
"""Pixels around the tasks of a community and what joins them."""

CLOSING = 26.0
"""Notches narrower than twice this are filled."""

STRANGER = 30.0
"""Pixels around a task of another community that stay free."""

SMOOTH = 3.0
"""Standard deviation, in corners, of the filter along an outline."""

CROWD_REACH = 2.2 * POINT
"""The same as `REACH` of very many tasks."""

MOSTLY, THIN = 0.6, 0.4
"""Where most tasks around are of a community, and no fewer than this share of what its tasks usually have around."""

CROWD_LEAST = 8
"""Tasks of a part of a crowd, at least: strays have no outline."""

LETTER_WIDTH, LETTER_HEIGHT = 7.6, 20.0
"""Pixels of a letter of a community's name."""

ASIDE = 3.0
"""Pixels between an outline and its name."""


Side = Literal["top", "right", "bottom", "left", "inside"]
OUTWARD: dict[Side, tuple[int, int]] = {"top": (0, -1), "right": (1, 0), "bottom": (0, 1), "left": (-1, 0)}


@dataclass(frozen=True, kw_only=True)
class Label:
    """A name beside a point of an outline, however large the graph is drawn, or on a point within.

    Args:
        x, y: the point.
        side: of it, where the name stands; ``inside`` is on it.
    """

    x: float
    y: float
    side: Side

    def box(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The middle of the name and its width and height, in pixels of the layout, (2,) each."""
        size = np.array([LETTER_WIDTH * len(name), LETTER_HEIGHT])
        return np.array([self.x, self.y]) + np.array(OUTWARD.get(self.side, (0, 0))) * (ASIDE + size / 2), size


@dataclass(frozen=True, kw_only=True)
class Hull:
    """What is drawn of a community.

    Args:
        community: its number.
        name: what it is called.
        outlines: closed, in pixels of the layout, (corners, 2) each; the part with the most tasks first.
        label: where the name stands; None where there is no room for it.
    """

    community: int
    name: str
    outlines: tuple[np.ndarray, ...]
    label: Label | None


def hulls(graph: nx.Graph, *, most: int = MOST) -> list[Hull]:
    """The outlines of the largest communities of at least two tasks, by number.

    Args:
        graph: of `pituning.graph.build.task_graph` or what is made of one. Tasks that joined by their shots alone
            change no outline, but names keep away from theirs.
        most: communities at most.
    """
    placed = [name for name, data in graph.nodes(data=True) if not is_own(data)]
    if len(placed) < 2:
        return []
    places = np.array([(graph.nodes[name]["x"], graph.nodes[name]["y"]) for name in placed])
    members: dict[int, list[int]] = defaultdict(list)
    for index, name in enumerate(placed):
        members[int(graph.nodes[name]["community"])].append(index)
    drawn = [group for group in sorted(members) if len(members[group]) > 1][:most]
    crowd = len(placed) > CROWD
    grid = _Grid(places, pad=2 * REACH + CLOSING)
    found = {
        group: _crowd_outlines(grid, places, np.array(members[group]))
        if crowd
        else _outlines(grid, places, np.array(members[group]))
        for group in drawn
    }
    names = {group: str(graph.nodes[placed[members[group][0]]]["community_name"]) for group in drawn}
    wanted = {group: (names[group], parts[0]) for group, parts in found.items() if parts}
    if crowd:
        labels = {group: _middle(places[members[group]], outline) for group, (_, outline) in wanted.items()}
    else:
        labels = _labels(graph, wanted)
    return [
        Hull(community=group, name=names[group], outlines=tuple(parts), label=labels.get(group))
        for group, parts in found.items()
        if parts
    ]


class _Grid:
    """Cells over the places, with room beyond them."""

    def __init__(self, places: np.ndarray, *, pad: float):
        self.low = places.min(0) - pad
        self.shape = tuple((np.ceil((places.max(0) + pad - self.low) / CELL).astype(int) + 1).tolist())

    def cells(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cells that hold points (N, 2)."""
        at = np.rint((points - self.low) / CELL).astype(int)
        return at[:, 0], at[:, 1]

    def marked(self, points: np.ndarray) -> np.ndarray:
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.cells(points)] = True
        return mask


def _outlines(grid: _Grid, places: np.ndarray, members: np.ndarray) -> list[np.ndarray]:
    """The parts of one community of a graph whose tasks are drawn with their names."""
    from scipy.ndimage import distance_transform_edt

    own, others = places[members], np.delete(places, members, axis=0)
    near = distance_transform_edt(~grid.marked(_joined(own))) * CELL
    wide = near < REACH + CLOSING
    region = (distance_transform_edt(wide) * CELL > CLOSING) | (near < REACH)
    if len(others):
        strange = distance_transform_edt(~grid.marked(others)) * CELL
        at_home = distance_transform_edt(~grid.marked(own)) * CELL
        region &= (strange > STRANGER) | (at_home < strange)
    return _parts(grid, region, own, others, least=1)


def _crowd_outlines(grid: _Grid, places: np.ndarray, members: np.ndarray) -> list[np.ndarray]:
    """The parts of one community of very many tasks: where most tasks around are its own."""
    from scipy.ndimage import gaussian_filter

    everyone, own = np.zeros(grid.shape), np.zeros(grid.shape)
    np.add.at(everyone, grid.cells(places), 1.0)
    np.add.at(own, grid.cells(places[members]), 1.0)
    width = CROWD_REACH / CELL
    own, everyone = gaussian_filter(own, width), gaussian_filter(everyone, width)
    usual = np.median(own[grid.cells(places[members])])
    region = (own > MOSTLY * everyone) & (own > THIN * usual)
    return _parts(grid, region, places[members], np.delete(places, members, axis=0), least=CROWD_LEAST)


def _joined(points: np.ndarray) -> np.ndarray:
    """Points, and such along the shortest lines that join them all (a minimum spanning tree), at most a cell apart."""
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial.distance import pdist, squareform

    tree = minimum_spanning_tree(squareform(pdist(points))).tocoo()
    lines = [
        np.linspace(points[i], points[j], max(2, int(length / CELL) + 2))
        for i, j, length in zip(tree.row, tree.col, tree.data, strict=True)
    ]
    return np.concatenate([points, *lines])


def _parts(grid: _Grid, region: np.ndarray, own: np.ndarray, others: np.ndarray, *, least: int) -> list[np.ndarray]:
    """The smoothed outlines of the parts of a region that hold tasks, those of most tasks first."""
    from scipy.ndimage import binary_fill_holes, gaussian_filter1d, label

    numbered, _ = label(region)
    at = numbered[grid.cells(own)]
    counts = np.bincount(at[at > 0], minlength=1)
    parts = []
    for number in sorted(np.flatnonzero(counts >= least).tolist(), key=lambda one: (-counts[one], one)):
        part = numbered == number
        filled = binary_fill_holes(part)
        holes, _ = label(filled & ~part)
        strange = np.unique(holes[grid.cells(others)])
        loops = [
            (gaussian_filter1d(loop, SMOOTH, axis=0, mode="wrap")[::2] * CELL + grid.low).round(1)
            for loop in _boundary(filled & ~np.isin(holes, strange[strange > 0]))
            if len(loop) > 4 * SMOOTH  # others are cells that touch by a corner
        ]
        parts.append(_one_loop(loops))
    return parts


def _one_loop(loops: Sequence[np.ndarray]) -> np.ndarray:
    """An outline and the holes in it as one closed line, which runs to each hole, around it, and back the same way."""
    whole = loops[0]
    for hole in loops[1:]:
        away = np.linalg.norm(whole[:, None] - hole[None], axis=2)
        i, j = np.unravel_index(np.argmin(away), away.shape)
        whole = np.concatenate([whole[: i + 1], hole[j:], hole[: j + 1], whole[i:]])
    return whole


def _boundary(region: np.ndarray) -> list[np.ndarray]:
    """The boundary of a region in one piece along the edges of its cells, (corners, 2) each: the outer loop first.

    Holes run the other way round.
    """
    padded = np.pad(region, 1)
    after: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    # Each edge of a cell runs from corner to corner so that the region lies on the same side of all.
    sides = (((0, -1), (0, 0), (1, 0)), ((1, 0), (1, 0), (1, 1)), ((0, 1), (1, 1), (0, 1)), ((-1, 0), (0, 1), (0, 0)))
    for (dx, dy), (ax, ay), (bx, by) in sides:
        open_side = padded & ~np.roll(padded, (-dx, -dy), axis=(0, 1))
        for x, y in np.argwhere(open_side).tolist():
            after[x + ax, y + ay].append((x + bx, y + by))
    loops = []
    while after:
        start = here = next(iter(after))
        loop: list[tuple[int, int]] = []
        while not loop or here != start:
            loop.append(here)
            following = after[here].pop()
            if not after[here]:
                del after[here]
            here = following
        loops.append(np.array(loop, dtype=float) - 1.5)  # of the padding; the points of cells are their middles
    return sorted(loops, key=len, reverse=True)


def _middle(own: np.ndarray, outline: np.ndarray) -> Label:
    """A name on the task in the middle of those of a part; tasks are points without labels here."""
    low, high = outline.min(0), outline.max(0)
    here = own[((own >= low) & (own <= high)).all(1)]
    x, y = here[np.argmin(np.linalg.norm(here - here.mean(0), axis=1))].tolist()
    return Label(x=x, y=y, side="inside")


def _labels(graph: nx.Graph, wanted: dict[int, tuple[str, np.ndarray]]) -> dict[int, Label]:
    """Where names stand: outside their outline, above it where there is room, over no task, its label or another name.

    Args:
        wanted: name and largest outline of each community, the largest community first.
    """
    nodes = list(graph.nodes.values())
    places = np.array([(data["x"], data["y"]) for data in nodes])
    boxes = label_boxes([data["label"] for data in nodes])
    labels: dict[int, Label] = {}
    taken: list[tuple[np.ndarray, np.ndarray]] = []
    for group, (name, outline) in wanted.items():
        for label in _beside(outline):
            place, size = label.box(name)
            clear = (np.abs(places - place) >= (boxes + size) / 2).any(1).all()
            if clear and all((np.abs(other - place) >= (box + size) / 2).any() for other, box in taken):
                labels[group] = label
                taken.append((place, size))
                break
    return labels


def _beside(outline: np.ndarray) -> list[Label]:
    """Places on an outline where a name can stand beside it, those above its middle first."""
    middle = (outline.min(0) + outline.max(0)) / 2
    steps = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    outward = np.column_stack([steps[:, 1], -steps[:, 0]])
    if np.sum(outward * (outline - middle)) < 0:
        outward = -outward
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    order = np.argsort(outward[:, 1] + 0.004 * np.abs(outline[:, 0] - middle[0]), kind="stable")
    sides = list(OUTWARD)
    facing = np.argmax(outward @ np.array([OUTWARD[side] for side in sides]).T, axis=1)
    return [Label(x=float(outline[i, 0]), y=float(outline[i, 1]), side=sides[facing[i]]) for i in order]
