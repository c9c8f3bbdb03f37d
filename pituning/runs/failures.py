"""Why a run failed: a class, one line, and what can be done about it. Torch-free."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from pituning.errors import (
    ArtefactError,
    BackboneMismatch,
    BadInput,
    DiskFull,
    Diverged,
    OutOfMemory,
    PiTuningError,
    RunFailed,
)
from pituning.runs.kinds import RUN_KINDS

OUT_OF_MEMORY, NAN_LOSS, DISK_FULL = "out_of_memory", "nan_loss", "disk_full"
ARTEFACT, BACKBONE_MISMATCH, BAD_INPUT = "artefact", "backbone_mismatch", "bad_input"
NO_RESULT, LOST, UNEXPECTED = "no_result", "lost", "unexpected"

FIXES = {
    OUT_OF_MEMORY: "choose fewer donors, fewer shots or a smaller batch: "
    "pituning runs duplicate {run} --set batch_size=8",
    NAN_LOSS: "the last good checkpoint is kept; do it again with a smaller rate: "
    "pituning runs duplicate {run} --set {rate}=…",
    DISK_FULL: "free some space, then: pituning runs resume {run}",
    ARTEFACT: "restore that file or make it again, then: pituning runs resume {run}",
    BACKBONE_MISMATCH: "put its backbone back or make the expert again, then: pituning runs resume {run}",
    BAD_INPUT: "do it with other settings: pituning runs duplicate {run} --set NAME=VALUE",
    NO_RESULT: "the log has the details: pituning runs logs {run}",
    LOST: "the log has the details; go on from the last checkpoint with: pituning runs resume {run}",
    UNEXPECTED: "the log has the details: pituning runs logs {run}; try again: pituning runs retry {run}",
}
"""What can be done about each class."""

_BY_TYPE: tuple[tuple[type[PiTuningError], str], ...] = (  # the first that fits counts
    (DiskFull, DISK_FULL),
    (BackboneMismatch, BACKBONE_MISMATCH),
    (ArtefactError, ARTEFACT),
    (OutOfMemory, OUT_OF_MEMORY),
    (Diverged, NAN_LOSS),
    (BadInput, BAD_INPUT),
    (RunFailed, NO_RESULT),
)
_FULL_WORDS = ("no space left", "disk quota exceeded", "os error 28", "os error 122")
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


@dataclass(frozen=True)
class Failure:
    """What a failed run says: the class, what happened in one line, and what to do."""

    failure_class: str
    error: str
    fix: str


def failure_of(error: Exception, run_id: str, *, run_kind: str = "train") -> Failure:
    """The failure that an exception stands for."""
    failure_class = classify(error)
    text = " ".join(str(error).split())[:400]
    if not isinstance(error, PiTuningError):
        if failure_class == OUT_OF_MEMORY:
            text = "out of memory"
        elif failure_class == DISK_FULL:
            text = "disk full"
        else:
            text = f"unexpected {type(error).__name__}: {text or '(no message)'}"
    fix = fix_for(failure_class, run_id, run_kind=run_kind)
    if isinstance(error, OutOfMemory) and error.batch_size is not None:
        fix = (
            f"a batch of {error.batch_size} fits: pituning runs duplicate {run_id} --set batch_size={error.batch_size}"
        )
    return Failure(failure_class, text, fix)


def fix_for(failure_class: str, run_id: str, *, run_kind: str = "train") -> str:
    """What to do about a failure of that class."""
    record = RUN_KINDS.get(run_kind)
    rate = "learning_rate" if record is None else record.rate_field
    return FIXES[failure_class].format(run=run_id, rate=rate)


def classify(error: BaseException) -> str:
    """The class of an exception. Libraries raise many kinds for a full disk and for want of memory."""
    for exception_type, name in _BY_TYPE:
        if isinstance(error, exception_type):
            return name
    text = str(error).lower()
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(words in text for words in _FULL_WORDS):
        return DISK_FULL
    if isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS):
        return OUT_OF_MEMORY
    return UNEXPECTED
