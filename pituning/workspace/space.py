"""How much room the workspace's disk has, and how much a run should find before it begins."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pituning.errors import BadInput

LEAST_FREE_VARIABLE = "PITUNING_LEAST_FREE_MIB"
LEAST_FREE_MIB = 200
MIB = 2**20


def free_mib(root: Path) -> float:
    """Free space on the disk of a directory, in MiB."""
    return shutil.disk_usage(root).free / MIB


def least_free_mib() -> float:
    """Below this no run begins; ``$PITUNING_LEAST_FREE_MIB`` says so, else `LEAST_FREE_MIB`.

    Raises:
        BadInput: the variable is not a number of 0 or more.
    """
    given = os.environ.get(LEAST_FREE_VARIABLE, str(LEAST_FREE_MIB))
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise BadInput(f"${LEAST_FREE_VARIABLE} is {given!r}; give a number of MiB")
    return value


def disk_full(root: Path) -> str | None:
    """Why the disk has no room for another run, or None when it has."""
    free, least = free_mib(root), least_free_mib()
    if free >= least:
        return None
    return f"the disk of {root} is full: {free:.0f} MiB free, {least:.0f} MiB needed"
