"""What would help where a run was not worth it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pituning.reports.verdict import Outcome, difference, judge
from pituning.workspace.layout import DEFAULT_BACKBONE

POOR: tuple[Outcome, ...] = ("none", "harm")


def advice(result: Mapping[str, Any]) -> list[str]:
    """What to try next, a sentence each; empty where the run was worth it: its score is clearly above guessing, the
    donors did something, and nothing that was measured beside it did better by what it lacks."""
    guessed = guess_of(result)
    low = (result.get("intervals") or {}).get("pi", [None])[0]
    at_guessing = guessed is not None and low is not None and low <= guessed
    outcome = judge([result]).outcome
    found = _tower(result)
    if not at_guessing and outcome not in POOR:
        return found
    found.append(_shots(result))
    if at_guessing:
        embedded = result.get("backbone", DEFAULT_BACKBONE) == DEFAULT_BACKBONE
        found.append(
            "Another backbone: the embedded one knows drawn scenes alone. `pituning backbones add smollm2`."
            if embedded
            else "Another backbone: one that has seen more of what the task is about, or a larger one; "
            "`pituning backbones families` says which can be added."
        )
    found.append(
        "A labelled batch of the least sure rows: label new rows with this expert, correct the least sure answers by "
        "hand, and add them to the task."
    )
    return found


def _tower(result: Mapping[str, Any]) -> list[str]:
    """Where full fine-tuning is clearly better, and could be so by the vision tower, which the experts left alone."""
    full = difference([result], "full")
    if result.get("vision_tower") is not False or full is None or not full.negative:
        return []
    return [
        f"Experts that see: full fine-tuning, which changes the vision tower, too, is {-full.mean:.1f} points better. "
        "Run again with *Vision tower*, under *Advanced* (`--vision-tower`): a step takes up to three times as long."
    ]


def guess_of(result: Mapping[str, Any]) -> float | None:
    """The better of guessing at random and of always answering the largest class; None where it is not known."""
    guesses = [value for value in (result.get("guessing") or {}).values() if value is not None]
    return max(guesses, default=None)


def _shots(result: Mapping[str, Any]) -> str:
    """What the learning curve says of more shots."""
    curve = result.get("learning_curve") or []
    if len(curve) < 2:
        return "More shots: a learning curve tells whether they would help (`pituning tune` with `--learning-curve`)."
    before, last = curve[-2], curve[-1]
    gain = last["score"] - before["score"]
    step = f"from {before['shots']} to {last['shots']} shots the score changed by {gain:+.1f} points"
    if last["low"] > before["score"]:
        return f"More shots: {step}, and it may go on rising."
    return f"More shots would hardly help by themselves: {step}, which is within chance."
