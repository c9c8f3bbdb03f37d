"""What is made once for each image and is too much for memory: made when it is first asked for, kept in a file.

A training asks for a few of a large data set's rows, and the evaluation for others: nothing is computed for the rest.
The file has no name and goes with the process; what was read of it is memory that the system takes back when it is
short. Rows of the same content share a place.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

HELD = 2**30
"""Bytes up to which what is made of images is held in memory."""

Made = TypeVar("Made")


def too_large(row: Tensor, count: int) -> bool:
    """Whether so many rows of that size are not to be held in memory."""
    return row.numel() * row.element_size() * count > HELD


class Ahead(Generic[Made]):
    """Does in a thread of its own what the next batch needs, while the current one is computed.

    Args:
        make: what is to be done for a number; it may run beside anything else.
    """

    def __init__(self, make: Callable[[int], Made]):
        self._make = make
        self._thread: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future[Made]] = {}
        self._process = 0

    def want(self, numbers: Sequence[int]) -> None:
        """Begins with these; what was wanted before and has not been taken is forgotten."""
        if self._thread is None or self._process != os.getpid():  # a thread does not come along into a forked process
            self._thread, self._coming, self._process = ThreadPoolExecutor(1, "ahead"), {}, os.getpid()
        for number in self._coming.keys() - set(numbers):
            self._coming.pop(number).cancel()
        for number in numbers:
            if number not in self._coming:
                self._coming[number] = self._thread.submit(self._make, number)

    def take(self, number: int) -> Made:
        """What was made for a number, or is made now; by the thread where there is one, so that one alone makes it."""
        if self._thread is None or self._process != os.getpid():
            return self._make(number)
        coming = self._coming.pop(number, None) or self._thread.submit(self._make, number)
        return coming.result()


class Shelf:
    """(N, …) values, each row made when it is first asked for. It is indexed as a tensor is, by a list of rows.

    A row is made alone, so that it is the same whoever asks for it and with which others.

    Args:
        prepare: what is needed to make a row, such as the pixels of its image; it may be done ahead, in a thread.
        make: the row itself, of that.
        contents: of each of the N rows; those of equal content have equal values.
        like: (…) a row of the same shape and dtype.
    """

    def __init__(
        self,
        prepare: Callable[[int], np.ndarray],
        make: Callable[[np.ndarray], Tensor],
        contents: Sequence[Hashable],
        like: Tensor,
    ):
        first: dict[Hashable, int] = {}
        self._sources = np.array([first.setdefault(content, row) for row, content in enumerate(contents)])
        self._store = _Store(prepare, make, len(contents), like)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._store.shape)

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, rows: Sequence[int]) -> Tensor:
        """(len(rows), …) on the CPU."""
        return torch.stack([self._store.get(int(self._sources[row])) for row in rows])

    def subset(self, rows: Sequence[int]) -> Shelf:
        """The rows in that order; both have what either has made."""
        part: Shelf = object.__new__(Shelf)
        part._sources, part._store = self._sources[list(rows)], self._store
        return part

    def want(self, rows: Sequence[int]) -> None:
        """Prepares what is missing of these rows ahead."""
        self._store.want([int(self._sources[row]) for row in rows])


class _Store:
    """The rows that have been made, by their number, each at its place in a file with holes for the others."""

    def __init__(
        self, prepare: Callable[[int], np.ndarray], make: Callable[[np.ndarray], Tensor], count: int, like: Tensor
    ):
        self.shape, self._dtype = tuple(like.shape), like.dtype
        self._bytes = like.numel() * like.element_size()
        self._ahead, self._make = Ahead(prepare), make
        # Of this process: one that was forked from it writes rows of its own into the same file, each at its place.
        self._kept: set[int] = set()
        self._file: Any = None
        try:
            self._file = tempfile.TemporaryFile(prefix="pituning-")  # noqa: SIM115 (it lives as long as the rows)
            os.ftruncate(self._file.fileno(), count * self._bytes)
            self._mapped = np.memmap(self._file, np.uint8, "r", shape=(count, self._bytes))
        except OSError:
            self._file = None  # nothing is kept

    def get(self, number: int) -> Tensor:
        if number in self._kept:
            return torch.from_numpy(self._mapped[number].copy()).view(self._dtype).view(self.shape)
        made = self._make(self._ahead.take(number)).to(self._dtype).contiguous()
        self._keep(number, made)
        return made

    def want(self, numbers: Sequence[int]) -> None:
        self._ahead.want([number for number in dict.fromkeys(numbers) if number not in self._kept])

    def _keep(self, number: int, made: Tensor) -> None:
        """Writes a row by a call that fails where the disk is full: to write into the mapping would end the process."""
        if self._file is None:
            return
        data = made.flatten().view(torch.uint8).numpy().tobytes()
        try:
            if os.pwrite(self._file.fileno(), data, number * self._bytes) == len(data):
                self._kept.add(number)
        except OSError:
            return  # there is no room: it is made again
