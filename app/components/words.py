"""The words that people read for the names that programs use; those that reports share are in `pituning.figures`."""

from __future__ import annotations

from pituning.figures.palette import METHOD_LABELS
from pituning.figures.words import KINDS, MAPS, METRICS, ORDERS, PREDICTORS, SCALES, Word, label
from pituning.workspace.shots import ALL_SHOTS

__all__ = [
    "ANSWERERS",
    "FAILURES",
    "KINDS",
    "MAPS",
    "METHODS",
    "METRICS",
    "MODALITY_ICONS",
    "ORDERS",
    "ORIGINS",
    "PREDICTORS",
    "SCALES",
    "STATES",
    "Word",
    "duration",
    "label",
    "shots_label",
]

ORIGINS = {
    "shipped": Word("Shipped", "Comes with the Studio: trained on all the data of its task."),
    "trained": Word("Trained here", "A run of this workspace trained it on one task."),
    "tuned": Word("π-tuned here", "A run of this workspace mixed it from the experts of similar tasks."),
    "imported": Word("Imported", "Somebody imported it as a PEFT checkpoint."),
}

ANSWERERS = {
    "backbone": Word("Backbone", "The foundation model without any expert."),
    "single": Word("Single expert", "An expert trained on a few examples of this task alone."),
    "pi": Word("π-expert", "Mixed from the experts of similar tasks and trained on a few examples."),
    "expert": Word("Expert", "Trained on all the data of its task, or imported from elsewhere."),
}
"""Who answers, by how they were made."""

METHODS = {
    name: Word(METHOD_LABELS[name], text)
    for name, text in {
        "pi": "Experts of similar tasks, mixed with learned weights and trained on the shots.",
        "backbone": "The foundation model without any training.",
        "single": "One new expert of the same kind, trained on the shots alone.",
        "full": "All parameters of the backbone trained on the shots.",
        "bitfit": "The backbone’s biases alone trained on the shots.",
        "donor": "The most similar task’s expert, trained further on the shots.",
        "donor-untouched": "The most similar task’s expert as it is.",
        "uniform": "The same donors with equal, fixed weights.",
        "lorahub": "The donors as they are; only their weights are searched for, without gradients.",
        "random": "Donors drawn at random instead of by similarity.",
        "distant": "The least similar donors.",
        "same-format": "Donors that answer in the same form but are about something else.",
        "placebo": "Random parameters with the size of real donors. Only a gain over these is transfer.",
        "donor-placebo": "The most similar donor, with placebos in the place of the others.",
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


def shots_label(shots: int | None) -> str:
    """Examples per class as people say them: ``"Zero-shot"``, ``"16 shots"``; None stands for all there are."""
    if shots is None or shots == ALL_SHOTS:
        return "All data"
    return f"{shots} shots" if shots > 1 else "1 shot" if shots else "Zero-shot"
