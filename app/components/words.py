"""The words that people read for the names that programs use."""

from __future__ import annotations

from dataclasses import dataclass

from pituning.figures.palette import METHOD_LABELS


@dataclass(frozen=True)
class Word:
    """A label and one sentence that explains it."""

    label: str
    help: str


KINDS = {
    "lora": Word("LoRA", "Low-rank updates of the attention and feed-forward maps."),
    "bottleneck": Word("Bottleneck", "Small two-layer adapters after attention and feed-forward (Houlsby)."),
    "prefix": Word("Prefix", "Learned keys and values in front of the decoder's attention."),
}

PREDICTORS = {
    "probe": Word("Common probe", "Fisher information of every task at one shared expert, centred over all tasks."),
    "paper": Word("Own experts", "Fisher information at each task's own expert, raw cosine: as published."),
    "scaled": Word("Task2Vec", "Fisher information scaled by its own size, as in Task2Vec."),
    "weights": Word("Expert weights", "The trained parameters themselves, without any Fisher information."),
    "text": Word("Words", "Instruction and label words only; no model."),
}

ORDERS = {
    "clustered": Word("Clustered", "Similar tasks stand side by side (hierarchical clustering, best order of leaves)."),
    "family": Word("Family", "By modality, then by planted family."),
    "name": Word("Name", "By the alphabet."),
}

SCALES = {
    "raw": Word("Raw", "The similarity itself. Raw values crowd together, so small differences are hard to see."),
    "rank": Word("Ranked", "The place of each task in its row: 1 is the most similar to the row’s task."),
    "row": Word("Standardised", "Standard deviations from the mean of the row."),
}

MAPS = {
    "umap": Word("UMAP", "Keeps neighbours together; distances between far groups mean little."),
    "mds": Word("MDS", "Keeps all distances as well as two dimensions allow."),
    "pca": Word("PCA", "The two directions in which the tasks differ most."),
}

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

METRICS = {
    "accuracy": Word("Accuracy", "Share of answers that are right."),
    "box_iou": Word("Boxes right", "Share of boxes that overlap the true one by half or more (IoU ≥ 0.5)."),
    "token_f1": Word("Token F1", "How many words of the answer are those of the true one, and the other way round."),
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


def label(words: dict[str, Word], name: str) -> str:
    """What people read for ``name``; the name itself when it has no entry."""
    return words[name].label if name in words else name


def duration(seconds: float | None) -> str:
    """Seconds as people say them: ``"45 s"``, ``"3 min"``, ``"1 h 20 min"``."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
