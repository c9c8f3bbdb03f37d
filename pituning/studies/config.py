"""What a study is told. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from pituning.errors import BadInput
from pituning.tasks.mini import TASK_NAMES

ZOO_STEPS = {"lora": 600, "bottleneck": 700, "prefix": 1200}
"""Training steps of an expert of each kind on the embedded backbone, after which its score hardly rises."""


@dataclass(frozen=True, kw_only=True)
class ZooConfig:
    """How the zoo is made: every expert of a kind from the same seeded start, trained on all training examples.

    Raises:
        BadInput: for an empty or unknown selection.
    """

    kinds: tuple[str, ...] = field(default=("lora", "bottleneck", "prefix"), metadata={"help": "expert kinds"})
    tasks: tuple[str, ...] = field(default=TASK_NAMES, metadata={"help": "tasks of the mini suite"})
    steps: int | None = field(
        default=None, metadata={"help": "training steps per expert; left out, as many as the kind needs"}
    )
    batch_size: int = field(default=32, metadata={"help": "examples per step"})
    seed: int = field(default=0, metadata={"help": "of the common starting values and of the data order"})
    fisher_examples: int = field(default=256, metadata={"help": "training examples behind each embedding"})
    fisher_groups: int = field(default=16, metadata={"help": "groups of them that the bootstrap resamples"})
    replicates: int = field(default=50, metadata={"help": "bootstrap replicates of each similarity matrix"})

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASK_NAMES]
        if unknown or not self.tasks:
            named = ", ".join(map(repr, unknown)) or "nothing"
            raise BadInput(f"tasks names {named}; choose from {', '.join(TASK_NAMES)}", field="tasks")
        for kind in self.kinds:
            if kind not in ("lora", "bottleneck", "prefix"):
                raise BadInput(f"kind {kind!r} is unknown; choose lora, bottleneck or prefix", field="kinds")

    def steps_of(self, kind: str) -> int:
        """Training steps of an expert of ``kind``."""
        return self.steps if self.steps is not None else ZOO_STEPS[kind]
