"""What the embedded backbone is not made for, in words. Torch-free."""

from __future__ import annotations

from pituning.backbones.offers import recommend
from pituning.tasks.base import Task
from pituning.workspace.layout import DEFAULT_BACKBONE

SUITE = "mini"
"""`Task.source` of what it was made for."""

DRAWN_ONLY = (
    "The embedded backbone has only ever seen drawn scenes and simple sentences. Real reviews, questions and "
    "entailments tuned on it came out at chance: 49.8 points on restaurant reviews (2 labels), 31.6 on SNLI (3), 29 on "
    "news topics (4). Use a real model for real data"
)


def beyond(backbone: str, source: str) -> str | None:
    """Why not to expect much of a task on a backbone; None where nothing speaks against it.

    Args:
        source: `Task.source`.
    """
    return DRAWN_ONLY if backbone == DEFAULT_BACKBONE and source != SUITE else None


def warning_beyond(backbone: str, task: Task) -> str | None:
    """The same in one line with what helps, for a terminal."""
    reason = beyond(backbone, task.source)
    fitting = recommend(task.modality, {}, backbone)
    if reason is None or fitting is None or fitting.offer is None:
        return None
    return f"warning: {reason}: {fitting.offer.add}, then --backbone {fitting.name}"
