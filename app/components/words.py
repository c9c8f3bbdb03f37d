"""The words that people read for the names that programs use; those that reports share are in `pituning.figures`."""

from __future__ import annotations

from pituning.figures.palette import METHOD_LABELS
from pituning.figures.words import KINDS, METRICS, ORDERS, PREDICTORS, SCALES, Word, label

__all__ = [
    "FAILURES",
    "KINDS",
    "METHODS",
    "METRICS",
    "MODALITY_ICONS",
    "ORDERS",
    "PREDICTORS",
    "SCALES",
    "STATES",
    "Word",
    "duration",
    "label",
]

METHODS = {
    name: Word(METHOD_LABELS[name], text)
    for name, text in {
        "pi": "Experts of similar tasks, mixed with learned weights and trained on the shots.",
        "backbone": "The foundation model without any training.",
        "single": "One new expert of the same kind, trained on the shots alone.",
        "full": "All parameters of the backbone trained on the shots.",
        "donor": "The most similar task’s expert, trained on.",
        "uniform": "The same donors with equal, fixed weights.",
        "random": "Donors drawn by lot instead of by similarity.",
        "placebo": "Random parameters with the size of real donors. Only a gain over these is transfer.",
        "untouched": "The donors’ mixture without training on the target.",
    }.items()
}

MODALITY_ICONS = {
    "vision": ":material/image:",
    "language": ":material/text_fields:",
    "vision-language": ":material/imagesmode:",
}

STATES = {
    "queued": ("Waiting", ":material/schedule:", "gray"),
    "running": ("Running", ":material/play_circle:", "blue"),
    "cancelled": ("Cancelled", ":material/cancel:", "orange"),
    "succeeded": ("Succeeded", ":material/check_circle:", "green"),
    "failed": ("Failed", ":material/error:", "red"),
}

FAILURES = {
    "out_of_memory": "There was too little memory",
    "nan_loss": "The training diverged",
    "disk_full": "The disk was full",
    "artefact": "A file is missing or damaged",
    "backbone_mismatch": "An expert belongs to another backbone",
    "bad_input": "A setting cannot be used",
    "lost": "Its worker died too often",
}
"""Titles of the classes of failures; the others say `This run failed`."""


def duration(seconds: float | None) -> str:
    """Seconds as people say them: ``"45 s"``, ``"3 min"``, ``"1 h 20 min"``."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
