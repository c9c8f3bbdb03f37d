"""What a run found, in one line that can stand over its chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pituning.reports.usable import Answer, Judgement, alternatives
from pituning.reports.verdict import scores
from pituning.tasks.metrics import METRICS

ANSWERS: Mapping[Answer, str] = {"use": "Use it", "care": "Use it with care", "not": "Do not use it"}
BESIDE = {
    "backbone": "by the untrained model",
    "largest": "by the largest class",
    "chance": "by guessing",
}
"""What people read for what needs no tuning, after its score."""


def verdict_line(result: Mapping[str, Any], judgement: Judgement) -> str:
    """The answer with the score of the expert and the best score that needs no tuning, as ``"Use it: 82 % against 50
    by guessing"``; the title of the judgement where either is not known."""
    answer, score, others = judgement.usable.answer, scores(result).get("pi"), alternatives(result)
    if answer not in ANSWERS or score is None or not others:
        return judgement.usable.title
    best = max(others, key=lambda name: (others[name], name == "backbone"))
    record = METRICS.get(str(result.get("metric") or ""))
    # Points of a metric that is a mean over rows are percent.
    unit = " %" if record is not None and record.takes in ("one", "votes") else ""
    digits = 0 if abs(score - others[best]) >= 1 else 1
    return f"{ANSWERS[answer]}: {score:.{digits}f}{unit} against {others[best]:.{digits}f} {BESIDE[best]}"
