"""What a study is told. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from pituning.errors import BadInput
from pituning.experts.space import check_kind
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


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """How transfer between tasks is measured: every donor's expert on every target, by the same small budget.

    Raises:
        BadInput: for a value out of its range or an unknown task.
    """

    kind: str = field(default="lora", metadata={"help": "expert kind"})
    tasks: tuple[str, ...] = field(default=TASK_NAMES, metadata={"help": "targets of the mini suite"})
    shots: tuple[int, ...] = field(
        default=(0, 16), metadata={"help": "examples per class that the donor is trained on; 0 for none"}
    )
    seeds: tuple[int, ...] = field(default=(0,), metadata={"help": "of the shots and of the order"})
    steps: int = field(default=40, metadata={"help": "training steps of a donor on the shots"})
    batch_size: int = field(default=32, metadata={"help": "examples per step"})
    test_examples: int = field(default=400, metadata={"help": "most test examples of a target"})

    def __post_init__(self) -> None:
        check_kind(self.kind)
        unknown = [task for task in self.tasks if task not in TASK_NAMES]
        if unknown or not self.tasks:
            named = ", ".join(map(repr, unknown)) or "nothing"
            raise BadInput(f"tasks names {named}; choose from {', '.join(TASK_NAMES)}", field="tasks")
        for name in ("shots", "seeds"):
            values = getattr(self, name)
            if not values or min(values) < 0:
                raise BadInput(f"{name} is {values!r}; give whole numbers of at least 0", field=name)
        for name in ("steps", "batch_size", "test_examples"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)!r}; give a whole number of at least 1", field=name)
