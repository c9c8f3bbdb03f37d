"""Work in several processes side by side that stops at once, and tidily, on Ctrl-C or an error. Torch-free."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, connection, get_context, parent_process, resource_tracker
from multiprocessing.process import BaseProcess
from threading import Thread, current_thread, main_thread
from types import FrameType
from typing import Any, Literal, TypeVar

from pituning.errors import RunFailed

Call = tuple[Any, ...]
Result = TypeVar("Result")

TICK_SECONDS = 0.5
STOP_SECONDS = 5.0
"""How long an interrupted process may take to remove what is half-written before it is killed."""


def side_by_side(
    work: Callable[..., Result],
    calls: Sequence[Call],
    on_done: Callable[[Call, Result], None],
    *,
    processes: int,
    meanwhile: Callable[[], None] | None = None,
    start: Literal["spawn", "fork"] = "spawn",
) -> None:
    """Calls ``work(*call)`` for every call in one of several processes.

    On any exception, Ctrl-C included, calls that wait are dropped and those under way are interrupted like by Ctrl-C,
    so that what they write atomically is whole or absent. Only this process says anything about it. Ctrl-C and SIGTERM
    are handled between two ticks: ``on_done`` and ``meanwhile`` are never cut short.

    Args:
        work: a function that a new process can import.
        on_done: told of each call and its result, here and in the order in which they finish.
        processes: how many at most.
        meanwhile: called every `TICK_SECONDS` while nothing is finished; what it raises ends the work.
        start: ``spawn`` begins processes that have nothing; ``fork``, on Linux alone, begins them with all that this
            one has in memory, which is shared until somebody writes to it. Then ``work`` must use one thread, as the
            threads of this process are not in them.

    Raises:
        RunFailed: a process was killed.
        Exception: whatever ``work`` raised first.
    """
    if not calls:
        return
    others = set(active_children())
    executor = ProcessPoolExecutor(min(processes, len(calls)), get_context(start), initializer=_prepare)
    with _SignalsWait() as signals, executor as pool:
        try:
            calls_of = _submit(pool, work, calls)
            waiting = set(calls_of)
            while waiting:
                finished, waiting = wait(waiting, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
                signals.handle()
                for done in finished:
                    on_done(calls_of[done], done.result())
                    signals.handle()
                if meanwhile is not None:
                    meanwhile()
        except BaseException as error:
            # The pool's own thread should end before the interpreter does, or the two may close one pipe at once.
            thread = getattr(pool, "_executor_manager_thread", None)
            pool.shutdown(wait=False, cancel_futures=True)
            _end([process for process in active_children() if process not in others])
            if thread is not None:
                thread.join(STOP_SECONDS)
            if isinstance(error, BrokenProcessPool):
                raise RunFailed(
                    "a working process was killed, often for lack of memory: choose fewer processes and repeat; "
                    "what is finished is kept"
                ) from error
            raise


class _SignalsWait:
    """Keeps SIGINT and SIGTERM until `handle` is called, or the end, where a program handles them by a function.

    That function may raise, as Ctrl-C's does, between any two instructions: also where ``concurrent.futures`` has just
    taken a lock that nobody would release. Then the pool's thread waits for that lock, and Python for that thread.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting: list[int] = []

    def __enter__(self) -> _SignalsWait:
        if current_thread() is main_thread():  # elsewhere no signal is handled
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, lambda number, _frame: self._waiting.append(number))
        return self

    def handle(self) -> None:
        """Calls the program's functions for what has come. An exception of theirs leaves nothing to be handled."""
        came = list(dict.fromkeys(self._waiting))
        self._waiting.clear()
        for number in came:
            self._handlers[number](number, None)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if kind is None:
            self.handle()


def _submit(
    pool: ProcessPoolExecutor, work: Callable[..., Result], calls: Sequence[Call]
) -> dict[Future[Result], Call]:
    """Starts the processes with SIGINT blocked, which they inherit: a terminal's Ctrl-C goes to the whole group, and
    a process that is still importing would print a traceback. One that comes meanwhile reaches us when it is unblocked.
    """
    resource_tracker.ensure_running()  # starting it unblocks SIGINT, so it must not happen in between
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return {pool.submit(_call, work, call): call for call in calls}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(processes: Iterable[BaseProcess]) -> None:
    processes = list(processes)
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()


# In the processes.

_working = False


def _prepare() -> None:
    gc.disable()  # until the work is imported, as in a run's worker
    signal.signal(signal.SIGTERM, _interrupt)
    Thread(target=outlive_nobody, daemon=True).start()


def outlive_nobody() -> None:
    """Ends this process where the one that started it was killed: the pool itself would have it wait for ever."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Ends an idle process; work under way sees a Ctrl-C, once, and cleans up after itself."""
    if not _working:
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _call(work: Callable[..., Result], call: Call) -> Result:
    global _working
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    try:
        _working = True
        return work(*call)
    except KeyboardInterrupt:
        os._exit(1)  # the pool would hand this process the next call
    finally:
        _working = False
