"""What the queue knows about a run, as plain records. Torch-free."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pituning.errors import BadInput
from pituning.runs.spec import RunSpec

ACTIVE = ("queued", "running")
FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Claim:
    """The right to work on a run."""

    run_id: str
    owner: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A row of the queue. ``done`` of ``total`` steps belong to the current ``phase``, ``eta_s`` to the whole run.

    ``submitted_by`` is the address of whoever queued it, None where nobody had to sign in. ``failure`` is the class of
    what went wrong, ``error`` says it in one line, ``fix`` what can be done about it.
    ``damage`` says what of the record could not be read, and what can be done; the spec then has no settings.
    """

    id: str
    name: str
    kind: str
    backbone: str
    batch: str | None
    submitted_by: str | None
    spec: RunSpec
    state: str
    priority: int
    position: float
    attempt: int
    max_attempts: int
    owner: str | None
    slot: str | None
    host: str | None
    pid: int | None
    pid_created: float | None
    created: float
    started: float | None
    finished: float | None
    heartbeat: float | None
    cancel_requested: bool
    phase: str | None
    done: int
    total: int
    eta_s: float | None
    failure: str | None
    error: str | None
    fix: str | None
    result_path: str | None
    damage: str | None = None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def understood(self) -> bool:
        """Whether its settings say what it makes and needs: not where they are damaged, of a later version, or of a
        package that is gone."""
        try:
            self.spec.settings()
        except BadInput:
            return False
        return self.damage is None

    @property
    def claim(self) -> Claim:
        """The claim under which the run is being worked on."""
        return Claim(self.id, self.owner or "", self.attempt)

    def elapsed(self, now: float | None = None) -> float | None:
        """Seconds that the current or last attempt has taken."""
        if self.started is None:
            return None
        return max(0.0, (self.finished or now or time.time()) - self.started)

    def fraction(self, now: float | None = None) -> float | None:
        """The share of the whole run that is done, 0 to 1; None while nothing is known."""
        if self.state == "succeeded":
            return 1.0
        elapsed = self.elapsed(now)
        if elapsed is None or self.eta_s is None:
            return None
        return elapsed / (elapsed + self.eta_s) if elapsed + self.eta_s > 0 else 0.0


@dataclass(frozen=True)
class CurvePoint:
    """One value of a curve."""

    series: str
    step: int
    name: str
    value: float


@dataclass(frozen=True)
class AlphaPoint:
    """The interpolation weights at a step: ``weights[site][expert]``."""

    step: int
    sites: tuple[str, ...]
    experts: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class RunEvent:
    """What happened to a run, in one line."""

    time: float
    message: str
