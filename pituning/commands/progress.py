"""Progress in a terminal: one bar with an estimate on stderr, or a line now and then when stderr is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pituning.progress import Reporter, Silent
from pituning.text import one_line

QUIET_INTERVAL = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class TerminalReporter:
    """Shows the current phase; passes everything on to another reporter, for example the database's.

    Args:
        bar: the rich progress display, or None for plain lines.
        log_line: prints one line on stderr.
        forward: who else is told; may raise `RunCancelled`.
    """

    def __init__(self, bar: Any, log_line: Any, forward: Reporter | None = None):
        from pituning.runs.eta import TimeLeft

        self._bar = bar
        self._log_line = log_line
        self._forward: Reporter = forward or Silent()
        self._left = TimeLeft()
        self._task: Any = None
        self._name, self._total, self._done, self._told = "", 0, 0, 0.0

    def phase(self, name: str, total: int) -> None:
        self._forward.phase(name, total)
        self._left.phase(name, total)
        self._name, self._total, self._done, self._told = name, total, 0, time.monotonic()
        if self._bar is None:
            self._line(f"{name} ({total})")
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(one_line(name), total=max(total, 1), left="")

    def advance(self, steps: int = 1) -> None:
        self._forward.advance(steps)
        self._left.advance(steps)
        self._done += steps
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=steps, left=self._estimate())
        elif self._bar is None and time.monotonic() - self._told > QUIET_INTERVAL:
            self._told = time.monotonic()
            self._line(f"{self._name} {self._done}/{self._total}{self._estimate()}")

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self._forward.curve(series, step, values)

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self._forward.alpha(step, sites, experts, weights)

    def log(self, message: str) -> None:
        self._forward.log(message)
        self._line(message)

    def _line(self, words: str) -> None:
        self._log_line(one_line(words))

    def _estimate(self) -> str:
        seconds = self._left.seconds()
        return "" if seconds is None else f", {duration(seconds)} left"


def duration(seconds: float) -> str:
    """A length of time as people say it: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def terminal_reporter(forward: Reporter | None = None) -> Iterator[TerminalReporter]:
    """A reporter on stderr for as long as the block lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        console.soft_wrap = True
        yield TerminalReporter(None, console.print, forward)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        yield TerminalReporter(bar, console.print, forward)


class StatusLine:
    """One line on stderr that says how a run stands; where stderr is no terminal, a line now and then."""

    def __init__(self, bar: Any, print_line: Any):
        self._bar, self._print = bar, print_line
        self._task = bar.add_task("", total=1.0) if bar is not None else None
        self._shown = 0.0

    def show(self, words: str, fraction: float | None) -> None:
        """``fraction`` of the whole is done, 0 to 1; None when that is not known."""
        if self._bar is not None:
            self._bar.update(self._task, description=one_line(words), total=1.0 if fraction is not None else None)
            self._bar.update(self._task, completed=fraction or 0.0)
        elif time.monotonic() - self._shown > QUIET_INTERVAL:
            self._shown = time.monotonic()
            self._print(one_line(words))

    def log(self, message: str) -> None:
        self._print(one_line(message))


@contextmanager
def status_line() -> Iterator[StatusLine]:
    """A `StatusLine` for as long as the block lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield StatusLine(None, console.print)
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        yield StatusLine(bar, console.print)
