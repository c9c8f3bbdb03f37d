"""What runs that build a zoo or measure on it can be told. Torch-free; the help texts feed the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any

from pituning.backbones.precision import DTYPE_HELP, chosen_dtype
from pituning.errors import BadInput
from pituning.experts.kinds import kind_words
from pituning.studies.config import TASKS_HELP, LowshotConfig, TransferConfig, ZooConfig
from pituning.workspace.layout import BACKBONE_HELP, DEFAULT_BACKBONE, check_name
from pituning.workspace.shots import parse_shots

USUAL_PROCESSES = 2
"""How many processes share a study on a CPU; on a GPU one has it for itself."""

TARGETS = {"help": TASKS_HELP, "options": ("--targets", "--tasks")}


@dataclass(frozen=True, kw_only=True)
class OnBackbone:
    """What runs on a whole zoo have in common."""

    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})
    dtype: str | None = field(default=None, metadata={"help": DTYPE_HELP})

    def check_backbone(self) -> None:
        """Raises BadInput for an unusable name or a precision that there is not."""
        check_name(self.backbone, what="backbone")
        chosen_dtype(self.dtype or "auto")


@dataclass(frozen=True, kw_only=True)
class InProcesses(OnBackbone):
    """The same, with several processes that share the work."""

    processes: int | None = field(
        default=None, metadata={"help": "Processes that share the work. Left out: 2 on a CPU, 1 on a GPU."}
    )

    def check_processes(self) -> None:
        """Raises BadInput as `check_backbone`, or where nobody would do the work."""
        self.check_backbone()
        if self.processes is not None and self.processes < 1:
            raise BadInput(f"processes is {self.processes}; give a whole number of at least 1", field="processes")

    def processes_on(self, gpu: bool) -> int:
        """How many processes share the work on a GPU, or on this machine's CPU."""
        return self.processes or (1 if gpu else min(USUAL_PROCESSES, os.cpu_count() or 1))


def _same(name: str, *options: str) -> Any:
    """A field as `ZooConfig` has it."""
    found = next(each for each in fields(ZooConfig) if each.name == name)
    return field(default=found.default, metadata={**found.metadata, "options": options})


@dataclass(frozen=True, kw_only=True)
class ZooRun(OnBackbone):
    """Train an expert for each task that has none yet, then embed, compare and map the zoo.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    tasks: tuple[str, ...] = _same("tasks")
    kind: str = field(default="lora", metadata={"help": f"Kind of expert: {kind_words()}."})
    steps: int | None = _same("steps")
    batch_size: int = _same("batch_size")
    learning_rate: float | None = _same("learning_rate")
    seed: int = _same("seed")
    fisher_examples: int = _same("fisher_examples", "--examples", "--fisher-examples")
    train_examples: int | None = _same("train_examples")
    test_examples: int = _same("test_examples")

    def __post_init__(self) -> None:
        self.check_backbone()
        self.study()

    def study(self) -> ZooConfig:
        """How the zoo is made; the constructor checks the values."""
        return ZooConfig(
            kinds=(self.kind,), tasks=self.tasks, steps=self.steps, batch_size=self.batch_size,
            learning_rate=self.learning_rate, seed=self.seed, fisher_examples=self.fisher_examples,
            train_examples=self.train_examples, test_examples=self.test_examples,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TransferRun(InProcesses, TransferConfig):
    """Measure what the expert of every task does for every other task.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    tasks: tuple[str, ...] = field(default=(), metadata=TARGETS)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_processes()


def _shots(word: Any) -> int:
    return parse_shots(str(word))


@dataclass(frozen=True, kw_only=True)
class LowshotRun(InProcesses, LowshotConfig):
    """Compare all methods on few shots of every task.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    tasks: tuple[str, ...] = field(default=(), metadata=TARGETS)
    shots: tuple[int, ...] = field(
        default=(0, 16), metadata={"help": "Examples per class; 0 for none, full for all.", "parse": _shots}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_processes()
