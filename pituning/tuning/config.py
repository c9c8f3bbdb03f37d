"""What a tuning is told. Torch-free; the help texts feed the command line and the forms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pituning.errors import BadInput
from pituning.experts.kinds import KINDS, check_mixable, kind_words
from pituning.graph.predictors import DEFAULT_PREDICTOR, PREDICTORS, shot_predictors
from pituning.training.config import BITFIT_RATE, FULL_RATE, Footprint
from pituning.workspace.layout import BACKBONE_HELP, DEFAULT_BACKBONE, check_name

MIXTURE = "mixture"
CANDIDATES = (MIXTURE, "single", "donor", "untouched")
"""What π-tuning chooses from by cross-validation, which guards against negative transfer."""

UNTRAINED = ("backbone", "largest", "chance")
"""What needs no training: the backbone alone, always answering the largest class, and guessing at random. The guard may
recommend one of them instead of what π-tuning chose, which stays what is scored and kept."""

CONTROLS = ("random", "distant", "same-format", "placebo", "donor-placebo")
"""Mixtures like π-tuning's with other donors than those that were predicted."""

BASELINES = (
    "backbone", "single", "full", "bitfit", "donor", "donor-untouched", "uniform", "lorahub", *CONTROLS, "untouched"
)  # fmt: skip
"""What can run beside π-tuning, in the order in which it runs."""

VERDICT = ("placebo", "single", "backbone")
"""The baselines by which a gain is told and explained; they come first."""

WITHOUT_DONORS = ("backbone", "single", "full", "bitfit")
"""The methods that nobody lends an expert to."""

BLIND = ("full", "bitfit", "lorahub")
"""The methods that train nothing of the target's own expert: where that acts is nothing to them."""

USUAL_DONORS = 3
"""How many lend unless told otherwise."""

LONGEST = "full"
"""The baseline that takes longest: of the others it begins first, so that none has to wait for it at the end."""

PARTIAL = "partial.json"
"""Under this name a run keeps in its checkpoint what it has found of its result by now; with ``score`` that allows a
verdict."""

ALPHA_STARTS = ("uniform", "own", "similarity")
RATE_FACTORS = (0.4, 1.0, 2.5)
"""The learning rates that are tried, as multiples of the usual one."""
STEPS = 160
"""Most optimiser steps of a training unless told otherwise."""
LORAHUB_EDGE = 0.5
"""What LoraHub has for a learning rate: how far from nothing the search for its weights first looks."""
OWN_RATES = {"full": FULL_RATE, "bitfit": BITFIT_RATE, "lorahub": LORAHUB_EDGE}
"""The usual rate of the methods that do not train experts."""
CROSSED = 4
"""Parts of the shots where all of them are tested as well: a training lacks a quarter, as one that chooses does."""
MOST_RANK = 64
FEW, VERY_FEW = 100, 50
"""Below these many shots one split says too little: two are made, or three."""


def is_trained(method: str) -> bool:
    """Whether a method learns anything from the shots."""
    return method != "backbone" and not method.endswith("untouched")


def guard(losses: Mapping[str, float | None], held_out: int) -> str:
    """The first candidate, unless another's held-out loss is smaller by more than a standard error: then the smallest.

    With a dozen examples held out the smallest of several losses is often so by chance. What is expected to be best
    stands until the shots say otherwise (the one-standard-error rule: Breiman et al., 1984, section 3.4.3). A mean ℓ of
    n values between 0 and 1 has a standard error of at most √(ℓ(1−ℓ)/n).

    Args:
        losses: `held_out_loss` of each candidate, None where its shots were too few to hold any out.
        held_out: how many examples the losses are means of.
    """
    first = next(iter(losses))
    known = {name: loss for name, loss in losses.items() if loss is not None}
    best = min(known, key=known.__getitem__, default=first)
    if first not in known:
        return best
    error = math.sqrt(max(0.0, known[first] * (1 - known[first])) / max(1, held_out))
    return best if known[best] < known[first] - error else first


def fold_count(shots: int) -> int:
    """How many splits of the shots choosing makes when it is not told."""
    return 1 if shots >= FEW else 2 if shots >= VERY_FEW else 3


def curve_shots(shots: int) -> tuple[int, ...]:
    """How many shots the points of a learning curve have, but for the last one."""
    return tuple(count for count in (1, 2, 4, 8, 16) if count < shots)


