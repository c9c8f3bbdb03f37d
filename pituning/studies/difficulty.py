"""How hard each task of the suite is: the backbone alone, one expert on 16 shots, one on all training examples.

A task can only show transfer when few shots are clearly too few and the full data is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch

from pituning.backbones.base import Backbone
from pituning.experts.card import read_card
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent
from pituning.tasks.metrics import chance, score
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.training.config import TrainConfig
from pituning.tuning.baselines import Cast
from pituning.tuning.config import TuneConfig
from pituning.tuning.interpolation import Mixture
from pituning.tuning.selection import choose, make_folds, train
from pituning.workspace.atomic import write_text

COLUMNS = ("task", "kind", "method", "shots", "seed", "score", "backbone")


def low_shot_single(backbone: Backbone, name: str, *, kind: str, shots: int, seed: int, limit: int = 1000) -> float:
    """Test score, in points, of a single new expert on K shots per class.

    Learning rate and steps are chosen by cross-validation on the shots, as in every low-shot run.
    """
    config = TuneConfig(target=name, kind=kind, shots=shots, seed=seed)
    task, model = mini_task(name), ExpertModel(backbone, kind)
    examples = task.shots(shots, seed)
    cast = Cast(
        config=config,
        backbone=backbone,
        mixture=Mixture(model, backbone),
        own=model.initial(0),
        zoo={},
        donors=(),
        similarity={},
    )
    learner, encoded = cast.learner("single"), model.prepare(backbone.encode(task, examples))
    settings = TrainConfig(steps=config.steps, batch_size=config.batch_size, warmup=config.steps // 10, seed=seed)
    folds = make_folds([e.answer for e in examples], closed=task.labels is not None, count=config.folds, seed=seed)
    choice = choose(learner, encoded, folds, config.rates("single"), settings, method="single", reporter=Silent())
    state = train(learner, encoded, choice, settings, method="single", reporter=Silent())
    test = list(task.split("test")[:limit])
    answers = learner.predict(state, model.prepare(backbone.encode(task, test)), task, Silent())
    return score(task.metric, answers, [e.answer for e in test])


def backbone_alone(backbone: Backbone, name: str, *, limit: int = 1000) -> float:
    """Test score, in points, of the backbone without any expert."""
    task = mini_task(name)
    test = list(task.split("test")[:limit])
    return score(task.metric, backbone.predict(backbone.encode(task, test), task), [e.answer for e in test])


def measure_difficulty(
    directory: Path,
    backbone_dir: Path,
    *,
    kind: str = "lora",
    shots: int = 16,
    seeds: Sequence[int] = (0,),
    reporter: Reporter | None = None,
    processes: int = 2,
) -> pd.DataFrame:
    """Fills ``directory/results/suite.csv``, one row per cell; cells of the same backbone are not measured again."""
    report = reporter or Silent()
    path = directory / "results" / "suite.csv"
    fingerprint = Backbone.load(backbone_dir).fingerprint[:12]
    frame = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))
    frame = frame[frame["backbone"] == fingerprint]
    rows = frame.to_dict("records")
    done = {(row["task"], row["method"], row["kind"], row["seed"]) for row in rows}
    cells = [(task, "single", kind, seed) for task in TASK_NAMES for seed in seeds]
    cells += [(task, "backbone", "", 0) for task in TASK_NAMES]
    report.phase("measure the suite", len(cells))
    report.advance(sum(cell in done for cell in cells))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_measure, backbone_dir, cell, shots): cell for cell in cells if cell not in done}
        for finished in as_completed(waiting):
            task, method, of_kind, seed = waiting[finished]
            rows.append(
                {
                    "task": task,
                    "kind": of_kind,
                    "method": method,
                    "shots": shots if method == "single" else 0,
                    "seed": seed,
                    "score": round(finished.result(), 2),
                    "backbone": fingerprint,
                }
            )
            report.advance()
            frame = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["method", "task", "kind", "seed"])
            write_text(path, frame.to_csv(index=False))
    return frame


def _measure(backbone_dir: Path, cell: tuple[str, str, str, int], shots: int) -> float:
    torch.set_num_threads(1)
    task, method, kind, seed = cell
    backbone = Backbone.load(backbone_dir)
    if method == "backbone":
        return backbone_alone(backbone, task)
    return low_shot_single(backbone, task, kind=kind, shots=shots, seed=seed)


def suite_table(directory: Path, kinds: Sequence[str] = ("lora", "bottleneck", "prefix")) -> pd.DataFrame:
    """One row per task: chance, backbone alone, 16-shot single expert (mean over seeds), full data by kind."""
    path = directory / "results" / "suite.csv"
    cells = pd.read_csv(path)
    rows = []
    for name in TASK_NAMES:
        task, mine = mini_task(name), cells[cells["task"] == name]
        single = mine[mine["method"] == "single"]["score"]
        row: dict[str, object] = {
            "task": name,
            "modality": task.modality,
            "metric": task.metric,
            "chance": round(chance(task), 1),
            "backbone": float(mine[mine["method"] == "backbone"]["score"].mean()),
            "16-shot": round(float(single.mean()), 1),
        }
        for kind in kinds:
            row[f"full {kind}"] = read_card(directory / "experts" / kind / name).scores["test"]
        rows.append(row)
    return pd.DataFrame(rows)
