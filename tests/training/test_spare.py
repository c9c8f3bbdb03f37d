"""Parts of work in processes that would be idle."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from multiprocessing import active_children, get_context
from typing import Any

import psutil
import pytest

from pituning.errors import Diverged, RunFailed
from pituning.progress import Reporter, Silent
from pituning.training.spare import begin, each, sharing


def square(number: int, reporter: Reporter) -> tuple[int, int]:
    reporter.advance()
    reporter.log(f"squared {number}")
    reporter.advance()
    time.sleep(0.05)  # so that no process is free again before all have been asked for
    return number**2, os.getpid()


def fail(reporter: Reporter) -> tuple[int, int]:
    raise Diverged("the loss is no number; choose a smaller rate")


def wait(reporter: Reporter) -> tuple[int, int]:
    time.sleep(600)
    return 0, 0


def kill(reporter: Reporter) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Notes(Silent):
    def __init__(self) -> None:
        self.steps = 0
        self.lines: list[str] = []

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def log(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.parametrize(("free", "processes"), [(None, 1), (0, 1), (2, 3), (9, 5)])
def test_each_is_done_where_a_process_is_free(free: int | None, processes: int) -> None:
    notes, works = Notes(), [partial(square, number) for number in range(5)]
    if free is None:
        found = each(works, notes)
    else:
        with sharing(free):
            each(works, Silent())
            found = each(works, notes)  # all are free again
    assert [value for value, _ in found] == [0, 1, 4, 9, 16]
    assert len({process for _, process in found}) == processes
    assert found[0][1] == os.getpid()
    assert (notes.steps, notes.lines) == (10, [f"squared {number}" for number in range(5)])
    assert active_children() == []


def test_none_is_begun_where_none_is_free() -> None:
    assert begin(wait) is None
    with sharing(1) as one_more:
        first = begin(wait)
        assert first is not None
        assert begin(wait) is None
        one_more()
        second = begin(partial(square, 3))
        assert second is not None
        assert second.result(Silent())[0] == 9
        first.drop()
        first.drop()
    assert active_children() == []


def test_errors_come_back_and_the_others_are_ended() -> None:
    with sharing(3):
        with pytest.raises(Diverged, match="choose a smaller rate"):
            each([partial(square, 1), fail, wait], Silent())
        with pytest.raises(Diverged):
            each([fail, wait], Silent())
        assert active_children() == []
        killed = begin(kill)
        assert killed is not None
        with pytest.raises(RunFailed, match="was killed"):
            killed.result(Silent())


def test_what_was_begun_ends_with_its_process() -> None:
    receiver, sender = get_context("fork").Pipe(duplex=False)

    def work(sender: Any) -> None:
        with sharing(1):
            pending = begin(wait)
            assert pending is not None
            sender.send(active_children()[0].pid)
            time.sleep(600)

    process = get_context("fork").Process(target=work, args=(sender,))
    process.start()
    child = psutil.Process(receiver.recv())
    process.kill()
    process.join()
    child.wait(10)
