"""Parts of a tuning that need nothing of each other, each on one thread, in several processes.

The processes are forked when everything is loaded and encoded: weights and examples are in memory once, and nothing is
imported or loaded again. A part does the same arithmetic wherever it is done, so that numbers are the same whatever the
number of processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

import torch

from pituning.backbones.base import Backbone
from pituning.backbones.memory import this_machine
from pituning.progress import Reporter
from pituning.training.pool import side_by_side
from pituning.training.spare import sharing
from pituning.tuning.units import ROWS

SMALL = 100_000_000
"""Parameters up to which one thread does a training: more threads hardly make a step on few examples faster."""

COPIES = 4
"""How often a training of every weight holds the weights: themselves, their gradients and two moments."""


@dataclass(frozen=True)
class Job:
    """A part of a tuning.

    Args:
        name: what it is called among the others.
        units: training steps that it counts for (`pituning.tuning.units`).
        work: does it, and returns something that can be pickled.
    """

    name: str
    units: int
    work: Callable[[Reporter], Any]


def is_small(backbone: Backbone) -> bool:
    """Whether trainings on a backbone get one thread each; else they get all that there are, one after another."""
    return backbone.device.type == "cpu" and sum(each.numel() for each in backbone.model.parameters()) <= SMALL


def process_count(asked: int, backbone: Backbone) -> int:
    """How many processes do the parts of a tuning.

    Args:
        asked: so many; 0 for as many as torch has threads, or fewer where free memory would be more than half full.
    """
    # With an accelerator about, autograd keeps threads for it, after whose start nothing that is forked may use it.
    if not is_small(backbone) or sys.platform != "linux" or torch.accelerator.is_available():
        return 1
    if asked:
        return asked
    held = COPIES * sum(each.numel() * each.element_size() for each in backbone.model.parameters())
    return max(1, min(torch.get_num_threads(), this_machine().available // 2 // held))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the context torch uses so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_jobs(
    phase: str,
    jobs: Sequence[Job],
    reporter: Reporter,
    on_done: Callable[[Job, Any], None],
    *,
    processes: int,
    units: int,
) -> None:
    """Does every job.

    Args:
        phase: under which the reporter is told of them all.
        on_done: told of each job and what it returned, here and in the order in which they finish.
        processes: 1 does them one after another in this process. Those that have no job, or none any more, do parts of
            jobs (`pituning.training.spare`).
        units: those of the phase, of which the jobs may have fewer where some of its parts are done already.

    Raises:
        RunFailed: a process was killed.
        Exception: whatever a job or the reporter raised first.
    """
    reporter.phase(phase, units)
    meter = _Meter(reporter, jobs)
    reporter.advance(units - sum(job.units for job in jobs))
    if processes == 1 or not jobs:
        for number, job in enumerate(jobs):
            value = job.work(_JobReporter(lambda *event, number=number: meter.pass_on(number, event)))
            meter.finish(number)
            on_done(job, value)
        return
    workers, finished = min(processes, len(jobs)), 0
    with _shared(jobs) as events, sharing(processes - workers) as one_is_free:

        def drain() -> None:
            while not events.empty():
                number, event = events.get()
                meter.pass_on(number, event)
            reporter.advance(0)

        def keep(call: tuple[Any, ...], value: Any) -> None:
            nonlocal finished
            finished += 1
            if len(jobs) - finished < workers:  # whoever did it has nothing more to do
                one_is_free()
            drain()
            meter.finish(call[0])
            on_done(jobs[call[0]], value)

        calls = [(number,) for number in range(len(jobs))]
        side_by_side(_do, calls, keep, processes=processes, meanwhile=drain, start="fork")


class _Meter:
    """Tells the reporter what jobs tell, and of no more steps than a job counts for."""

    def __init__(self, reporter: Reporter, jobs: Sequence[Job]):
        self._reporter = reporter
        self._left = [job.units for job in jobs]

    def pass_on(self, number: int, event: tuple[Any, ...]) -> None:
        name, *arguments = event
        if name == "advance":
            self._advance(number, arguments[0])
        else:
            getattr(self._reporter, name)(*arguments)

    def finish(self, number: int) -> None:
        self._advance(number, self._left[number])

    def _advance(self, number: int, steps: int) -> None:
        steps = min(steps, self._left[number])
        self._left[number] -= steps
        self._reporter.advance(steps)


class _JobReporter:
    """What a job tells, as events. Its phases are parts of that of all jobs; tested rows count for less than steps."""

    def __init__(self, tell: Callable[..., None]):
        self._tell = tell
        self._weight, self._part = 1.0, 0.0

    def phase(self, name: str, total: int) -> None:
        self._weight = 1 / ROWS if name.startswith("test ") else 1.0

    def advance(self, steps: int = 1) -> None:
        self._part += steps * self._weight
        whole = int(self._part)
        self._part -= whole
        self._tell("advance", whole)

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        self._tell("curve", series, step, dict(values))

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        self._tell("alpha", step, list(sites), list(experts), [list(row) for row in weights])

    def log(self, message: str) -> None:
        self._tell("log", message)


# What forked processes find in memory.


class _Events(Protocol):
    def put(self, event: Any) -> None: ...
    def get(self) -> Any: ...
    def empty(self) -> bool: ...


_jobs: Sequence[Job] = ()
_events: _Events | None = None


@contextmanager
def _shared(jobs: Sequence[Job]) -> Iterator[_Events]:
    global _jobs, _events
    _jobs, _events = jobs, get_context("fork").SimpleQueue()
    try:
        yield _events
    finally:
        _jobs, _events = (), None


def _do(number: int) -> Any:
    events = _events
    assert events is not None
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # their threads are not in this process either
    torch.set_num_threads(1)
    return _jobs[number].work(_JobReporter(lambda *event: events.put((number, event))))
