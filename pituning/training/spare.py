"""Processes that would be idle, for parts of work that need nothing of each other.

Whoever has several such parts asks for each whether a process is free (`begin`), and does itself those for which none
is. A process is forked, so that a part may be any function and finds all that is in memory. Torch-free.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import connection, get_context
from multiprocessing.context import ForkProcess
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

from pituning.errors import RunFailed
from pituning.progress import Reporter
from pituning.training.pool import outlive_nobody

Value = TypeVar("Value")


class _Count(Protocol):
    def acquire(self, block: bool = True) -> bool: ...
    def release(self) -> None: ...


_free: _Count | None = None
"""How many processes are, in this one and all that were forked from it; None where there are none to be shared."""


@contextmanager
def sharing(count: int) -> Iterator[Callable[[], None]]:
    """Within the context `begin` may use so many processes, also in processes that are forked meanwhile.

    Yields what is to be called when one more has become free. Processes have one thread each, as those have that are
    forked from one that computes.
    """
    global _free
    before, free = _free, get_context("fork").Semaphore(count)
    _free = free
    try:
        yield free.release
    finally:
        _free = before


class Pending(Generic[Value]):
    """Work that is under way in a process of its own.

    What it reports comes with its result. It uses nothing that others wait for, so that it can be ended at any time.
    """

    def __init__(self, work: Callable[[Reporter], Value], free: _Count):
        context = get_context("fork")
        self._free, (self._receiver, sender) = free, context.Pipe(duplex=False)
        self._process: ForkProcess | None = context.Process(
            target=_do, args=(work, self._receiver, sender), daemon=True
        )
        self._process.start()
        sender.close()

    def result(self, reporter: Reporter) -> Value:
        """What the work returns, once; the reporter is told what it has reported.

        Raises:
            RunFailed: the process was killed.
            Exception: whatever the work raised.
        """
        try:
            events, error, value = self._receiver.recv()
        except EOFError as killed:
            raise RunFailed(
                "a working process was killed, often for lack of memory: choose fewer processes and repeat; what is "
                "finished is kept"
            ) from killed
        finally:
            self.drop()
        for name, *arguments in events:
            getattr(reporter, name)(*arguments)
        if error is not None:
            raise error
        return value

    def drop(self) -> None:
        """Ends the work where it is not done; nothing it has found is needed."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.join()
            self._receiver.close()
            self._free.release()


def begin(work: Callable[[Reporter], Value]) -> Pending[Value] | None:
    """Begins with work in a process of its own if one is free; what it returns must be such that it can be pickled."""
    free = _free
    if free is None or not free.acquire(block=False):
        return None
    try:
        return Pending(work, free)
    except OSError:  # no more processes may be made
        free.release()
        return None


def each(works: Sequence[Callable[[Reporter], Value]], reporter: Reporter) -> list[Value]:
    """What works return that need nothing of each other: the first is done here, the others where a process is free."""
    pending: list[Pending[Value] | None] = [None]
    try:
        for work in works[1:]:
            pending.append(begin(work))
        return [
            work(reporter) if under_way is None else under_way.result(reporter)
            for work, under_way in zip(works, pending, strict=False)
        ]
    finally:
        for under_way in pending:
            if under_way is not None:
                under_way.drop()


# In the process.


class _Kept:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def advance(self, steps: int = 1) -> None:
        if self.events and self.events[-1][0] == "advance":
            steps += self.events.pop()[1]
        self.events.append(("advance", steps))

    def phase(self, name: str, total: int) -> None:
        self.events.append(("phase", name, total))

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self.events.append(("curve", series, step, dict(values)))

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self.events.append(("alpha", step, list(sites), list(experts), [list(row) for row in weights]))

    def log(self, message: str) -> None:
        self.events.append(("log", message))


def _do(work: Callable[[Reporter], Any], receiver: connection.Connection, sender: connection.Connection) -> None:
    global _free
    _free = None
    receiver.close()  # so that there is an end when the other one is gone
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which `outlive_nobody` ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which the one that waits hears, too
    Thread(target=outlive_nobody, daemon=True).start()
    reporter, error, value = _Kept(), None, None
    try:
        value = work(reporter)
    except Exception as raised:
        error = raised
    sender.send((reporter.events, error, value))
    sender.close()
    os._exit(0)  # nothing of the process that it was forked from is to be cleared away here
