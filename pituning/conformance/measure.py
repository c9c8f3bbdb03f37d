"""One check of a backbone: what it means in plain words, how far apart two ways came out, and how far they may."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pituning.tuning.interpolation import TOLERANCE

Outcome = Literal["passed", "failed", "not applicable"]

GRADIENT_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.bfloat16: 2e-1, torch.float16: 2e-2}
"""How far gradients that are equal but for rounding may differ, relative to the largest; by the backbone's dtype."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check.

    Args:
        name: short and stable, such as ``batch`` or ``lora: PEFT``.
        meaning: what is checked, in plain words.
        difference: the largest one that was measured, relative to the largest value; None where nothing is measured.
        tolerance: how large it may be.
        note: what else there is to say; of a failure, why.
        seconds: that it took.
    """

    name: str
    meaning: str
    outcome: Outcome
    difference: float | None = None
    tolerance: float | None = None
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What the work of a check found.

    Args:
        difference: see `Check`; one that is not a number fails.
        fine: False fails whatever the difference is; None says that the check does not apply.
    """

    difference: float | None = None
    tolerance: float | None = None
    note: str = ""
    fine: bool | None = True


def measured(name: str, meaning: str, work: Callable[[], Measured]) -> Check:
    """Does the work of a check. Whatever it raises is a failure, so that the checks after it are still made."""
    began = time.monotonic()
    try:
        result = work()
    except Exception as error:
        # A model of somebody else's may fail in any way, and that is what the check is there to say.
        reason = " ".join(str(error).split())[:200]
        check = Check(name=name, meaning=meaning, outcome="failed", note=f"{type(error).__name__}: {reason}")
        return replace(check, seconds=round(time.monotonic() - began, 2))
    within = result.difference is None or (result.tolerance is not None and result.difference <= result.tolerance)
    outcome: Outcome = "not applicable" if result.fine is None else "passed" if result.fine and within else "failed"
    finite = result.difference is not None and abs(result.difference) < float("inf")
    return Check(
        name=name,
        meaning=meaning,
        outcome=outcome,
        difference=result.difference if finite else None,
        tolerance=result.tolerance,
        note=result.note or ("" if finite or result.difference is None else "the difference is not a finite number"),
        seconds=round(time.monotonic() - began, 2),
    )


def apart(actual: Tensor, expected: Tensor) -> float:
    """The largest difference relative to the largest expected value; infinite where the shapes differ."""
    if actual.shape != expected.shape:
        return float("inf")
    actual, expected = actual.double(), expected.double()
    return float((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def outputs_tolerance(dtype: torch.dtype) -> float:
    """How far logits and losses may differ where they are equal but for rounding."""
    return TOLERANCE[dtype]