@dataclass(frozen=True, kw_only=True)
class TuneConfig(Footprint):
    """Settings of one low-shot tuning; every method gets the same steps, learning rates, shots and seed.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    target: str = field(metadata={"help": "Task to tune."})
    kind: str = field(default="lora", metadata={"help": f"Expert kind: {kind_words()}."})
    shots: int = field(default=16, metadata={"help": "Examples per class (open answers: times 4 in all)."})
    seed: int = field(default=0, metadata={"help": "Seed of the shots, of starting values and of the order."})
    donors: int = field(
        default=USUAL_DONORS,
        metadata={
            "help": "How many tasks lend their experts; 0: as many as are expected to help, by the transfer that this "
            "zoo has measured, at most 6. Where none is, a single expert is tuned; where nothing was measured, 3 lend."
        },
    )
    donor_names: tuple[str, ...] = field(
        default=(), metadata={"help": "Donors by name; predicted from the shots when left out."}
    )
    predictor: str = field(
        default=DEFAULT_PREDICTOR,
        metadata={"help": "Similarity that predicts donors: probe, scaled or text.", "choices": shot_predictors},
    )
    shortlist: int = field(
        default=0,
        metadata={
            "help": "So many of the most similar tasks are tried by a few steps on half of the shots, which puts them "
            "in order before donors are taken; 0: none is."
        },
    )
    baselines: tuple[str, ...] = field(
        default=("backbone", "single", "full", "donor", "uniform", "random", "placebo"),
        metadata={"help": f"Methods to compare with, of {', '.join(BASELINES)}."},
    )
    steps: int = field(default=STEPS, metadata={"help": "Most optimiser steps of each training; fewer may be chosen."})
    batch_size: int = field(default=8, metadata={"help": "Examples per step."})
    learning_rates: tuple[float, ...] = field(
        default=(),
        metadata={
            "help": "Peak learning rates to choose from on held-out shots. Left out: 0.4, 1 and 2.5 times the kind's "
            "usual one. Full fine-tuning, BitFit and LoraHub take them in proportion to their own usual rate."
        },
    )
    folds: int = field(
        default=0,
        metadata={
            "help": "Splits of the shots for choosing; 0: one, two of fewer than 100 shots, three of fewer than 50."
        },
    )
    alpha_start: Literal["uniform", "own", "similarity"] = field(
        default="uniform",
        metadata={
            "help": "Interpolation weights at the start: uniform, own (half for the target's own expert), or "
            "similarity (donors by similarity).",
            "choices": ALPHA_STARTS,
        },
    )
    alpha_rate: float = field(
        default=10.0, metadata={"help": "Learning rate of the interpolation weights, as a multiple of the experts'."}
    )
    freeze_experts: bool = field(
        default=False, metadata={"help": "Learn the interpolation weights alone and leave the experts as they are."}
    )
    own_rank: int = field(
        default=0,
        metadata={
            "help": "Rank of the target's own expert, of kinds that have one; 0: the usual one, as the donors have. A "
            "larger one has more room to learn in."
        },
    )
    vision_tower: bool = field(
        default=False,
        metadata={
            "help": "The target's own expert acts in the backbone's vision tower, too, of every method that trains "
            "one: for pictures that the backbone does not see well enough. A step takes about as long as one of full "
            "fine-tuning."
        },
    )
    learning_curve: bool = field(
        default=False,
        metadata={"help": "Also train on 1, 2, 4 and 8 of the shots, which tells whether more of them would help."},
    )
    test_examples: int = field(default=1000, metadata={"help": "Most test examples to score on."})
    backbone: str = field(default=DEFAULT_BACKBONE, metadata={"help": BACKBONE_HELP})
    processes: int = field(
        default=0,
        metadata={
            "help": "Processes of one thread that share the trainings of a small backbone, with the same numbers "
            "however many they are; 0: one for each core. A backbone on a GPU, or of over 100 M parameters, takes one."
        },
    )

    def __post_init__(self) -> None:
        check_name(self.target, what="target")
        check_name(self.backbone, what="backbone")
        check_mixable(self.kind)
        for name in ("shots", "steps", "batch_size", "test_examples"):
            self._require(
                name, _whole(getattr(self, name)) and getattr(self, name) >= 1, "a whole number of at least 1"
            )
        for name in ("seed", "donors", "folds", "processes", "shortlist", "own_rank"):
            self._require(
                name, _whole(getattr(self, name)) and getattr(self, name) >= 0, "a whole number of at least 0"
            )
        self._require("donors", self.donors <= 32, "at most 32")
        self._require("shortlist", self.shortlist <= 32, "at most 32")
        if self.shortlist and (self.donor_names or not self.donors):
            raise BadInput(
                "shortlist puts a given number of predicted donors in order; leave donor_names out and give donors at "
                "least 1, or leave shortlist out",
                field="shortlist",
            )
        self._require("folds", self.folds <= 10, "at most 10")
        able = PREDICTORS[self.predictor].for_shots
        self._require("predictor", able, f"one that needs shots alone: {', '.join(shot_predictors())}")
        self._require("alpha_start", self.alpha_start in ALPHA_STARTS, f"one of {', '.join(ALPHA_STARTS)}")
        self._require("alpha_rate", math.isfinite(self.alpha_rate) and self.alpha_rate > 0, "a number above 0")
        for rate in self.learning_rates:
            self._require("learning_rates", math.isfinite(rate) and rate > 0, "numbers above 0")
        for name in self.baselines:
            if name not in BASELINES:
                raise BadInput(f"unknown baseline {name!r}; choose among {', '.join(BASELINES)}", field="baselines")
        for name in self.donor_names:
            check_name(name, what="donor")
        if self.target in self.donor_names:
            raise BadInput(
                f"donor {self.target!r} is the target itself; its own full-data expert stays out", field="donor_names"
            )
        if len(set(self.donor_names)) != len(self.donor_names):
            raise BadInput(f"donors {', '.join(self.donor_names)} name a task twice", field="donor_names")

        self._require("own_rank", self.own_rank <= MOST_RANK, f"at most {MOST_RANK}")
        if self.own_rank and "rank" not in KINDS[self.kind].defaults:
            ranked = ", ".join(kind for kind, record in KINDS.items() if "rank" in record.defaults)
            raise BadInput(f"own_rank is for experts of kind {ranked}, not {self.kind}; leave it out", field="own_rank")
        if self.vision_tower and not KINDS[self.kind].sees:
            seeing = ", ".join(kind for kind, record in KINDS.items() if record.sees)
            raise BadInput(
                f"vision_tower is for experts of kind {seeing}, not {self.kind}; leave it out", field="vision_tower"
            )
        self.check_footprint()
        if self.quantize is not None and "full" in self.baselines:
            raise BadInput(
                f"baseline 'full' trains every weight, and quantize {self.quantize!r} packs them; leave one out",
                field="baselines",
            )

    def _require(self, name: str, fine: bool, wanted: str) -> None:
        if not fine:
            raise BadInput(f"{name} is {getattr(self, name)!r}; give {wanted}", field=name)

    def rates(self, method: str, factor: float = 1.0) -> tuple[float, ...]:
        """The learning rates that a method chooses from, ascending.

        Args:
            factor: of the usual ones, on a backbone with that `Places.rate_factor`.
        """
        usual = KINDS[self.kind].rate
        rates = self.learning_rates or tuple(usual * each * factor for each in RATE_FACTORS)
        own = OWN_RATES.get(method)
        return tuple(sorted(rate if own is None else rate * own / usual for rate in rates))

    @property
    def ranked_donors(self) -> int:
        """How many of the most similar tasks lend, where no more is known of them than that."""
        return self.donors or USUAL_DONORS

    @property
    def for_verdict(self) -> tuple[tuple[str, bool], ...]:
        """The methods that come first: candidates and what the verdict needs; and whether each is tested."""
        first = [name for name in VERDICT if name in self.baselines]
        methods = dict.fromkeys((MIXTURE, *first, *CANDIDATES))
        return tuple((name, name == MIXTURE or name in first) for name in methods)

    @property
    def after_verdict(self) -> tuple[tuple[str, bool], ...]:
        """The other methods. Of candidates among them rate and steps are chosen by then."""
        others = [name for name in dict.fromkeys(self.baselines) if name not in VERDICT]
        return tuple((name, True) for name in sorted(others, key=lambda name: name != LONGEST))

    @property
    def expert_name(self) -> str:
        """The name under which the tuned expert is kept."""
        return f"{self.target[:34]}-pi-{self.shots}-shot-{self.seed}"


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
