"""Does the expert of one task help another? Every donor on every target, zero-shot and after a few steps on K shots.

All donors of a target, and the new expert that stands for "no donor", get the same shots, rate, steps and order, and
nothing is chosen: what differs is only where the training starts. (`pituning study lowshot` is where every method
chooses its own rate and steps.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.files import fingerprint
from pituning.backbones.precision import HALF, chosen_dtype
from pituning.experts.card import read_card
from pituning.experts.model import ExpertModel
from pituning.experts.store import open_expert
from pituning.progress import Reporter, Silent
from pituning.studies.config import TransferConfig
from pituning.studies.pool import side_by_side
from pituning.tasks.metrics import score
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.registry import TaskSource
from pituning.training.config import TrainConfig
from pituning.training.single import train_expert
from pituning.tuning.evaluation import first_or_drawn
from pituning.workspace.atomic import write_text
from pituning.workspace.transfer import COLUMNS, NO_DONOR, read_rows
from pituning.workspace.zoo import Zoo

SUITE = TaskSource()
"""The mini suite alone."""
DRAWN = "drawn"
"""In the spec of a cell whose test rows are drawn, as those of all tasks but the suite's are; see `first_or_drawn`."""


@dataclass(frozen=True)
class Cell:
    """One score: a donor on a target, after ``shots`` examples per class of ``seed``."""

    target: str
    donor: str
    shots: int
    seed: int


def transfer_cells(config: TransferConfig, donors: Sequence[str]) -> list[Cell]:
    """All cells of a study; without shots the seed makes no difference."""
    return [
        Cell(target, donor, shots, seed)
        for target in config.tasks
        for shots in config.shots
        for seed in (config.seeds if shots else config.seeds[:1])
        for donor in (NO_DONOR, *(name for name in donors if name != target))
    ]


def measure_transfer(
    zoo: Zoo,
    backbone_dir: Path,
    config: TransferConfig,
    reporter: Reporter | None = None,
    *,
    source: TaskSource = SUITE,
    processes: int = 2,
) -> pd.DataFrame:
    """Fills ``<kind>/results/transfer.csv`` of the zoo; scores whose spec has not changed are kept.

    Returns:
        The rows of the study's cells, ordered.

    Raises:
        ArtefactError: when an expert or the table is damaged.
        RunFailed: when a training diverges.
    """
    report = reporter or Silent()
    path = zoo.new_transfer_path(config.kind)
    specs = _specs(zoo, backbone_dir, config, source)
    known = {_cell(row): row for row in read_rows(zoo.transfer_path(config.kind)).to_dict("records")}
    missing = [cell for cell, spec in specs.items() if cell not in known or known[cell]["spec"] != spec]
    report.phase("measure transfer", len(specs))
    report.advance(len(specs) - len(missing))

    def keep(call: tuple[Any, ...], points: list[float]) -> None:
        for cell, value in zip(call[4], points, strict=True):
            known[cell] = {**cell.__dict__, "score": round(value, 2), "spec": specs[cell]}
        write_text(path, _table(known).to_csv(index=False))
        report.advance(len(points))

    # A process takes the cells of one target and one set of shots, which are then encoded once.
    groups: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in missing:
        groups.setdefault((cell.target, cell.shots, cell.seed), []).append(cell)
    calls = [(zoo, backbone_dir, config, source, tuple(cells)) for cells in groups.values()]
    side_by_side(_measure, calls, keep, processes=processes)
    return _table({cell: known[cell] for cell in specs})


def measure_cell(zoo: Zoo, backbone_dir: Path, config: TransferConfig, cell: Cell, source: TaskSource = SUITE) -> float:
    """The score of one cell, computed anew; in the same build of torch it is the same number."""
    return round(_measure(zoo, backbone_dir, config, source, (cell,))[0], 2)


def _measure(
    zoo: Zoo, backbone_dir: Path, config: TransferConfig, source: TaskSource, cells: Sequence[Cell]
) -> list[float]:
    torch.set_num_threads(1)
    backbone = Backbone.load(backbone_dir, name=zoo.backbone)
    model = ExpertModel(backbone, config.kind)
    task, shots, seed = source.load(cells[0].target), cells[0].shots, cells[0].seed
    test = first_or_drawn(task, config.test_examples)
    asked, gold = model.prepare(backbone.encode(task, test)), [example.answer for example in test]
    learned = model.prepare(backbone.encode(task, task.shots(shots, seed))) if shots else None
    settings = TrainConfig(
        steps=config.steps, batch_size=config.batch_size, learning_rate=config.rate(backbone.rate_factor), seed=seed
    )
    found = []
    for cell in cells:
        own, values = model, model.initial(seed)
        if cell.donor != NO_DONOR:
            expert, own = open_expert(zoo.expert_dir(config.kind, cell.donor), backbone)
            values = expert.values.to(model.device)
        if learned is not None:
            values = train_expert(own, learned, settings, start=values).values
        alone = cell.donor == NO_DONOR and learned is None
        answers = backbone.predict(asked, task) if alone else own.predict(values, asked, task)
        found.append(score(task.metric, answers, gold))
    return found


def _specs(zoo: Zoo, backbone_dir: Path, config: TransferConfig, source: TaskSource = SUITE) -> dict[Cell, str]:
    """Each cell's digest of everything that its score depends on."""
    backbone, experts = fingerprint(backbone_dir), zoo.expert_dirs(config.kind)
    # The suite's order where it is the suite, so that its rows stay what they are.
    everyone = [name for name in TASK_NAMES if name in experts] + [name for name in experts if name not in TASK_NAMES]
    cells = transfer_cells(config, everyone)
    named = {cell.donor for cell in cells} - {NO_DONOR}
    donors = {name: read_card(zoo.expert_dir(config.kind, name)).sha256 for name in named}
    factor, found = Backbone.places_of(backbone_dir).rate_factor, {}
    half = [HALF] if chosen_dtype() == HALF else []
    for cell in cells:
        trained = [config.steps, config.batch_size, config.rate(factor)] if cell.shots else []
        told = [
            config.kind, backbone, cell.target, source.version(cell.target), donors.get(cell.donor), cell.shots,
            cell.seed, trained, config.test_examples, *half, *([] if cell.target in TASK_NAMES else [DRAWN]),
        ]  # fmt: skip
        found[cell] = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
    return found


def _cell(row: dict[Any, Any]) -> Cell:
    return Cell(str(row["target"]), str(row["donor"]), int(row["shots"]), int(row["seed"]))


def _table(rows: dict[Cell, dict[Any, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    return frame.sort_values(["shots", "seed", "target", "donor"], ignore_index=True)
