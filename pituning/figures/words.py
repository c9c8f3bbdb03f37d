"""The words that people read for the names that programs use, in the app and in reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pituning.experts.kinds import KINDS
from pituning.graph.predictors import PREDICTORS
from pituning.tasks.metrics import METRICS

__all__ = ["KINDS", "MAPS", "METRICS", "ORDERS", "PREDICTORS", "SCALES", "Word", "label"]


@dataclass(frozen=True)
class Word:
    """A label and one sentence that explains it."""

    label: str
    help: str


ORDERS = {
    "clustered": Word("Clustered", "Similar tasks stand side by side (hierarchical clustering, best order of leaves)."),
    "family": Word("Family", "By modality, then by planted family."),
    "name": Word("Name", "Alphabetical."),
}

SCALES = {
    "raw": Word("Raw", "The similarity itself. Raw values crowd together, so small differences are hard to see."),
    "rank": Word("Ranked", "The rank of each task in its row: 1 is the most similar to the row’s task."),
    "row": Word("Standardised", "Standard deviations from the mean of the row."),
}

MAPS = {
    "umap": Word("UMAP", "Keeps neighbours together; distances between far groups mean little."),
    "mds": Word("MDS", "Keeps all distances as well as two dimensions allow."),
    "pca": Word("PCA", "The two directions in which the tasks differ most."),
}


class Labelled(Protocol):
    """What has a label: a `Word`, or the record of a registry."""

    @property
    def label(self) -> str: ...


def label(words: Mapping[str, Labelled], name: str) -> str:
    """What people read for ``name``; the name itself when it has no entry."""
    return words[name].label if name in words else name
