"""Calibrates an expert on examples that it was not trained on. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pituning.backbones.certainty import label_scores
from pituning.experts.model import ExpertModel
from pituning.labelling.calibration import fit_temperature, reliability, temper
from pituning.progress import Reporter
from pituning.tasks.base import Example, Task

PHASE = "test temperature"
VALIDATED = 100
"""Validation examples that a temperature is fitted on; more would hardly change one number."""


def calibrate(
    model: ExpertModel, values: Tensor, task: Task, *, test: Sequence[Example], reporter: Reporter
) -> dict[str, Any]:
    """The temperature of an expert, fitted on the first `VALIDATED` validation examples, and how well it does.

    Args:
        values: (P,) of the expert.
        test: examples that the reliability is measured on; they take no part in the fit.

    Returns:
        ``temperature`` and ``calibration`` as `make_expert` takes them; empty where answers are open, or where the task
        has no validation split.
    """
    labels = task.labels
    split = task.split("validation")
    if labels is None or not test:
        return {}
    first = (split[index] for index in range(min(len(split), VALIDATED)))
    held_out = [example for example in first if example.answer in labels]
    if not held_out:
        return {}
    reporter.phase(PHASE, len(held_out) + len(test))

    def scored(examples: Sequence[Example]) -> np.ndarray:
        encoded = model.encode(task, examples)
        with model.using(values.detach()):
            return label_scores(model.backbone, encoded, labels, reporter=reporter)

    gold = np.array([labels.index(example.answer) for example in held_out])
    temperature = round(fit_temperature(scored(held_out), gold), 6)
    scores = scored(test)
    right = [labels[place] == example.answer for place, example in zip(scores.argmax(axis=1), test, strict=True)]
    before, after = (
        reliability(np.exp(temper(scores, value)).max(axis=1), right).to_json() for value in (1.0, temperature)
    )
    reporter.log(
        f"temperature {temperature:.2f} from {len(held_out)} validation examples: ECE {100 * before['ece']:.1f} → "
        f"{100 * after['ece']:.1f} points"
    )
    return {
        "temperature": temperature,
        "calibration": {"rows": len(held_out), "before": before, "after": after},
    }
