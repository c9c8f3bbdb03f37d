"""The one exception tree. A message names the thing, its value and the mend, and fits on one line."""

from __future__ import annotations


class PiTuningError(Exception):
    """Anything that goes wrong for a reason a person can be told; command lines exit with ``exit_code``."""

    exit_code = 1


class BadInput(PiTuningError):
    """What the user gave cannot be used. ``field`` names the form field or option at fault, where there is one."""

    exit_code = 2

    def __init__(self, message: str, *, field: str | None = None):
        super().__init__(message)
        self.field = field


class ArtefactError(PiTuningError):
    """A file of the workspace or of `data/` is missing, truncated, foreign or does not match its checksum."""


class BackboneMismatch(ArtefactError):
    """An expert or embedding belongs to another backbone than the one that is loaded."""


class RunFailed(PiTuningError):
    """A run ended without a result; the message says why and what to do."""


class RunCancelled(PiTuningError):
    """The user asked the run to stop."""


class NotAllowed(PiTuningError):
    """Somebody's role does not cover what they asked for; nothing was done."""
