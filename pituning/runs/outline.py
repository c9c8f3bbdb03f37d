"""The phases of a run before it has begun, by its settings and its task. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pituning.backbones.offers import OFFERS
from pituning.graph.predictors import PREDICTORS
from pituning.registry import load
from pituning.runs.spec import RunSpec
from pituning.tasks.base import OPEN_ANSWER_CLASSES
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.pooling import crossed_count, scored_count
from pituning.tasks.registry import TaskInfo
from pituning.tuning.config import CROSSED, TuneConfig, fold_count
from pituning.tuning.units import OTHERS_PHASE, VERDICT_PHASE, other_units, verdict_units

if TYPE_CHECKING:
    from pituning.runs.configs import AddRun, AnswerRun, EmbedRun, PredictRun, ProjectRun, RelativesRun, TrainRun
    from pituning.runs.counting import CountRun
    from pituning.workspace.layout import Workspace

PROJECTED = 96
"""Fits of a map: three methods, each with 25 bootstrap replicates and six layers."""
LOAD_BACKBONE = "load the foundation model"
LABEL_ROWS = "label rows"
USUAL_ROWS = 1000
"""How many rows a file has, before it has been read."""

FULL_BATCH = 32
STEP_BASE = 0.1
"""The share of a step on 32 examples that does not depend on how many there are; the rest is in proportion to them."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What of a run's task matters for its length.

    Args:
        classes: answers, or `OPEN_ANSWER_CLASSES` where they are open.
        images: whether examples have images.
        sizes: examples of each split.
        dealt: the splits that were dealt by chance.
        zoo: tasks whose experts are on the run's backbone, its own among them.
    """

    classes: int = 10
    closed: bool = True
    images: bool = True
    sizes: Mapping[str, int] = field(default_factory=lambda: {"train": 2000, "validation": 300, "test": 1000})
    dealt: tuple[str, ...] = ()
    metric: str = "accuracy"
    zoo: int = len(TASK_NAMES)

    @property
    def train(self) -> int:
        """Training examples."""
        return self.sizes["train"]

    @property
    def test(self) -> int:
        """Test examples."""
        return self.sizes["test"]

    @classmethod
    def of(cls, info: TaskInfo | None) -> Subject:
        """That of a task; a usual one where the task is not known."""
        if info is None:
            return cls()
        return cls(
            classes=len(info.labels) if info.labels else OPEN_ANSWER_CLASSES,
            closed=info.labels is not None,
            images=info.modality != "language",
            sizes=info.sizes,
            dealt=info.dealt,
            metric=info.metric,
        )


@dataclass(frozen=True)
class Part:
    """A phase of ``total`` units.

    Args:
        load: how heavy a unit is: 1, or less for a step on few examples.
        seconds: how long all of it takes, where that is known and need not be learned from other runs.
    """

    name: str
    total: int
    load: float = 1.0
    seconds: float | None = None


SEEN_ANEW = 2.6
"""How heavy a training step is in which pictures are seen anew, against one on features that are kept: about as heavy
as one of full fine-tuning on the embedded backbone."""

LOAD_LIBRARIES = Part("load the libraries", 1)
"""With this every worker begins whose work needs them."""


def cost_name(phase: str) -> str:
    """What the units of a phase have in common with those of others: all methods but full fine-tuning cost the same."""
    verb, _, rest = phase.partition(" ")
    if verb in ("choose", "train", "test"):
        return f"{verb} full" if rest == "full" else verb
    return verb if verb == "compare" or (verb == "embed" and not rest.startswith("the ")) else phase


def step_load(config: Any, subject: Subject) -> float:
    """How heavy a training step of a run with that configuration is, against one on `FULL_BATCH` examples."""
    shots = getattr(config, "shots", ())
    if not hasattr(config, "batch_size") or isinstance(shots, tuple):
        return 1.0  # its steps are not all on the same shots
    seen_anew = SEEN_ANEW if getattr(config, "vision_tower", False) and subject.images else 1.0
    return seen_anew * batch_load(min(config.batch_size, _examples(config, subject)))


def batch_load(examples: int) -> float:
    """How heavy a training step on so many examples is, against one on `FULL_BATCH`."""
    return STEP_BASE + (1 - STEP_BASE) * examples / FULL_BATCH


def _examples(config: Any, subject: Subject) -> int:
    """How many examples are trained on."""
    return subject.train if config.shots is None else config.shots * subject.classes


def outline(spec: RunSpec, subject: Subject, workspace: Workspace | None = None) -> list[Part]:
    """The phases in their order, as the kind of run foresees them; those that a run adds or leaves out come to light as
    it goes.

    Args:
        workspace: where it will be done; without one, nothing is foreseen of runs that depend on what is there.
    """
    path = spec.record.outline
    if path is None or (spec.record.outlines_workspace and workspace is None):
        return []
    given = (workspace,) if spec.record.outlines_workspace else ()
    return list(load(path)(spec.settings(), subject, *given))


def tested_rows(subject: Subject, shots: int, most: int) -> tuple[int, int]:
    """How many rows that it does not learn from a tuning is tested on, and on how many of its shots.

    Args:
        shots: per class.
        most: rows to test on, as it was told.
    """
    examples = shots * subject.classes
    rows = scored_count(subject.sizes, subject.dealt, shots=examples, most=most)
    crossed = crossed_count(
        subject.sizes, subject.dealt, metric=subject.metric, shots=examples,
        least=shots if subject.closed else examples, most=most,
    )  # fmt: skip
    return rows, crossed


def tune_parts(config: TuneConfig, subject: Subject) -> list[Part]:
    """The phases of a low-shot tuning."""
    weight, examples = step_load(config, subject), _examples(config, subject)
    test, shots = tested_rows(subject, config.shots, config.test_examples)
    crossed = min(CROSSED, config.shots if subject.closed else examples) if shots else 0
    parts = [LOAD_LIBRARIES, *_images(subject, examples)]
    if not config.donor_names:
        parts += _ranking(config.predictor, examples, subject)
    parts += _images(subject, test)
    # A single example of a class is not held out, so there is nothing to choose by.
    folds = 0 if config.shots == 1 and subject.closed else config.folds or fold_count(examples)
    parts += [
        Part(VERDICT_PHASE, verdict_units(config, folds=folds, rows=test, crossed=crossed), weight),
        Part(OTHERS_PHASE, other_units(config, folds=folds, rows=test, closed=subject.closed, crossed=crossed), weight),
    ]
    return parts


def relatives_parts(config: RelativesRun, subject: Subject) -> list[Part]:
    """The phases of looking for relatives."""
    examples = _examples(config, subject)
    return [LOAD_LIBRARIES, *_images(subject, examples), *_ranking(config.predictor, examples, subject)]


def _ranking(predictor: str, examples: int, subject: Subject) -> list[Part]:
    """The phases of ranking the zoo by the shots."""
    if not PREDICTORS[predictor].probe:
        return []
    return [Part("embed the shots", examples), Part("embed the zoo", max(0, subject.zoo - 1))]


def train_parts(config: TrainRun, subject: Subject) -> list[Part]:
    """The phases of a training of one expert."""
    return [
        LOAD_LIBRARIES,
        *_images(subject, _examples(config, subject)),
        Part("train single", config.steps, step_load(config, subject)),
        *_images(subject, subject.test),
        Part("test", subject.test),
        *([Part("test temperature", subject.test)] if subject.closed else []),
    ]


def embed_parts(config: EmbedRun, subject: Subject) -> list[Part]:
    """The phases of embedding a zoo."""
    return [
        LOAD_LIBRARIES,
        Part(f"embed {config.kind}", 2 * subject.zoo),
        Part(f"compare {config.kind}", len(PREDICTORS)),
    ]


def project_parts(_config: ProjectRun, _subject: Subject) -> list[Part]:
    """The phases of making maps."""
    return [LOAD_LIBRARIES, Part("load UMAP", 1), Part("project", PROJECTED)]


def answer_parts(config: AnswerRun, subject: Subject) -> list[Part]:
    """The phases of answering."""
    asked = len(config.example) or 1
    images = _images(subject, asked) if config.example or config.image else []
    return [LOAD_LIBRARIES, Part(LOAD_BACKBONE, 1), *images, Part("answer", asked * (len(config.experts) + 1))]


def predict_parts(_config: PredictRun, _subject: Subject) -> list[Part]:
    """The phases of labelling a file whose rows nobody has counted yet."""
    return [LOAD_LIBRARIES, Part(LOAD_BACKBONE, 1), Part(LABEL_ROWS, USUAL_ROWS)]


UNPACKED = 272
"""Tensors of the language model of all backbones that are offered."""


def add_parts(config: AddRun, _subject: Subject) -> list[Part]:
    """The phases of adding an offered backbone."""
    seconds = OFFERS[config.offer].seconds
    return [
        LOAD_LIBRARIES,
        Part("read the tokenizer", 1, seconds=0.2 * seconds),
        Part("unpack the weights", UNPACKED, seconds=0.7 * seconds),
        Part("check", 1, seconds=0.1 * seconds),
    ]


def count_parts(config: CountRun, _subject: Subject) -> list[Part]:
    """The phases of counting, which takes what it is told to take."""
    return [Part("count", config.upto, seconds=config.upto * config.pause)]


def _images(subject: Subject, count: int) -> list[Part]:
    return [Part("encode images", count)] if subject.images else []
