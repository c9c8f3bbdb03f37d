"""How far the probabilities of what was tuned can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from pituning.labelling.calibration import fit_temperature, reliability, temper
from pituning.progress import Reporter
from pituning.tuning.crossing import Crossed
from pituning.tuning.learners import Mixed, MixtureLearner
from pituning.tuning.selection import Choice
from pituning.tuning.trial import TEMPERATURE, Trial

WRONG = "held_out_wrong"
"""In what `calibrate` finds: the share of wrong answers to the held-out shots, which no temperature changes."""
PROBABILITIES = "test_probabilities"
"""In the same: calibrated ones of every label for every test example, (N, L)."""


def calibrate(
    trial: Trial, method: str, choice: Choice, state: Mixed, reporter: Reporter, *, crossed: Crossed | None = None
) -> dict[str, Any]:
    """The temperature of a mixture on a closed task, and how well it does on the test examples.

    It is fitted on the shots that the folds hold out; the test examples take no part.

    Args:
        state: of the method after training on all shots.
        crossed: what it says of the shots where these are tested as well. They have probabilities, too, but no part in
            how well the temperature does, which was fitted on some of them.

    Raises:
        RunFailed: when a training without the held-out shots diverges.
    """
    labels, learner = trial.task.labels, trial.methods.learner(method)
    assert labels is not None
    assert isinstance(learner, MixtureLearner)
    scores, gold = trial.held_out_scores(method, choice, reporter)
    temperature = round(fit_temperature(scores, gold), 6)
    reporter.phase(f"test {TEMPERATURE}", len(trial.test))
    raw = learner.label_scores(state, trial.encoded_test, labels, reporter)
    right = np.array([labels[place] for place in raw.argmax(axis=1)]) == np.array([e.answer for e in trial.test])
    measured = {
        name: reliability(np.exp(temper(raw, value)).max(axis=1), right)
        for name, value in (("before", 1.0), ("after", temperature))
    }
    every = raw if crossed is None else np.concatenate([raw, crossed.scores])
    before, after = (f"{100 * each.ece:.1f}" for each in measured.values())
    reporter.log(f"temperature {temperature:.2f} from {len(gold)} held-out shots: ECE {before} → {after} points")
    return {
        "temperature": temperature,
        "rows": len(gold),
        PROBABILITIES: np.exp(temper(every, temperature)).round(6).tolist(),
        WRONG: float((scores.argmax(axis=1) != gold).mean()),
        **{name: each.to_json() for name, each in measured.items()},
    }
