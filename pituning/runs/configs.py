"""What runs that train, embed or project can be told; tuning has `pituning.tuning.config.TuneConfig`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from pituning.errors import BadInput
from pituning.experts.space import check_kind
from pituning.graph.projection import MapSettings
from pituning.graph.similarity import PREDICTORS
from pituning.training.config import EXPERT_RATES, TrainConfig
from pituning.workspace.layout import check_name

CHECKPOINT_EVERY = 25
"""Steps between checkpoints of a run that trains: what a killed worker costs at most."""


@dataclass(frozen=True, kw_only=True)
class TrainRun:
    """Train one expert on one task.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    task: str = field(metadata={"help": "Task to train on."})
    kind: str = field(default="lora", metadata={"help": "Expert kind: lora, bottleneck or prefix."})
    shots: int | None = field(default=None, metadata={"help": "Examples per class; all training data when left out."})
    seed: int = field(default=0, metadata={"help": "Seed of the shots, the starting values and the order."})
    steps: int = field(default=400, metadata={"help": "Optimiser steps."})
    batch_size: int = field(default=32, metadata={"help": "Examples per step."})
    learning_rate: float | None = field(default=None, metadata={"help": "Peak learning rate; the kind's usual one."})
    name: str | None = field(default=None, metadata={"help": "Name of the expert."})

    def __post_init__(self) -> None:
        check_kind(self.kind)
        check_name(self.task, what="task")
        check_name(self.expert_name, what="name")
        if self.shots is not None and self.shots < 1:
            raise BadInput(f"shots is {self.shots}; give a whole number of at least 1", field="shots")
        self.training()

    @property
    def expert_name(self) -> str:
        """The expert's name; a full-data expert has its task's name, which makes it part of the zoo."""
        return self.name or (self.task if self.shots is None else f"{self.task[:40]}-{self.shots}-shot-{self.seed}")

    def training(self) -> TrainConfig:
        """The settings of the training loop."""
        rate = EXPERT_RATES[self.kind] if self.learning_rate is None else self.learning_rate
        return TrainConfig(
            steps=self.steps, batch_size=self.batch_size, learning_rate=rate, seed=self.seed,
            checkpoint_every=CHECKPOINT_EVERY,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ProjectRun(MapSettings):
    """Make maps of the tasks in two dimensions: UMAP, MDS and PCA.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    kind: str = field(default="lora", metadata={"help": "Expert kind: lora, bottleneck or prefix."})
    predictor: str = field(
        default="probe", metadata={"help": "How likeness is measured: probe, paper, scaled, weights or text."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind(self.kind)
        if self.predictor not in PREDICTORS:
            raise BadInput(
                f"unknown predictor {self.predictor!r}; choose one of {', '.join(PREDICTORS)}", field="predictor"
            )

    def map_settings(self) -> MapSettings:
        """The settings without what is mapped."""
        return MapSettings(n_neighbors=self.n_neighbors, min_dist=self.min_dist, metric=self.metric, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class EmbedRun:
    """Compute the Fisher embeddings of tasks that have an expert.

    Raises:
        BadInput: for an unknown kind or an unusable name.
    """

    tasks: tuple[str, ...] = field(default=(), metadata={"help": "Tasks to embed; all of the zoo when left out."})
    kind: str = field(default="lora", metadata={"help": "Expert kind: lora, bottleneck or prefix."})

    def __post_init__(self) -> None:
        check_kind(self.kind)
        for task in self.tasks:
            check_name(task, what="task")
