"""What a study is told. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pituning.errors import BadInput
from pituning.experts.kinds import KINDS, check_mixable, shipped_kinds
from pituning.graph.predictors import DEFAULT_PREDICTOR
from pituning.training.config import TrainConfig
from pituning.tuning.config import BLIND, CONTROLS, MIXTURE, STEPS, TuneConfig, is_trained
from pituning.workspace.layout import BACKBONE_HELP, DEFAULT_BACKBONE, check_name
from pituning.workspace.shots import ALL_SHOTS

TASKS_HELP = "Tasks, of any suite or your own. Left out: the mini suite for mini, else all that have an expert."


@dataclass(frozen=True, kw_only=True)
class ZooConfig:
    """How the zoo is made: every expert of a kind from the same seeded start, trained on all training examples.

    Raises:
        BadInput: for an empty or unknown selection.
    """

    kinds: tuple[str, ...] = field(default_factory=shipped_kinds, metadata={"help": "Expert kinds."})
    tasks: tuple[str, ...] = field(default=(), metadata={"help": TASKS_HELP})
    steps: int | None = field(
        default=None, metadata={"help": "Training steps per expert; left out, as many as the kind needs."}
    )
    batch_size: int = field(default=32, metadata={"help": "Examples per step."})
    seed: int = field(default=0, metadata={"help": "Seed of the common starting values and of the data order."})
    fisher_examples: int = field(default=256, metadata={"help": "Training examples behind each embedding."})
    fisher_groups: int = field(default=16, metadata={"help": "Groups of them that the bootstrap resamples."})
    replicates: int = field(default=50, metadata={"help": "Bootstrap replicates of each similarity matrix."})
    learning_rate: float | None = field(
        default=None,
        metadata={"help": "Peak learning rate; left out, the kind's usual one, smaller on wide backbones."},
    )
    train_examples: int | None = field(
        default=None, metadata={"help": "Most training examples of an expert, drawn at random; left out, all."}
    )
    test_examples: int = field(default=10**6, metadata={"help": "Most test examples that an expert is scored on."})

    def __post_init__(self) -> None:
        _check_tasks(self.tasks)
        for kind in self.kinds:
            check_mixable(kind)
        rate = 1.0 if self.learning_rate is None else self.learning_rate
        TrainConfig(steps=self.steps or 1, batch_size=self.batch_size, learning_rate=rate, seed=self.seed)
        least = {"fisher_examples": 2, "fisher_groups": 1, "replicates": 0, "test_examples": 1}
        if self.steps is not None:
            least["steps"] = 1
        if self.train_examples is not None:
            least["train_examples"] = 1
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                wanted = f"give a whole number of at least {smallest}"
                raise BadInput(f"{name} is {getattr(self, name)!r}; {wanted}", field=name)

    def steps_of(self, kind: str) -> int:
        """Training steps of an expert of ``kind``."""
        return self.steps if self.steps is not None else KINDS[kind].steps

    def rate_of(self, kind: str, factor: float) -> float:
        """The peak learning rate of ``kind`` on a backbone with that `rate_factor`."""
        return KINDS[kind].rate * factor if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """How transfer between tasks is measured: every donor's expert on every target, by the same small budget.

    Raises:
        BadInput: for a value out of its range or an unknown task.
    """

    kind: str = field(default="lora", metadata={"help": "Expert kind."})
    tasks: tuple[str, ...] = field(default=(), metadata={"help": TASKS_HELP})
    donor_names: tuple[str, ...] = field(
        default=(), metadata={"help": "Donors; left out, every task that has an expert."}
    )
    shots: tuple[int, ...] = field(
        default=(0, 16), metadata={"help": "Examples per class that the donor is trained on; 0 for none."}
    )
    seeds: tuple[int, ...] = field(default=(0,), metadata={"help": "Seeds of the shots and of the order."})
    steps: int = field(default=40, metadata={"help": "Training steps of a donor on the shots."})
    batch_size: int = field(default=32, metadata={"help": "Examples per step."})
    test_examples: int = field(default=400, metadata={"help": "Most test examples of a target."})
    learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate; left out, the kind's usual one, smaller on wide backbones."}
    )

    def rate(self, factor: float) -> float:
        """The learning rate on a backbone with that `rate_factor`."""
        return KINDS[self.kind].rate * factor if self.learning_rate is None else self.learning_rate

    def __post_init__(self) -> None:
        check_mixable(self.kind)
        _check_tasks(self.tasks)
        _check_tasks(self.donor_names, what="donor")
        for name in ("shots", "seeds"):
            values = getattr(self, name)
            if not values or min(values) < 0:
                raise BadInput(f"{name} is {values!r}; give whole numbers of at least 0", field=name)
        for name in ("steps", "batch_size", "test_examples"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)!r}; give a whole number of at least 1", field=name)


@dataclass(frozen=True, kw_only=True)
class ShortProbeConfig:
    """Which donors are probed by a few steps on half of a target's shots (`pituning.tuning.short_probe`).

    Raises:
        BadInput: for a value out of its range or an unknown task.
    """

    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})
    kind: str = field(default="lora", metadata={"help": "Expert kind."})
    tasks: tuple[str, ...] = field(default=(), metadata={"help": TASKS_HELP})
    shots: int = field(default=16, metadata={"help": "Examples per class, of which half are held out."})
    seeds: tuple[int, ...] = field(default=(0, 1, 2), metadata={"help": "Seeds of the shots and of the order."})
    processes: int = field(default=2, metadata={"help": "How many processes work side by side."})

    def __post_init__(self) -> None:
        check_mixable(self.kind)
        _check_tasks(self.tasks)
        if self.shots < 2:
            raise BadInput(f"shots is {self.shots!r}; give at least 2, of which one is held out", field="shots")
        if not self.seeds or min(self.seeds) < 0:
            raise BadInput(f"seeds is {self.seeds!r}; give whole numbers of at least 0", field="seeds")
        if self.processes < 1:
            raise BadInput(f"processes is {self.processes!r}; give a whole number of at least 1", field="processes")


METHODS = (
    "backbone", "single", "full", "bitfit", MIXTURE, "donor", "donor-untouched", "untouched", "uniform", "lorahub",
    *CONTROLS, *(f"{control}-untouched" for control in CONTROLS),
)  # fmt: skip
"""What the low-shot study measures, none of it guarded: what π-tuning chooses is worked out from these."""


@dataclass(frozen=True, kw_only=True)
class LowshotConfig:
    """How methods are compared on few shots: each on every target with several seeds, as `pituning tune` runs them.

    Raises:
        BadInput: for a value out of its range or an unknown task or method.
    """

    kind: str = field(default="lora", metadata={"help": "Expert kind."})
    tasks: tuple[str, ...] = field(default=(), metadata={"help": TASKS_HELP})
    shots: tuple[int, ...] = field(default=(0, 16), metadata={"help": "Examples per class; 0 for none."})
    seeds: tuple[int, ...] = field(
        default=(0, 1, 2, 3, 4), metadata={"help": "Seeds of the shots and of all that is drawn."}
    )
    methods: tuple[str, ...] = field(default=METHODS, metadata={"help": f"Methods, of {', '.join(METHODS)}."})
    steps: int = field(default=STEPS, metadata={"help": "Most training steps; fewer may be chosen."})
    test_examples: int = field(default=1000, metadata={"help": "Most test examples of a target."})
    batch_size: int = field(default=8, metadata={"help": "Examples per step."})
    folds: int = field(
        default=0, metadata={"help": "Splits of the shots for choosing; 0 for one to three by their number."}
    )
    learning_rates: tuple[float, ...] = field(
        default=(), metadata={"help": "Rates to choose from; left out, three around the kind's usual one."}
    )
    donors: int = field(default=3, metadata={"help": "How many tasks lend their experts."})
    vision_tower: bool = field(
        default=False, metadata={"help": "The targets' own experts act in the backbone's vision tower, too."}
    )

    def __post_init__(self) -> None:
        check_mixable(self.kind)
        _check_tasks(self.tasks)
        _check_names("methods", self.methods, METHODS)
        if not self.shots or min(self.shots) < ALL_SHOTS:
            raise BadInput(f"shots is {self.shots!r}; give whole numbers of at least 0, or full", field="shots")
        if not self.seeds or min(self.seeds) < 0:
            raise BadInput(f"seeds is {self.seeds!r}; give whole numbers of at least 0", field="seeds")
        if not self.donors:
            raise BadInput("donors is 0; a study gives every target as many: 1 or more", field="donors")
        self.tuning(next(iter(self.tasks), "any"), shots=1, seed=0)

    def tuning(
        self, target: str, *, shots: int, seed: int, methods: Sequence[str] = (), backbone: str = DEFAULT_BACKBONE
    ) -> TuneConfig:
        """The settings by which ``methods`` are tuned on one target; the constructor checks their values."""
        return TuneConfig(
            target=target,
            kind=self.kind,
            shots=max(1, shots),  # without shots nothing asks for them: the words alone predict the donors
            seed=seed,
            donors=self.donors,
            predictor="text" if shots == 0 else DEFAULT_PREDICTOR,
            baselines=("full",) if "full" in methods else (),
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rates=self.learning_rates,
            folds=self.folds,
            test_examples=self.test_examples,
            backbone=backbone,
            vision_tower=self.vision_tower,
        )

    def methods_at(self, shots: int) -> tuple[str, ...]:
        """The methods that can be measured there: without shots nothing is trained, with shots the backbone alone is
        what it was.
        """
        possible = [m for m in self.methods if (not is_trained(m) if shots == 0 else m != "backbone")]
        # Where the target's own expert acts is nothing to those that train none: they are measured without.
        return tuple(m for m in possible if not self.vision_tower or (is_trained(m) and m not in BLIND))


def _check_tasks(names: tuple[str, ...], what: str = "task") -> None:
    """Whether there are such tasks shows when they are loaded: they may be the user's own."""
    for name in names:
        check_name(name, what=what)


def _check_names(field: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        named = ", ".join(map(repr, unknown)) or "nothing"
        raise BadInput(f"{field} names {named}; choose from {', '.join(known)}", field=field)
