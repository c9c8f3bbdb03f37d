"""The work of runs that train or embed. This module needs torch: import it only where work is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.embedding.zoo import embed_zoo
from pituning.errors import ArtefactError, DiskFull
from pituning.experts.keeping import check_not_imported
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert, save_expert
from pituning.labelling.calibrating import VALIDATED, calibrate
from pituning.progress import Reporter
from pituning.registry import unknown
from pituning.runs.configs import EmbedRun, TrainRun
from pituning.tasks.metrics import guessing, score
from pituning.tasks.registry import load_task
from pituning.training.single import train_expert
from pituning.workspace.layout import Workspace

TEST_EXAMPLES = 1000

VALIDATIONS = 4
"""How often validation examples are scored while an expert is trained."""


def train(config: TrainRun, workspace: Workspace, reporter: Reporter, checkpoint: Path) -> dict[str, Any]:
    """Trains one expert, tests it and saves it in the workspace.

    Args:
        checkpoint: a directory; where it holds the state of an interrupted training, that goes on.

    Raises:
        BadInput: the task or the backbone is unknown, or the task has too few examples.
        RunFailed: the training diverged.
    """
    task = load_task(config.task, workspace)
    examples = list(task.split("train")) if config.shots is None else task.shots(config.shots, config.seed)
    test = list(task.split("test"))[:TEST_EXAMPLES]
    target = workspace.zoo(config.backbone).new_expert_dir(config.kind, config.expert_name)
    check_not_imported(target)
    backbone = Backbone.load(
        workspace.backbone_dir(config.backbone), name=config.backbone, dtype=config.dtype, quantize=config.quantize
    )
    model = ExpertModel(backbone, config.kind)
    encoded = model.prepare(backbone.encode(task, examples, reporter=reporter))
    validation = list(task.split("validation"))[:VALIDATED]
    encoded_validation = backbone.encode(task, validation, reporter=reporter) if validation else None

    def evaluate(values: Tensor) -> dict[str, float]:
        if encoded_validation is None:
            return {}
        answers = model.predict(values, encoded_validation, task)
        return {"validation_score": score(task.metric, answers, [example.gold for example in validation])}

    settings = replace(config.training(), eval_every=max(1, config.steps // VALIDATIONS))
    path = checkpoint / "train.safetensors"
    try:
        trained = train_expert(
            model, encoded, settings, reporter=reporter, series="single", evaluate=evaluate, checkpoint=path
        )
    except ArtefactError as error:
        if isinstance(error, DiskFull) or not path.exists():
            raise
        reporter.log(f"{error}; the training starts anew")
        path.unlink()
        trained = train_expert(
            model, encoded, settings, reporter=reporter, series="single", evaluate=evaluate, checkpoint=path
        )
    encoded_test = backbone.encode(task, test, reporter=reporter)
    reporter.phase("test", len(test))
    predictions = model.predict(trained.values, encoded_test, task, reporter=reporter)
    points = score(task.metric, predictions, [example.gold for example in test])
    reporter.curve("single", config.steps, {"score": points})
    spec = {"task": task.name, "kind": config.kind, "shots": config.shots, "seed": config.seed, "steps": config.steps}
    expert = make_expert(
        model,
        trained.values,
        name=config.expert_name,
        task=task.name,
        seed=config.seed,
        spec=spec,
        scores={"test": points},
        **calibrate(model, trained.values, task, test=test, reporter=reporter),
    )
    save_expert(expert, model, target)
    return {**spec, "backbone": config.backbone, "score": points, "expert": expert.name, "examples": len(examples),
            "guessing": None if (guessed := guessing(task)) is None else guessed.to_json()}  # fmt: skip


def embed(config: EmbedRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path) -> dict[str, Any]:
    """Embeds the zoo and compares its tasks. All of them, also where some are named: the common probe is their mean.

    Raises:
        BadInput: a task has no expert of that kind, or there is no such backbone.
    """
    zoo = workspace.zoo(config.backbone)
    experts = zoo.expert_dirs(config.kind)
    for name in config.tasks:
        if name not in experts:
            raise unknown("expert", name, list(experts))
    tasks = [load_task(name, workspace) for name in experts]
    backbone = Backbone.load(
        workspace.backbone_dir(config.backbone), name=config.backbone, dtype=config.dtype, quantize=config.quantize
    )
    embed_zoo(zoo, backbone, config.kind, experts, tasks, reporter=reporter)
    return {"tasks": list(config.tasks or experts), "kind": config.kind, "backbone": config.backbone}
