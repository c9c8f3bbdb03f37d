"""How much work a tuning may take, as a few named choices: settings that go together. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pituning.backbones.places import Places
from pituning.errors import ArtefactError
from pituning.experts.kinds import KINDS
from pituning.registry import Registry

LARGE = 20_000_000
"""Parameters from which on a full search takes hours on a processor."""


@dataclass(frozen=True, kw_only=True)
class BudgetRecord:
    """A named budget.

    Args:
        name: what programs call it.
        label: what people read.
        help: one sentence for people.
        settings: fields of `TuneConfig` and their values; what is not named stays as it usually is.
        one_rate: whether the kind's usual learning rate is taken instead of a search.
    """

    name: str
    label: str
    help: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    one_rate: bool = False


FOR_A_VERDICT = {"folds": 1, "test_examples": 200, "baselines": ("backbone", "single", "donor", "placebo")}

BUDGETS: Registry[BudgetRecord] = Registry(
    "budget",
    [
        BudgetRecord(
            name="full",
            label="Full search",
            help="Up to 160 steps at three learning rates on one to three splits of the shots, beside seven baselines.",
        ),
        BudgetRecord(
            name="short",
            label="Short",
            help="16 steps at the usual learning rate on one split, beside the baselines that a verdict needs; for "
            "large models, on which a full search takes hours.",
            settings={"steps": 16, **FOR_A_VERDICT},
            one_rate=True,
        ),
        BudgetRecord(
            name="medium",
            label="Medium",
            help="96 steps, and all else as in the short one; for large models and tasks that they do not know yet, "
            "pictures above all.",
            settings={"steps": 96, **FOR_A_VERDICT},
            one_rate=True,
        ),
    ],
)


def usual_budget(parameters: int, modality: str) -> str:
    """The budget that is offered first on a model with so many parameters, for a task of a modality.

    A language model knows much of a task of texts before it is trained; what a picture shows it has to learn to say.
    """
    if parameters <= LARGE:
        return "full"
    return "short" if modality == "language" else "medium"


def budget_settings(name: str, kind: str, backbone_dir: Path) -> dict[str, Any]:
    """What `TuneConfig` takes for a budget.

    Args:
        kind: of expert, whose usual learning rate is meant.
        backbone_dir: the backbone's directory: on wider ones the rate is smaller.

    Raises:
        BadInput: there is no such budget; the message lists those that there are.
    """
    record = BUDGETS[name]
    settings = dict(record.settings)
    if record.one_rate:
        settings["learning_rates"] = (KINDS[kind].rate * _rate_factor(backbone_dir),)
    return settings


def _rate_factor(backbone_dir: Path) -> float:
    try:
        return Places.read(backbone_dir).rate_factor
    except ArtefactError:
        return 1.0  # the run itself says what is wrong with the backbone
