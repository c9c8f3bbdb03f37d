"""How long work tells whoever watches: a bar in a terminal, rows in the database, or nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Reporter(Protocol):
    """Receives the progress of one piece of work. Every method may raise `RunCancelled` to stop the work cleanly."""

    def phase(self, name: str, total: int) -> None:
        """A new phase of ``total`` steps begins, for example ``"train single"``."""

    def advance(self, steps: int = 1) -> None:
        """``steps`` more steps of the current phase are done."""

    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None:
        """Values at a step of a curve, for example ``curve("pi", 10, {"loss": 0.7, "score": 61.0})``."""

    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None:
        """The interpolation weights, one row per site (summing to 1), one column per expert."""

    def log(self, message: str) -> None:
        """One line for the run's log."""


class Silent:
    """A reporter that tells nobody."""

    def phase(self, name: str, total: int) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def curve(self, series: str, step: int, values: Mapping[str, float]) -> None: ...
    def alpha(
        self, step: int, sites: Sequence[str], experts: Sequence[str], weights: Sequence[Sequence[float]]
    ) -> None: ...
    def log(self, message: str) -> None: ...
