"""Names of the curves of cross-validation: the held-out loss of each training, by rate and fold. Torch-free."""

from __future__ import annotations

import re

_NAME = re.compile(r"held_out_loss_at_(?P<rate>[0-9.e+-]+)_fold_(?P<fold>[0-9]+)")


def search_curve(rate: float, fold: int) -> str:
    """The name of a curve.

    Args:
        rate: the learning rate.
        fold: which split of the shots, from 1.
    """
    return f"held_out_loss_at_{rate:g}_fold_{fold}"


def searched(name: str) -> tuple[float, int] | None:
    """The rate and the fold that a curve is of, or None for any other curve."""
    found = _NAME.fullmatch(name)
    return None if found is None else (float(found["rate"]), int(found["fold"]))
