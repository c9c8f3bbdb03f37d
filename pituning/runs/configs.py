"""What runs that train, embed, project or answer can be told; for tuning see `pituning.tuning.config`. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields

from pituning.backbones.offers import OFFERS
from pituning.backbones.precision import Precision
from pituning.errors import BadInput
from pituning.experts.kinds import KINDS, check_mixable, kind_words
from pituning.graph.predictors import DEFAULT_PREDICTOR, PREDICTORS, shot_predictors
from pituning.graph.settings import MapSettings
from pituning.training.config import Footprint, TrainConfig
from pituning.tuning.config import TuneConfig
from pituning.workspace.layout import BACKBONE_HELP, DEFAULT_BACKBONE, check_name

CHECKPOINT_EVERY = 25
"""Steps between checkpoints of a run that trains: what a killed worker costs at most."""


@dataclass(frozen=True, kw_only=True)
class TrainRun(Footprint):
    """Train one expert on one task.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    task: str = field(metadata={"help": "Task to train on."})
    kind: str = field(default="lora", metadata={"help": f"Expert kind: {kind_words()}."})
    shots: int | None = field(default=None, metadata={"help": "Examples per class; all training data when left out."})
    seed: int = field(default=0, metadata={"help": "Seed of the shots, the starting values and the order."})
    steps: int = field(default=400, metadata={"help": "Optimiser steps."})
    batch_size: int = field(default=32, metadata={"help": "Examples per step."})
    learning_rate: float | None = field(default=None, metadata={"help": "Peak learning rate; the kind's usual one."})
    name: str | None = field(default=None, metadata={"help": "Name of the expert."})
    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})

    def __post_init__(self) -> None:
        check_mixable(self.kind)
        check_name(self.backbone, what="backbone")
        check_name(self.task, what="task")
        check_name(self.expert_name, what="name")
        if self.shots is not None and self.shots < 1:
            raise BadInput(f"shots is {self.shots}; give a whole number of at least 1", field="shots")
        self.check_footprint()
        self.training()

    @property
    def expert_name(self) -> str:
        """The expert's name; a full-data expert has its task's name, which makes it part of the zoo."""
        return self.name or (self.task if self.shots is None else f"{self.task[:40]}-{self.shots}-shot-{self.seed}")

    def training(self) -> TrainConfig:
        """The settings of the training loop."""
        rate = KINDS[self.kind].rate if self.learning_rate is None else self.learning_rate
        return TrainConfig(
            steps=self.steps, batch_size=self.batch_size, learning_rate=rate, seed=self.seed,
            checkpoint_every=CHECKPOINT_EVERY, accumulate=self.accumulate, checkpointing=self.checkpointing,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ProjectRun(MapSettings):
    """Make maps of the tasks in two dimensions: UMAP, MDS and PCA.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    kind: str = field(default="lora", metadata={"help": f"Expert kind: {kind_words()}."})
    predictor: str = field(
        default=DEFAULT_PREDICTOR, metadata={"help": "Similarity: probe, paper, scaled, weights or text."}
    )
    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mixable(self.kind)
        check_name(self.backbone, what="backbone")
        PREDICTORS.check(self.predictor)

    def map_settings(self) -> MapSettings:
        """The settings without what is mapped."""
        return MapSettings(n_neighbors=self.n_neighbors, min_dist=self.min_dist, metric=self.metric, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class EmbedRun(Precision):
    """Compute the Fisher embeddings of tasks that have an expert.

    Raises:
        BadInput: for an unknown kind or an unusable name.
    """

    tasks: tuple[str, ...] = field(default=(), metadata={"help": "Tasks to embed; all of the zoo when left out."})
    kind: str = field(default="lora", metadata={"help": f"Expert kind: {kind_words()}."})
    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})

    def __post_init__(self) -> None:
        check_mixable(self.kind)
        check_name(self.backbone, what="backbone")
        self.check_precision()
        for task in self.tasks:
            check_name(task, what="task")


@dataclass(frozen=True, kw_only=True)
class RelativesRun(Precision):
    """Embed a few shots of a task and rank the zoo by similarity to them, before anything is trained.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    target: str = field(metadata={"help": "Task whose relatives are looked for."})
    kind: str = field(default="lora", metadata={"help": f"Expert kind: {kind_words()}."})
    shots: int = field(default=16, metadata={"help": "Examples per class (open answers: times 4 in all)."})
    seed: int = field(default=0, metadata={"help": "Seed of the shots."})
    donors: int = field(default=3, metadata={"help": "How many tasks would lend their experts."})
    predictor: str = field(
        default=DEFAULT_PREDICTOR,
        metadata={"help": "Similarity that ranks: probe, scaled or text.", "choices": shot_predictors},
    )
    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})

    def __post_init__(self) -> None:
        self.tuning()
        if self.donors < 1:
            raise BadInput(f"donors is {self.donors}; give a whole number of at least 1", field="donors")

    def tuning(self) -> TuneConfig:
        """The tuning that would predict the same donors."""
        return TuneConfig(**{one.name: getattr(self, one.name) for one in fields(self)})


