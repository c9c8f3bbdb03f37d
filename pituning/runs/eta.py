"""How much of a run is done and how long the rest will take, for all its phases together. Torch-free.

A plan lists the phases with the seconds that each should take. Progress within the plan tells how fast this machine is
compared with it; what is left of the plan, at that pace, is the time left. The plan is kept as the run goes, with what
was measured filled in: a resumed run starts from its own, a new run from the one of the most similar finished run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

PRIOR_SECONDS = 5.0
"""The plan's own pace counts as much as this many seconds of measurement."""

PRIOR_STEPS = 3.0
UNKNOWN_SECONDS = 10.0
SKIPPED_SPEED = 10.0
RESTORED_SECONDS = 0.2
"""Several steps at once that come sooner than this after an unplanned phase began were brought back by a checkpoint."""


@dataclass(frozen=True)
class PlannedPhase:
    """A phase and how long it should take: ``seconds`` for ``total`` steps.

    Args:
        load: how heavy a step is (`pituning.runs.outline.Part`); None where nobody knew beforehand.
    """

    name: str
    total: int
    seconds: float
    load: float | None = None


@dataclass
class _Current:
    plan: PlannedPhase
    begun: float
    last: float
    done: int = 0
    fresh_steps: int = 0
    fresh_seconds: float = 0.0

    @property
    def per_step(self) -> float:
        """Planned seconds for one step."""
        return self.plan.seconds / max(self.plan.total, 1)

    def measured(self, pace: float) -> PlannedPhase:
        """The phase with its measured length; steps that a checkpoint brought back say nothing about it."""
        if not self.fresh_steps:
            return replace(self.plan, seconds=self.plan.seconds * pace)
        return replace(self.plan, seconds=self.fresh_seconds / self.fresh_steps * self.plan.total)


class TimeLeft:
    """Follows a run through its phases.

    Args:
        plan: the phases that are expected; others may come, and some may be left out.
        clock: seconds, monotonic.
    """

    def __init__(self, plan: Sequence[PlannedPhase] = (), *, clock: Callable[[], float] = time.monotonic):
        self._planned = bool(plan)
        self._known = {phase.name: phase for phase in plan}
        self._ahead = list(plan)
        self._finished: list[PlannedPhase] = []
        self._current: _Current | None = None
        self._observed = 0.0
        self._expected = 0.0
        self._clock = clock

    def phase(self, name: str, total: int) -> None:
        """The next phase begins; phases of the plan before it will not come any more."""
        self._close()
        places = [index for index, phase in enumerate(self._ahead) if phase.name == name]
        if places:
            self._ahead = self._ahead[places[0] + 1 :]
        known = self._known.get(name)
        if known is not None:
            plan = replace(known, total=total, seconds=known.seconds * total / max(known.total, 1))
        else:
            plan = PlannedPhase(name, total, UNKNOWN_SECONDS)
        now = self._clock()
        self._current = _Current(plan=plan, begun=now, last=now)

    def advance(self, steps: int) -> None:
        current = self._current
        if current is None or steps <= 0:
            return
        now = self._clock()
        taken, expected = now - current.last, steps * current.per_step
        current.last = now
        # Several steps at once and far too fast: a checkpoint brought them back, or they were left out.
        known = current.plan.name in self._known
        skipped = steps > 1 and (
            taken * SKIPPED_SPEED < expected * self._pace if known else current.done == 0 and taken < RESTORED_SECONDS
        )
        current.done = min(current.done + steps, max(current.plan.total, 1))
        if not skipped:
            current.fresh_steps += steps
            current.fresh_seconds += taken
            if known:
                self._observed += taken
                self._expected += expected

    @property
    def _pace(self) -> float:
        """How many times slower than planned the run goes."""
        return (PRIOR_SECONDS + self._observed) / (PRIOR_SECONDS + self._expected)

    def _left_of_current(self) -> float:
        current = self._current
        if current is None:
            return 0.0
        steps = max(current.plan.total - current.done, 0)
        per_step = (PRIOR_STEPS * current.per_step * self._pace + current.fresh_seconds) / (
            PRIOR_STEPS + current.fresh_steps
        )
        return steps * per_step

    def seconds(self) -> float | None:
        """The seconds left, or None while nothing is known."""
        current = self._current
        if not self._planned and (current is None or not current.fresh_steps):
            return None
        return self._left_of_current() + self._pace * sum(phase.seconds for phase in self._ahead)

    def plan(self) -> list[PlannedPhase]:
        """The whole plan as it stands: what was measured, then what is still expected at the present pace."""
        ahead = [replace(phase, seconds=phase.seconds * self._pace) for phase in self._ahead]
        current = [self._current.measured(self._pace)] if self._current else []
        return [*self._finished, *current, *ahead]

    def _close(self) -> None:
        if self._current is not None:
            measured = self._current.measured(self._pace)
            self._finished.append(measured)
            self._known.setdefault(measured.name, measured)
        self._current = None
