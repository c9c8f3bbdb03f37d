"""How hard each task of the suite is: the backbone alone, one expert on 16 shots, one on all training examples.

A task can only show transfer when few shots are clearly too few and the full data is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pandas as pd
import torch

from pituning.backbones.base import Backbone
from pituning.experts.card import read_card
from pituning.experts.kinds import in_order
from pituning.experts.model import ExpertModel
from pituning.pretraining.architecture import save_untrained
from pituning.progress import Reporter, Silent
from pituning.tasks.metrics import guessing, score
from pituning.tasks.mini import TASK_NAMES, mini_task, task_version
from pituning.training.config import TrainConfig
from pituning.training.pool import side_by_side
from pituning.tuning.baselines import Methods
from pituning.tuning.config import TuneConfig
from pituning.tuning.interpolation import Mixture
from pituning.tuning.selection import choose, make_folds, train
from pituning.workspace.atomic import write_text
from pituning.workspace.zoo import Zoo

COLUMNS = ("task", "method", "kind", "shots", "seed", "score", "backbone", "suite")
SUITE_FILE = "suite.csv"
"""Among the results of a zoo, how hard the tasks are."""


def low_shot_single(backbone: Backbone, name: str, *, kind: str, shots: int, seed: int, limit: int = 1000) -> float:
    """Test score, in points, of a single new expert on K shots per class.

    Learning rate and steps are chosen by cross-validation on the shots, as in every low-shot run.
    """
    config = TuneConfig(target=name, kind=kind, shots=shots, seed=seed)
    task, model = mini_task(name), ExpertModel(backbone, kind)
    examples = task.shots(shots, seed)
    methods = Methods(
        config=config,
        backbone=backbone,
        mixture=Mixture(model),
        own=model.initial(0),
        zoo={},
        donors=(),
        similarity={},
        task=task,
        task_of=mini_task,
    )
    learner, encoded = methods.learner("single"), model.prepare(backbone.encode(task, examples))
    settings = TrainConfig(steps=config.steps, batch_size=config.batch_size, warmup=config.steps // 10, seed=seed)
    folds = make_folds([e.answer for e in examples], closed=task.labels is not None, count=config.folds, seed=seed)
    choice = choose(learner, encoded, folds, config.rates("single"), settings, method="single", reporter=Silent())
    state = train(learner, encoded, choice, settings, method="single", reporter=Silent())
    test = list(task.split("test")[:limit])
    answers = learner.predict(state, model.prepare(backbone.encode(task, test)), task, Silent())
    return score(task.metric, answers, [e.gold for e in test])


def backbone_alone(backbone: Backbone, name: str, *, limit: int = 1000) -> float:
    """Test score, in points, of the backbone without any expert."""
    task = mini_task(name)
    test = list(task.split("test")[:limit])
    return score(task.metric, backbone.predict(backbone.encode(task, test), task), [e.gold for e in test])


@dataclass(frozen=True)
class Cell:
    """One measurement: ``backbone`` alone, one expert on the shots (``single``), or that on a random backbone."""

    task: str
    method: Literal["backbone", "single", "single on random weights"]
    kind: str
    shots: int
    seed: int


def difficulty_cells(
    tasks: Sequence[str], *, kind: str = "lora", shots: int = 16, seeds: Sequence[int] = (0, 1, 2)
) -> list[Cell]:
    """What says how hard the tasks are, and whether pretraining helps (that with the first seed alone)."""
    cells = [Cell(task, "backbone", "", 0, 0) for task in tasks]
    cells += [Cell(task, "single", kind, shots, seed) for seed in seeds for task in tasks]
    cells += [Cell(task, "single on random weights", kind, shots, seeds[0]) for task in tasks]
    return cells


def measure_difficulty(
    zoo: Zoo, backbone_dir: Path, cells: Sequence[Cell], reporter: Reporter | None = None, *, processes: int = 2
) -> pd.DataFrame:
    """Fills ``results/suite.csv`` of the zoo, one row per cell; those of the same backbone and task stay."""
    report = reporter or Silent()
    known, path = zoo.result_path(SUITE_FILE), zoo.new_result_path(SUITE_FILE)
    fingerprint = Backbone.load(backbone_dir, device="cpu").fingerprint[:12]
    frame = pd.read_csv(known, keep_default_na=False) if known.exists() else pd.DataFrame(columns=list(COLUMNS))
    fitting = (frame["backbone"] == fingerprint) & (frame["suite"].astype(str) == frame["task"].map(task_version))
    rows: list[Any] = frame[fitting].to_dict("records")
    done = {Cell(r["task"], r["method"], r["kind"], int(r["shots"]), int(r["seed"])) for r in rows}
    missing = [cell for cell in cells if cell not in done]
    report.phase("measure the suite", len(cells))
    report.advance(len(cells) - len(missing))

    def keep(call: tuple[Any, ...], points: float) -> None:
        cell = call[1]
        measured = {"score": round(points, 2), "backbone": fingerprint, "suite": task_version(cell.task)}
        rows.append({**asdict(cell), **measured})
        frame = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["method", "task", "kind", "seed"])
        write_text(path, frame.to_csv(index=False))
        report.advance()

    side_by_side(_measure, [(backbone_dir, cell) for cell in missing], keep, processes=processes)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measure(backbone_dir: Path, cell: Cell) -> float:
    torch.set_num_threads(1)
    if cell.method == "single on random weights":
        with TemporaryDirectory() as folder:
            save_untrained(backbone_dir, Path(folder), seed=cell.seed)
            return low_shot_single(
                Backbone.load(Path(folder)), cell.task, kind=cell.kind, shots=cell.shots, seed=cell.seed
            )
    backbone = Backbone.load(backbone_dir)
    if cell.method == "backbone":
        return backbone_alone(backbone, cell.task)
    return low_shot_single(backbone, cell.task, kind=cell.kind, shots=cell.shots, seed=cell.seed)


def suite_table(zoo: Zoo, kinds: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per task, scores in points: chance, backbone alone, a single expert on few shots (mean over seeds) of
    the pretrained and of the random backbone, and the zoo's experts of each kind on all training examples.

    Args:
        kinds: by default all that the zoo has.
    """
    cells = pd.read_csv(zoo.result_path(SUITE_FILE), keep_default_na=False)
    rows = []
    for name in TASK_NAMES:
        task, mine = mini_task(name), cells[cells["task"] == name].groupby("method")["score"].mean()
        guessed = guessing(task)
        row: dict[str, object] = {
            "task": name,
            "metric": task.metric,
            "chance": math.nan if guessed is None else guessed.chance,
            "backbone alone": mine.get("backbone", math.nan),
            "16 shots, random weights": mine.get("single on random weights", math.nan),
            "16 shots": mine.get("single", math.nan),
        }
        for kind in in_order(zoo.kinds()) if kinds is None else kinds:
            row[f"full, {kind}"] = read_card(zoo.expert_dir(kind, name)).scores["test"]
        rows.append(row)
    return pd.DataFrame(rows)
