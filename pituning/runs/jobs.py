"""The work of each kind of run. This module needs torch: import it only where work is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pituning.backbones.base import Backbone
from pituning.embedding.zoo import embed_zoo
from pituning.experts.model import ExpertModel
from pituning.experts.store import make_expert, save_expert
from pituning.progress import Reporter
from pituning.runs.configs import EmbedRun, TrainRun
from pituning.tasks.metrics import score
from pituning.tasks.registry import load_task
from pituning.training.single import train_expert
from pituning.tuning.run import tune
from pituning.workspace.layout import Workspace, unknown

Job = Callable[[Any, Workspace, Reporter, Path], Mapping[str, Any]]

TEST_EXAMPLES = 1000


def train(config: TrainRun, workspace: Workspace, reporter: Reporter, checkpoint: Path) -> dict[str, Any]:
    """Trains one expert, tests it and saves it in the workspace.

    Args:
        checkpoint: a directory; where it holds the state of an interrupted training, that goes on.

    Raises:
        BadInput: the task is unknown or has too few examples.
        RunFailed: the training diverged.
    """
    task = load_task(config.task, workspace)
    examples = list(task.split("train")) if config.shots is None else task.shots(config.shots, config.seed)
    test = list(task.split("test"))[:TEST_EXAMPLES]
    backbone = Backbone.load(workspace.backbone_dir())
    model = ExpertModel(backbone, config.kind)
    encoded = model.prepare(backbone.encode(task, examples, reporter=reporter))
    trained = train_expert(
        model,
        encoded,
        config.training(),
        reporter=reporter,
        series="single",
        checkpoint=checkpoint / "train.safetensors",
    )
    encoded_test = backbone.encode(task, test, reporter=reporter)
    reporter.phase("test", len(test))
    predictions = model.predict(trained.values, encoded_test, task, reporter=reporter)
    points = score(task.metric, predictions, [example.answer for example in test])
    reporter.metric("single", config.steps, {"score": points})
    spec = {"task": task.name, "kind": config.kind, "shots": config.shots, "seed": config.seed, "steps": config.steps}
    expert = make_expert(
        model,
        trained.values,
        name=config.expert_name,
        task=task.name,
        seed=config.seed,
        spec=spec,
        scores={"test": points},
    )
    save_expert(expert, model, workspace.new_expert_dir(config.kind, expert.name))
    return {**spec, "score": points, "expert": expert.name, "examples": len(examples)}


def embed(config: EmbedRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path) -> dict[str, Any]:
    """Embeds the zoo and compares its tasks. All of them, also where some are named: the common probe is their mean.

    Raises:
        BadInput: a task has no expert of that kind.
    """
    experts = workspace.expert_dirs(config.kind)
    for name in config.tasks:
        if name not in experts:
            raise unknown("expert", name, list(experts))
    tasks = [load_task(name, workspace) for name in experts]
    backbone = Backbone.load(workspace.backbone_dir())
    embed_zoo(workspace.root, backbone, config.kind, experts, tasks, reporter=reporter)
    return {"tasks": list(config.tasks or experts), "kind": config.kind}


JOBS: dict[str, Job] = {"tune": tune, "train": train, "embed": embed}
