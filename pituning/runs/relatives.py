"""The work of a run that looks for a task's relatives. This module needs torch: import it only where work is done."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pituning.backbones.base import Backbone
from pituning.experts.model import ExpertModel
from pituning.graph.predict import plain_neighbor
from pituning.progress import Reporter
from pituning.runs.configs import RelativesRun
from pituning.tasks.registry import load_task
from pituning.tuning.donors import load_zoo, predict_gains
from pituning.tuning.evaluation import rounded
from pituning.workspace.layout import Workspace


def relatives(config: RelativesRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path) -> dict[str, Any]:
    """Ranks the zoo by similarity to a few shots of a task, as a tuning on the same shots does.

    Returns:
        The settings with ``donors`` (names), ``neighbors``, all tasks of the zoo, most similar first, and what each is
        ``expected`` to add, or the ``reason`` why nobody knows.

    Raises:
        BadInput: the task or the backbone is unknown, or the task has too few examples.
        ArtefactError: an expert or the backbone is damaged.
    """
    tuning = config.tuning()
    task = load_task(config.target, workspace)
    shots = task.shots(config.shots, config.seed)
    backbone = Backbone.load(
        workspace.backbone_dir(config.backbone), name=config.backbone, dtype=config.dtype, quantize=config.quantize
    )
    model = ExpertModel(backbone, config.kind)
    zoo = load_zoo(tuning, workspace.zoo(config.backbone).expert_dirs(config.kind), model, reporter=reporter)
    encoded = model.prepare(backbone.encode(task, shots, keep_pixels=zoo.sees, reporter=reporter))
    near, gains = predict_gains(tuning, task, encoded, zoo, backbone, workspace, reporter)
    donors = [one.task for one in near[: config.donors]]
    reporter.log(f"most similar: {', '.join(donors)}")
    return {
        "target": config.target, "kind": config.kind, "shots": config.shots, "seed": config.seed,
        "backbone": config.backbone, "predictor": config.predictor, "donors": donors, "examples": len(shots),
        "neighbors": [plain_neighbor(one) for one in near],
        "expected": {name: rounded(asdict(each)) for name, each in gains.gains.items()}, "reason": gains.reason,
        "learned_from": {"shots": gains.shots, "targets": gains.targets},
        "fingerprint": backbone.fingerprint,
    }  # fmt: skip
