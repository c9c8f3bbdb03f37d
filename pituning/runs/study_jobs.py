"""The work of runs on a whole zoo. This module needs torch: import it only where work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pituning.backbones.base import Backbone
from pituning.backbones.device import best_device
from pituning.backbones.precision import loading_as
from pituning.embedding.zoo import embed_zoo
from pituning.errors import ArtefactError, DiskFull
from pituning.experts.card import read_card
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter
from pituning.runs.configs import ProjectRun
from pituning.runs.projecting import map_zoo
from pituning.runs.study_configs import InProcesses, LowshotRun, TransferRun, ZooRun
from pituning.studies.built import is_built, is_embedded
from pituning.studies.config import ZooConfig
from pituning.studies.lowshot import Places, measure_lowshot, table_path
from pituning.studies.targets import suite_first, with_tasks
from pituning.studies.transfer import measure_transfer
from pituning.studies.zoo import train_zoo_expert
from pituning.tasks.guessing import document, guesses_of, mean_guess
from pituning.tasks.registry import TaskSource
from pituning.workspace.layout import Workspace
from pituning.workspace.transfer import NO_DONOR
from pituning.workspace.zoo import LEAST_TASKS, Zoo


def build(config: ZooRun, workspace: Workspace, reporter: Reporter, checkpoint: Path) -> dict[str, Any]:
    """Trains the missing experts of a zoo, then embeds, compares and maps all that it has.

    One expert after the other in this process, so that curves form and an interrupted training goes on.

    Args:
        checkpoint: a directory; where it holds the state of an interrupted training, that goes on.

    Raises:
        BadInput: a task or the backbone is unknown.
        ArtefactError: an expert or a task is damaged.
        RunFailed: a training diverged.
    """
    zoo, source = workspace.zoo(config.backbone), TaskSource(workspace)
    study = with_tasks(config.study(), zoo, source)
    for name in study.tasks:
        source.version(name)  # told at once where there is no such task
    with loading_as(config.dtype):
        backbone = Backbone.load(workspace.backbone_dir(config.backbone), name=config.backbone)
    trained, guesses = [], guesses_of(study.tasks, workspace)
    for name in study.tasks:
        if is_built(zoo, study, config.kind, name, backbone.fingerprint, source, factor=backbone.rate_factor):
            reporter.log(f"{name} has its expert already")
            continue
        points = _train(zoo, ExpertModel(backbone, config.kind), study, source, name, reporter, checkpoint)
        reporter.log(f"{name}: {points:.1f} points" + (f" ({guesses[name]})" if name in guesses else ""))
        trained.append(name)
    return {
        "kind": config.kind, "backbone": config.backbone, "trained": trained,
        "tasks": _embed(config, study, zoo, source, backbone, reporter, anew=bool(trained)),
        "scores": {name: read_card(zoo.expert_dir(config.kind, name)).scores.get("test") for name in study.tasks},
        "guesses": {name: document(guesses.get(name)) for name in study.tasks},
    }  # fmt: skip


def _train(
    zoo: Zoo, model: ExpertModel, study: ZooConfig, source: TaskSource, name: str, reporter: Reporter, checkpoint: Path
) -> float:
    task, path = source.load(name), checkpoint / f"{name}.safetensors"
    try:
        return train_zoo_expert(zoo, model, task, study, source, reporter=reporter, checkpoint=path)
    except ArtefactError as error:
        if isinstance(error, DiskFull) or not path.exists():
            raise
        reporter.log(f"{error}; the training starts anew")
        path.unlink()
        return train_zoo_expert(zoo, model, task, study, source, reporter=reporter, checkpoint=path)


def _embed(
    config: ZooRun,
    study: ZooConfig,
    zoo: Zoo,
    source: TaskSource,
    backbone: Backbone,
    reporter: Reporter,
    *,
    anew: bool,
) -> list[str]:
    """Embeds, compares and maps all tasks that have an expert; gives their names, none where they are too few."""
    experts = zoo.expert_dirs(config.kind)
    for name in experts:
        if not source.has(name):
            reporter.log(f"{name} is left out of the task graph: its examples are not here")
    names = suite_first(name for name in experts if source.has(name))
    if len(names) < LEAST_TASKS:
        reporter.log(f"{len(names)} tasks with an expert are too few for a task graph; it needs {LEAST_TASKS}")
        return []
    if anew or not is_embedded(zoo, config.kind, names):
        embed_zoo(
            zoo, backbone, config.kind, {name: experts[name] for name in names}, [source.load(name) for name in names],
            examples=study.fisher_examples, groups=study.fisher_groups, replicates=study.replicates, seed=study.seed,
            reporter=reporter,
        )  # fmt: skip
        map_zoo(ProjectRun(kind=config.kind, backbone=config.backbone), zoo, reporter)
    return list(names)


def transfer(config: TransferRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path) -> dict[str, Any]:
    """Measures what is missing of the transfer between tasks; what is measured already is kept.

    Raises:
        BadInput: a task, a donor or the backbone is unknown.
        ArtefactError: an expert or the table is damaged.
        RunFailed: a training diverged, or a process was killed.
    """
    zoo = workspace.zoo(config.backbone)
    with loading_as(config.dtype):
        frame = measure_transfer(
            zoo, workspace.backbone_dir(config.backbone), config, reporter, source=TaskSource(workspace),
            processes=_processes(config),
        )  # fmt: skip
    best, guesses = [], guesses_of(sorted(set(frame["target"])), workspace)
    for target, shots in sorted(set(zip(frame["target"], frame["shots"], strict=True))):
        rows = frame[(frame["target"] == target) & (frame["shots"] == shots)]
        means = rows.groupby("donor")["score"].mean()
        donors = means.drop(NO_DONOR)
        if len(donors):
            winner, alone = str(donors.idxmax()), float(means[NO_DONOR])
            best.append({"target": target, "shots": int(shots), "alone": round(alone, 2), "donor": winner,
                         "gain": round(float(donors[winner]) - alone, 2),
                         "guessing": document(guesses.get(target))})  # fmt: skip
    return {
        "kind": config.kind, "backbone": config.backbone, "targets": sorted(set(frame["target"])),
        "cells": len(frame), "table": str(zoo.new_transfer_path(config.kind)), "best": best,
    }  # fmt: skip


def lowshot(config: LowshotRun, workspace: Workspace, reporter: Reporter, _checkpoint: Path) -> dict[str, Any]:
    """Measures what is missing of the low-shot study; what is measured already is kept.

    Raises:
        BadInput: a task or the backbone is unknown.
        ArtefactError: an expert or the table is damaged.
        RunFailed: a process was killed.
    """
    zoo = workspace.zoo(config.backbone)
    places = Places(zoo=zoo, backbone=workspace.backbone_dir(config.backbone), workspace=workspace)
    with loading_as(config.dtype):
        frame = measure_lowshot(places, config, reporter, processes=_processes(config))
    means = pd.DataFrame(frame.groupby(["shots", "method"], as_index=False)["score"].mean())
    targets = sorted(set(frame["target"]))
    return {
        "kind": config.kind, "backbone": config.backbone, "targets": targets,
        "guessing": document(mean_guess(guesses_of(targets, workspace), targets)),
        "cells": len(frame), "table": str(table_path(zoo, config)),
        "means": means.round(2).to_dict("records"),
    }  # fmt: skip


def _processes(config: InProcesses) -> int:
    return config.processes_on(gpu=best_device().type == "cuda")
