"""What is made when it is asked for, and token ids in files."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pituning.backbones import encoded
from pituning.backbones.encoded import TokenRows
from pituning.backbones.shelf import Ahead, Shelf


class Counted:
    """Rows of three numbers that say which they are, and how often and where each was prepared and made."""

    def __init__(self, contents: Sequence[Any]):
        self.prepared: list[tuple[int, str]] = []
        self.made: list[int] = []
        like = torch.zeros(3, dtype=torch.float16)
        self.shelf = Shelf(self.prepare, self.make, contents, like)

    def prepare(self, row: int) -> np.ndarray:
        self.prepared.append((row, threading.current_thread().name))
        return np.array([row], dtype=np.float32)

    def make(self, prepared: np.ndarray) -> torch.Tensor:
        self.made.append(int(prepared[0]))
        return torch.from_numpy(prepared).repeat(3) * torch.tensor([1, 2, 3])


def rows(*numbers: int) -> torch.Tensor:
    return torch.tensor([[number, 2 * number, 3 * number] for number in numbers], dtype=torch.float16)


def test_a_row_is_made_once_and_when_it_is_asked_for() -> None:
    counted = Counted("abcabd")
    shelf = counted.shelf
    assert (shelf.shape, len(shelf), counted.made) == ((6, 3), 6, [])
    assert torch.equal(shelf[[5, 3, 0]], rows(5, 0, 0))  # row 3 has the content of row 0
    assert torch.equal(shelf[np.array([0, 5])], rows(0, 5))
    part = shelf.subset([4, 5])
    assert (part.shape, torch.equal(part[[1, 0]], rows(5, 1))) == ((2, 3), True)
    assert torch.equal(shelf[[1]], rows(1))
    assert counted.made == [5, 0, 1]


def test_what_is_wanted_is_prepared_in_a_thread() -> None:
    counted = Counted(range(6))
    counted.shelf[[0]]
    counted.shelf.want([0, 2, 3])
    assert torch.equal(counted.shelf[[3, 2, 4]], rows(3, 2, 4))
    assert [number for number, thread in sorted(counted.prepared) if thread.startswith("ahead")] == [2, 3, 4]
    assert counted.made == [0, 3, 2, 4]
    counted.shelf.want([5])
    counted.shelf.want([1])  # 5 is forgotten
    assert torch.equal(counted.shelf[[5, 1]], rows(5, 1))


def test_an_error_in_the_thread_comes_with_its_row() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("no image")
        return number

    ahead = Ahead(make)
    ahead.want([1, 2])
    assert ahead.take(1) == 1
    with pytest.raises(ValueError, match="no image"):
        ahead.take(2)


def test_a_full_disk_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    counted = Counted(range(3))
    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(2):
        assert torch.equal(counted.shelf[[2, 1]], rows(2, 1))
    assert counted.made == [2, 1, 2, 1]


def test_forked_processes_have_what_was_made_and_make_their_own() -> None:
    counted = Counted(range(40))
    counted.shelf[[0, 1]]
    counted.shelf.want([2])
    global shared
    shared = counted.shelf
    with get_context("fork").Pool(2) as pool:
        for found in pool.map(_asked, [list(range(20)), list(range(39, 10, -1)), [2, 0]]):
            assert found
    assert torch.equal(counted.shelf[[2, 30]], rows(2, 30))


shared: Shelf


def _asked(numbers: list[int]) -> bool:
    return all(torch.equal(shared[numbers], rows(*numbers)) for _ in range(2))


@given(st.lists(st.lists(st.integers(0, 2**31 - 1)), max_size=6), st.sampled_from([0, 2**20]))
def test_token_rows_are_lists_of_tokens(texts: list[list[int]], held: int) -> None:
    before, encoded.TOKENS_HELD = encoded.TOKENS_HELD, held
    try:
        found = TokenRows(iter(texts))
    finally:
        encoded.TOKENS_HELD = before
    assert [row.tolist() for row in found] == texts
    assert found.lengths.tolist() == [len(text) for text in texts]
    assert all(row.dtype == np.int64 for row in found)
    assert [row.tolist() for row in found[1:]] == texts[1:]
    assert not texts or found[-1].tolist() == texts[-1]
    assert isinstance(found._tokens, np.memmap) == (held == 0 and any(texts))
