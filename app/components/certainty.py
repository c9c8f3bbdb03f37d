"""How sure an expert is, in words: a percentage where it was calibrated and that was measured, else an order alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.components.guard import plain
from pituning.labelling.calibration import Reliability, right_of_hundred

LEAST = 0.005
"""The smallest probability of a runner-up that is told."""

NOT_CALIBRATED = (
    "A percentage is shown only where it held on test rows: a model that was tuned on a few examples, or not at all, "
    "is mostly far too sure of itself."
)


def percent(share: float) -> str:
    """A probability for people: what is nearly certain is not called certain."""
    if 0.995 <= share < 1:
        return "over 99 %"
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def checked(curve: Reliability, probability: float) -> str:
    """What a probability was worth where it could be checked."""
    right, rows = right_of_hundred(curve, probability)
    return f"Of 100 such answers about {right} are right, by {rows:,} test rows."


def column_help(curve: Reliability) -> str:
    """The same of a column of probabilities: what each tenth of them was worth."""
    lines = [
        f"about {percent(each.confidence)} sure: {100 * each.accuracy:.0f} of 100 right ({each.count:,} test rows)"
        for each in reversed(curve.bins)
    ]
    return "Calibrated. Measured on the test split:  \n" + "  \n".join(lines)


def runners_up(answered: Mapping[str, Any], curve: Reliability | None) -> str:
    """The answers that came next, as Markdown; empty where there is nothing to say of them."""
    if curve is None:
        following = [plain(other["answer"]) for other in answered["others"]]
        return f"Then {' · '.join(following)}" if len(following) > 1 else ""  # of two labels the other one follows
    others = [other for other in answered["others"] if other["probability"] >= LEAST]
    return " · ".join(f"{plain(other['answer'])}: {percent(other['probability'])}" for other in others)
