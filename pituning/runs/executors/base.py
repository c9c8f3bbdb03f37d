"""What an executor is: it starts the worker of a claimed run, says how it stands, and ends it. Torch-free.

The supervisor decides by that and by the heartbeats in the database; an executor decides nothing and never writes about
a run. Whatever it says, a worker that was given up is kept from writing by its claim.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pituning.errors import PiTuningError
from pituning.runs.records import Claim, Run
from pituning.runs.slots import Slot


class ClusterError(PiTuningError):
    """The cluster cannot be reached or refuses; that may pass, and no run has failed for it."""


class Standing(Enum):
    """How a worker stands that is not known to have ended."""

    WAITING = "it has been asked for and has not begun"
    ALIVE = "it lives"
    UNSEEN = "it cannot be seen from here: only its heartbeats tell"


@dataclass(frozen=True)
class Gone:
    """A worker has ended without writing so.

    Args:
        why: in words, for the run's events.
        excuse: set when it stopped through no fault of the run, whose attempt then does not count.
    """

    why: str
    excuse: str | None = None


@dataclass(frozen=True)
class Started:
    """A worker that has been started; its process where that is one of this machine."""

    pid: int | None = None
    pid_created: float | None = None


class Executor(Protocol):
    """Where the workers of one supervisor run."""

    @property
    def places(self) -> Sequence[str]:
        """The names of its slots, for people to see."""

    def free(self, under_way: Sequence[Run]) -> Sequence[Slot]:
        """Where another run can begin now, given those that are under way."""

    def start(self, run: Run, slot: Slot) -> Started:
        """Starts the worker of a claimed run.

        Raises:
            OSError, ClusterError: it could not be started.
        """

    def standing(self, run: Run) -> Standing | Gone:
        """How the worker of a running run stands, also one that another supervisor started."""

    def end(self, run: Run, *, at_once: bool) -> None:
        """Asks a worker to end, or kills it."""

    def tidy(self, running: Collection[Claim]) -> bool:
        """Clears away what is left of workers whose claim is not that of a running run.

        Returns:
            whether some worker that it started still lives.
        """

    def stop(self) -> Sequence[Claim]:
        """The supervisor ends. Returns the claims whose workers ended with it, and whose runs go back to the queue."""
