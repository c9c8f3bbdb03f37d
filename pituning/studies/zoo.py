"""Builds everything that ships in `data/zoos/mini`: experts, embeddings, similarities, measured scores.

Resumable: what is there and belongs to the same backbone and recipe is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pituning.backbones.base import Backbone
from pituning.embedding.zoo import embed_zoo, embedded_examples
from pituning.experts.keeping import check_not_imported
from pituning.experts.model import ExpertModel
from pituning.experts.store import load_expert, make_expert, save_expert
from pituning.labelling.calibrating import calibrate
from pituning.progress import Reporter, Silent
from pituning.studies.built import SUITE, expert_spec, is_built
from pituning.studies.config import ZooConfig
from pituning.studies.targets import with_tasks
from pituning.tasks.base import Task
from pituning.tasks.metrics import score
from pituning.tasks.registry import TaskSource
from pituning.training.config import TrainConfig
from pituning.training.pool import side_by_side
from pituning.training.single import train_expert
from pituning.tuning.evaluation import first_or_drawn
from pituning.workspace.zoo import Zoo

CHECKPOINT_EVERY = 25
"""Steps between checkpoints, where one is kept: what a kill may cost."""


def build_experts(
    zoo: Zoo,
    backbone_dir: Path,
    config: ZooConfig,
    reporter: Reporter | None = None,
    *,
    source: TaskSource = SUITE,
    processes: int = 2,
) -> None:
    """Trains the missing experts into ``<kind>/experts/<task>`` of the zoo, tasks side by side in ``processes``."""
    report = reporter or Silent()
    config = with_tasks(config, zoo, source)
    for name in config.tasks:
        source.version(name)  # told at once where there is no such task
    backbone = Backbone.load(backbone_dir, device="cpu")
    missing = [
        (kind, task)
        for task in config.tasks
        for kind in config.kinds
        if not is_built(zoo, config, kind, task, backbone.fingerprint, source, factor=backbone.rate_factor)
    ]
    del backbone  # the processes load their own
    report.phase("train experts", len(missing))
    jobs: dict[str, list[str]] = {}
    for kind, task in missing:
        jobs.setdefault(task, []).append(kind)

    def tell(_call: tuple[object, ...], lines: list[str]) -> None:
        for line in lines:
            report.log(line)
            report.advance()

    # One process per task at a time: its examples are drawn and encoded once for all kinds.
    calls = [(zoo, backbone_dir, config, source, task, tuple(kinds)) for task, kinds in jobs.items()]
    side_by_side(_train_task, calls, tell, processes=processes)


def build_embeddings(
    zoo: Zoo,
    backbone_dir: Path,
    config: ZooConfig,
    reporter: Reporter | None = None,
    *,
    source: TaskSource = SUITE,
    processes: int = 2,
) -> None:
    """Embeds the zoo and compares its tasks, kinds side by side in ``processes``."""
    report = reporter or Silent()
    config = with_tasks(config, zoo, source)
    report.phase("embed the zoo", len(config.kinds))
    calls = [(zoo, backbone_dir, config, source, kind) for kind in config.kinds]
    side_by_side(_embed_kind, calls, lambda _call, _none: report.advance(), processes=processes)


def _embed_kind(zoo: Zoo, backbone_dir: Path, config: ZooConfig, source: TaskSource, kind: str) -> None:
    torch.set_num_threads(1)
    embed_zoo(
        zoo,
        Backbone.load(backbone_dir, name=zoo.backbone),
        kind,
        {task: zoo.expert_dir(kind, task) for task in config.tasks},
        [source.load(task) for task in config.tasks],
        examples=config.fisher_examples,
        groups=config.fisher_groups,
        replicates=config.replicates,
        seed=config.seed,
    )


def build_zoo(
    zoo: Zoo,
    backbone_dir: Path,
    config: ZooConfig,
    reporter: Reporter | None = None,
    *,
    source: TaskSource = SUITE,
    processes: int = 2,
) -> None:
    """Makes what is missing of a zoo: experts with their test scores, embeddings, similarities."""
    build_experts(zoo, backbone_dir, config, reporter, source=source, processes=processes)
    build_embeddings(zoo, backbone_dir, config, reporter, source=source, processes=processes)


def _train_task(
    zoo: Zoo, backbone_dir: Path, config: ZooConfig, source: TaskSource, name: str, kinds: Sequence[str]
) -> list[str]:
    torch.set_num_threads(1)
    backbone, task = Backbone.load(backbone_dir, name=zoo.backbone), source.load(name)
    lines = []
    for kind in kinds:
        model = ExpertModel(backbone, kind)
        score_ = train_zoo_expert(zoo, model, task, config, source)
        lines.append(f"{kind} {name}: {score_:.1f}")
    return lines


def train_zoo_expert(
    zoo: Zoo,
    model: ExpertModel,
    task: Task,
    config: ZooConfig,
    source: TaskSource = SUITE,
    *,
    reporter: Reporter | None = None,
    checkpoint: Path | None = None,
) -> float:
    """Trains one expert of the zoo on its whole training split, saves it, returns its test score in points.

    Args:
        checkpoint: a file; where it holds the state of an interrupted training, that goes on.
    """
    backbone, report = model.backbone, reporter or Silent()
    target = zoo.new_expert_dir(model.kind, task.name)
    check_not_imported(target)
    training = TrainConfig(
        steps=config.steps_of(model.kind),
        batch_size=config.batch_size,
        learning_rate=config.rate_of(model.kind, backbone.rate_factor),
        seed=config.seed,
        checkpoint_every=CHECKPOINT_EVERY,
    )
    most = config.train_examples
    examples = task.split("train") if most is None else embedded_examples(task, most, config.seed)
    encoded = model.prepare(backbone.encode(task, examples, reporter=reporter))
    trained = train_expert(model, encoded, training, reporter=reporter, series=task.name, checkpoint=checkpoint)
    spec = expert_spec(config, model.kind, task.name, source, factor=backbone.rate_factor)
    expert = make_expert(model, trained.values, name=task.name, task=task.name, seed=config.seed, spec=spec)
    # Scored as it ships: rounded to float16.
    expert = replace(expert, values=expert.values.half().float())
    test = first_or_drawn(task, config.test_examples)
    asked = backbone.encode(task, test, reporter=reporter)
    report.phase(f"test {task.name}", len(test))
    answers = model.predict(expert.values, asked, task, reporter=reporter)
    points = score(task.metric, answers, [example.gold for example in test])
    calibrated = calibrate(model, expert.values, task, test=test, reporter=report)
    expert = replace(expert, card=replace(expert.card, scores={"test": round(points, 2)}, **calibrated))
    save_expert(expert, model, target, half=True)
    load_expert(target, model)
    return points
