"""The one exception tree. A message names the thing, its value and the fix, and fits on one line."""

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


class DiskFull(ArtefactError):
    """There was no room to write; nothing half-written is left, and the work can go on once there is space."""


class BackboneMismatch(ArtefactError):
    """An expert or embedding belongs to another backbone than the one that is loaded."""


class RunFailed(PiTuningError):
    """A run ended without a result; the message says why and what to do."""


class Diverged(RunFailed):
    """A training whose loss or gradient is no longer a finite number; its last good checkpoint is kept."""


class OutOfMemory(RunFailed):
    """A training step needed more memory than there is.

    Args:
        batch_size: the largest batch that was found to fit, or None.
    """

    def __init__(self, message: str, *, batch_size: int | None = None):
        super().__init__(message)
        self.batch_size = batch_size


class RunCancelled(PiTuningError):
    """The user asked the run to stop."""


class NotAllowed(PiTuningError):
    """Somebody's role does not cover what they asked for; nothing was done."""
