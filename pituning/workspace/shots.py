"""Numbers of shots, and what they are called where they are all there are. Imports nothing heavy."""

from __future__ import annotations

from pituning.errors import BadInput

ALL_SHOTS = -1
"""Stands for all training examples; in the file and for people it is ``full``."""
FULL = "full"


def shots_name(shots: int) -> str:
    """What people read."""
    return FULL if shots == ALL_SHOTS else str(shots)


def parse_shots(text: str) -> int:
    """The inverse of `shots_name`.

    Raises:
        BadInput: for anything else.
    """
    if text.strip() == FULL:
        return ALL_SHOTS
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(f"shots is {text!r}; give whole numbers, or {FULL} for all examples", field="shots") from error
