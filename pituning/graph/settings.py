"""What the graph and its maps can be told. Free of NumPy, so that whoever only asks for settings starts at once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from pituning.errors import BadInput

DISTANCES = ("similarity", "profile")
"""Distances that a map can be made of."""


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """What a map depends on beside the similarities.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    n_neighbors: int = field(
        default=5, metadata={"help": "UMAP: how many nearest tasks hold a task in its place; more shows the whole."}
    )
    min_dist: float = field(
        default=0.3, metadata={"help": "UMAP: how close two points may come, 0 to 1; less packs groups tighter."}
    )
    metric: str = field(
        default="similarity",
        metadata={
            "help": "Distance for UMAP and MDS. similarity: 1 − S. profile: 1 − the correlation of what two tasks are "
            "similar to."
        },
    )
    seed: int = field(default=0, metadata={"help": "Seed of UMAP; the same seed gives the same map."})

    def __post_init__(self) -> None:
        if not 2 <= self.n_neighbors <= 200:
            raise BadInput(f"n_neighbors is {self.n_neighbors!r}; give 2 to 200", field="n_neighbors")
        if not 0 <= self.min_dist < 1:
            raise BadInput(f"min_dist is {self.min_dist!r}; give 0 or more, below 1", field="min_dist")
        if self.metric not in DISTANCES:
            raise BadInput(f"metric is {self.metric!r}; choose one of {', '.join(DISTANCES)}", field="metric")
        if not 0 <= self.seed < 2**32:  # what UMAP's generator takes
            raise BadInput(f"seed is {self.seed!r}; give 0 to {2**32 - 1}", field="seed")

    @property
    def digest(self) -> str:
        return digest_of(asdict(self))


def digest_of(value: Any) -> str:
    """Twelve hexadecimal digits over a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
