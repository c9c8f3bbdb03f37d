"""What was tuned becomes one ordinary expert of the workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from pituning.backbones.base import Backbone
from pituning.errors import RunFailed
from pituning.experts.store import make_expert, save_expert
from pituning.tuning.baselines import OWN
from pituning.tuning.evaluation import rounded
from pituning.tuning.interpolation import Collapsed, Mixture, collapse, identity_check
from pituning.tuning.learners import Mixed, MixtureLearner
from pituning.tuning.trial import Trial
from pituning.workspace.layout import Workspace

CHECKED = 8
"""Shots on which the identity check compares outputs."""


def export(
    trial: Trial, workspace: Workspace, chosen: str, state: Mixed, *, score: float, calibration: Mapping[str, Any]
) -> dict[str, Any]:
    """Collapses the chosen candidate to one expert, checks it and saves it in the workspace.

    Args:
        chosen: the candidate.
        state: of it, after training on all shots.
        score: of it, in points.
        calibration: what `pituning.tuning.temperature.calibrate` found; empty where there is none.

    Returns:
        The part of a run's result that tells of the expert.

    Raises:
        RunFailed: the identity check fails.
    """
    config, learner = trial.config, trial.methods.learner(chosen)
    assert isinstance(learner, MixtureLearner)
    collapsed = collapse(trial.methods.mixture, state.experts, state.weights)
    identity = _identity(trial, state, collapsed)
    name = config.expert_name
    sites, rows = learner.mixed(state.weights)
    weights = _mean_weights(learner.names, rows, (OWN, *trial.methods.donors))
    settings = {key: value for key, value in asdict(config).items() if key != "processes"}
    spec = {**settings, "method": "pi", "chosen": chosen, "donors_used": list(trial.methods.donors), "weights": weights}
    expert = make_expert(
        collapsed.model, collapsed.values, name=name, task=trial.task.name, seed=config.seed, spec=spec,
        scores={"test": score}, temperature=calibration.get("temperature"),
        calibration={key: value for key, value in calibration.items() if key != "temperature"},
    )  # fmt: skip
    save_expert(expert, collapsed.model, workspace.zoo(config.backbone).new_expert_dir(config.kind, name))
    return {
        "expert": name,
        "weights": weights,
        "weights_per_site": {
            "sites": sites,
            "experts": list(learner.names),
            "weights": [[round(value, 6) for value in row] for row in rows],
        },
        "identity": identity,
        "calibration": dict(calibration) or None,
    }


def _identity(trial: Trial, state: Mixed, collapsed: Collapsed) -> dict[str, float]:
    """The identity check; where half precision leaves it in doubt, float32 decides.

    Through thirty layers rounding in bfloat16 alone may move a logit by 7 % of the largest, more than the check allows,
    and a run that is right must not fail for it.
    """
    mixture, rows = trial.methods.mixture, range(min(CHECKED, len(trial.shots)))
    try:
        return identity_check(mixture, state.experts, state.weights, collapsed, trial.shots.batch(rows))
    except RunFailed:
        if mixture.backbone.dtype in (torch.float32, torch.float64):
            raise
    # On the CPU, which has room where a GPU has none for the model once more.
    backbone = Backbone.load(trial.backbone_dir, name=trial.backbone.name, device="cpu", dtype="float32")
    exact = Mixture(mixture.model.on(backbone))
    encoded = exact.model.encode(trial.task, [trial.examples[row] for row in rows])
    alone = Collapsed(collapsed.model.on(backbone), collapsed.values.cpu())
    return identity_check(exact, state.experts.cpu(), state.weights.cpu(), alone, encoded.batch(rows))


def _mean_weights(
    names: tuple[str, ...], rows: Sequence[Sequence[float]], experts: tuple[str, ...]
) -> dict[str, float]:
    """Mean over sites by expert; 0 for those that the chosen candidate leaves out."""
    means = dict(zip(names, torch.tensor(rows).mean(dim=0).tolist(), strict=True))
    return rounded({name: means.get(name, 0.0) for name in experts})
