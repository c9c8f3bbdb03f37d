"""Tasks as unit vectors whose inner products are their similarities, made a block at a time.

S_ij is the mean over parameter tensors of a cosine, so it is an inner product of concatenated unit vectors over the
number of tensors: very many tasks are compared by products of matrices, and beyond the vectors themselves only two
blocks are ever in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from pituning.errors import BadInput

BLOCK_BYTES = 192 * 2**20
"""Of a block of unit vectors in float32."""

MOST_ROWS = 4096

STRIP_BYTES = 8 * 2**20
"""Of what is worked on in float64 at once."""

CENTRED_FLOOR = 1e-7
"""A unit vector this close to the zoo's mean has lost its direction to the rounding of float32 embeddings."""

PAIRS = 64
"""Of tasks whose similarity is computed at once in float64."""

WELL_SCALED = 0.05
"""A centred unit vector that is shorter loses digits to the centring; it is made in float64."""

Form = Literal["raw", "centred"]


class Units:
    """N tasks as vectors (P,), unit in each of T tensors; a tensor without a direction is zero, and counts for no pair.

    Args:
        raw: the vectors, (N, P) float32; may be a memory map. Nothing of it is copied.
        sizes: of the T tensors, whose sum is P.
        form: ``raw`` scales each tensor; ``centred`` then takes away the mean over the tasks and scales again.
        centre: for ``centred`` the mean, (P,), where it is not that of these tasks.

    Attributes:
        defined: which tensors have a direction, (N, T).
        centre: the mean that was taken away, (P,); zeros for ``raw``.
        error: how far the inner product over T of two vectors in float32 may be from that in float64. The bound is
            that of Higham and Mary (2019) for rounding errors that are independent, √P unit roundoffs, and what the
            making of the vectors costs; `pituning.graph.nearest` checks it where it relies on it.
    """

    def __init__(self, raw: np.ndarray, sizes: Sequence[int], form: Form, *, centre: np.ndarray | None = None):
        if raw.ndim != 2 or raw.shape[1] != sum(sizes) or not len(raw):
            raise BadInput(f"vectors have shape {raw.shape}; give one row of {sum(sizes)} values per task")
        self.raw, self.sizes, self.form = raw, tuple(sizes), form
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(int)
        self._tensors = [slice(start, start + size) for start, size in zip(self._starts, self.sizes, strict=True)]
        self._scale = _inverse(self._norms(lambda rows: self.raw[rows].astype(np.float64)), 0.0)
        self.centre, self._again = np.zeros(raw.shape[1]), (self._scale > 0).astype(np.float64)
        if form == "centred":
            self.centre = self._mean() if centre is None else centre
            self._again = _inverse(self._norms(self._centred), CENTRED_FLOOR) * (self._scale > 0)
        self.defined = self._again > 0
        shortest = np.where(self.defined, self._again, 1).max(1, initial=1)  # (N,), of the longest stretch
        self._exactly = shortest > 1 / WELL_SCALED
        roundoff = float(np.finfo(np.float32).eps) / 2
        self.error = roundoff * (np.sqrt(raw.shape[1]) + 6 / WELL_SCALED)

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def block_rows(self) -> int:
        """How many tasks are in a block, all blocks being about alike; S of two blocks is no large thing either."""
        most = min(max(BLOCK_BYTES // (4 * self.raw.shape[1]), 1), MOST_ROWS)
        return -(-len(self) // -(-len(self) // most))

    @property
    def whole(self) -> bool:
        """Whether every tensor of every task has a direction."""
        return bool(self.defined.all())

    def rows(self, at: slice | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The vectors of some tasks, (b, P) float32; in the first rows of ``out``, where that is given."""
        raw, again = self.raw[at], self._again[at].astype(np.float32)
        made = np.empty(raw.shape, np.float32) if out is None else out[: len(raw)]
        factors, centre = (self._scale[at] * self._again[at]).astype(np.float32), self.centre.astype(np.float32)
        for t, tensor in enumerate(self._tensors):
            np.multiply(raw[:, tensor], factors[:, t, None], out=made[:, tensor])
            if self.form == "centred":
                made[:, tensor] -= again[:, t, None] * centre[tensor]
        hard = np.flatnonzero(self._exactly[at])
        if len(hard):
            made[hard] = self.exact_rows(np.arange(len(self))[at][hard])
        return made

    def exact_rows(self, at: slice | np.ndarray) -> np.ndarray:
        """The same in float64."""
        made = self._centred(at)
        self._times(made, self._again[at])
        return made

    def counts(self, a: slice | np.ndarray, b: slice | np.ndarray) -> np.ndarray | float:
        """By what inner products of tasks are divided: the number of tensors that both have, at least 1. (a, b)"""
        if self.whole:
            return float(len(self.sizes))
        both = self.defined[a].astype(np.float32) @ self.defined[b].astype(np.float32).T
        return np.maximum(both, 1)

    def pairs(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """S of pairs of tasks in float64, the same whatever other pairs are asked for: (pairs,)."""
        result = np.empty(len(a))
        for start in range(0, len(a), PAIRS):
            one, two = a[start : start + PAIRS], b[start : start + PAIRS]
            products = np.einsum("np,np->n", self.exact_rows(one), self.exact_rows(two))
            both = np.count_nonzero(self.defined[one] & self.defined[two], axis=1)
            result[start : start + PAIRS] = products / np.maximum(both, 1)
        return np.clip(result, -1, 1)

    def similarity_to(self, task: np.ndarray) -> np.ndarray:
        """S of one more task with the vector (P,) to each of these, (N,) float64; O(N P), and nothing of N is copied.

        The zoo's centre stays what it was, as it does wherever a task that is not of the zoo is compared with it.
        """
        other = Units(np.asarray(task, dtype=np.float32)[None], self.sizes, self.form, centre=self.centre)
        vector = other.exact_rows(slice(None))[0]
        result, both = np.empty(len(self)), self.defined & other.defined
        centres = np.array([self.centre[tensor] @ vector[tensor] for tensor in self._tensors])
        for rows in self._strips():
            strip = self.raw[rows].astype(np.float64)
            products = np.column_stack([strip[:, tensor] @ vector[tensor] for tensor in self._tensors])
            cosines = (products * self._scale[rows] - centres) * self._again[rows]
            result[rows] = (cosines * both[rows]).sum(1) / np.maximum(both[rows].sum(1), 1)
        return np.clip(result, -1, 1)

    def blocks(self, rows: int | None = None) -> Iterator[slice]:
        """The tasks in blocks, by default as many as `block_rows`."""
        step = rows or self.block_rows
        return (slice(start, min(start + step, len(self))) for start in range(0, len(self), step))

    def _centred(self, at: slice | np.ndarray) -> np.ndarray:
        made = np.array(self.raw[at], dtype=np.float64)
        self._times(made, self._scale[at])
        if self.form == "centred":
            made -= self.centre
        return made

    def _times(self, values: np.ndarray, factors: np.ndarray) -> None:
        """Multiplies each tensor of each row (b, P) by a factor (b, T), in place."""
        for t, tensor in enumerate(self._tensors):
            values[:, tensor] *= factors[:, t, None]

    def _norms(self, made: Callable[[slice], np.ndarray]) -> np.ndarray:
        norms = np.empty((len(self), len(self.sizes)))
        for rows in self._strips():
            norms[rows] = np.sqrt(np.add.reduceat(made(rows) ** 2, self._starts, axis=1))
        return norms

    def _mean(self) -> np.ndarray:
        total = np.zeros(self.raw.shape[1])
        for rows in self._strips():
            made = self.raw[rows].astype(np.float64)
            self._times(made, self._scale[rows])
            total += made.sum(0)
        alive = np.maximum(np.count_nonzero(self._scale, axis=0), 1)
        return total / np.repeat(alive, self.sizes)

    def _strips(self) -> Iterator[slice]:
        return self.blocks(max(STRIP_BYTES // (8 * self.raw.shape[1]), 1))


def _inverse(norms: np.ndarray, floor: float) -> np.ndarray:
    return np.divide(1, norms, out=np.zeros_like(norms), where=norms > floor)