MOST_EXPERTS, MOST_EXAMPLES, MOST_TEXT = 8, 16, 4000
"""How much one run answers: it is for somebody who waits."""

_EXAMPLE = re.compile(r"(train|validation|test)/\d{1,9}")  # without the tasks' module, which takes time to import


@dataclass(frozen=True, kw_only=True)
class AnswerRun(Precision):
    """Ask experts, and the backbone alone, a few questions of a task: examples of it, or one of your own.

    Without experts, of a task or of rows that are kept, the backbone alone is asked.

    Raises:
        BadInput: when a value is out of its range, or there is no question; ``field`` names it.
    """

    experts: tuple[str, ...] = field(
        default=(), metadata={"help": "Names of the experts to ask, side by side; none: the backbone alone."}
    )
    kind: str = field(default="lora", metadata={"help": f"Their kind: {kind_words(everything=True)}."})
    task: str | None = field(default=None, metadata={"help": "Task to ask of; that of the first expert."})
    example: tuple[str, ...] = field(default=(), metadata={"help": "Examples to ask, such as test/3."})
    text: str | None = field(default=None, metadata={"help": "A question of your own, after the task's instruction."})
    image: str | None = field(default=None, metadata={"help": "An image file for your own question."})
    sample: str | None = field(default=None, metadata={"help": "Rows that the workspace keeps, in place of a task."})
    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})

    def __post_init__(self) -> None:
        KINDS.check(self.kind)
        check_name(self.backbone, what="backbone")
        self.check_precision()
        if self.sample is not None and (self.experts or self.task):
            raise BadInput("a sample is asked of the backbone alone; leave experts and task out", field="sample")
        least = 1 if self.task is None and self.sample is None else 0
        if not least <= len(self.experts) <= MOST_EXPERTS:
            raise BadInput(
                f"{len(self.experts)} experts are named; give {least} to {MOST_EXPERTS}"
                + (", or a task for the backbone alone" if least else ""),
                field="experts",
            )
        for name in self.experts:
            check_name(name, what="expert")
        if self.task is not None:
            check_name(self.task, what="task")
        for example in self.example:
            if _EXAMPLE.fullmatch(example) is None:
                raise BadInput(f"example {example!r} is none; write a split and a number: test/3", field="example")
        if len(self.example) > MOST_EXAMPLES:
            raise BadInput(f"{len(self.example)} examples are too many; give at most {MOST_EXAMPLES}", field="example")
        own = self.text is not None or self.image is not None
        if own == bool(self.example):
            raise BadInput("give either examples, or a text or an image of your own", field="example")
        if self.text is not None and len(self.text) > MOST_TEXT:
            raise BadInput(f"the text has {len(self.text)} characters; give at most {MOST_TEXT}", field="text")


@dataclass(frozen=True, kw_only=True)
class PredictRun(Precision):
    """Label rows that have no labels, with an expert.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    expert: str = field(metadata={"help": "Name of the expert."})
    kind: str | None = field(
        default=None, metadata={"help": f"Its kind, where several have the name: {kind_words(everything=True)}."}
    )
    source: str = field(default="", metadata={"help": "A file that the workspace keeps, in place of FILE."})
    text_columns: tuple[str, ...] = field(default=(), metadata={"help": "Columns that are read; those of the task."})
    image_column: str | None = field(default=None, metadata={"help": "Column with the images; that of the task."})
    probabilities: bool = field(default=True, metadata={"help": "A column with the probability of each label."})
    top: int | None = field(default=None, metadata={"help": "Instead, columns for this many of the likeliest labels."})
    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})

    def __post_init__(self) -> None:
        check_name(self.expert, what="expert")
        if self.kind is not None:
            KINDS.check(self.kind)
        check_name(self.backbone, what="backbone")
        self.check_precision()
        if self.top is not None and self.top < 1:
            raise BadInput(f"top is {self.top}; give a whole number of at least 1", field="top")


@dataclass(frozen=True, kw_only=True)
class AddRun:
    """Add one of the offered backbones.

    Raises:
        BadInput: it is none that can be added; ``field`` names it.
    """

    offer: str = field(metadata={"help": "Name of an offered backbone: smollm2 or smolvision."})

    def __post_init__(self) -> None:
        if not OFFERS[self.offer].packages:
            raise BadInput(f"backbone {self.offer!r} is always there; choose it", field="offer")
