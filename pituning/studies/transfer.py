"""Does the expert of one task help another? Every donor on every target, zero-shot and after a few steps on K shots.

All donors of a target, and the new expert that stands for "no donor", get the same shots, rate, steps and order, and
nothing is chosen: what differs is only where the training starts. (`pituning study lowshot` is where every method
chooses its own rate and steps.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.files import fingerprint
from pituning.experts.model import ExpertModel
from pituning.experts.store import open_expert
from pituning.progress import Reporter, Silent
from pituning.studies.config import TransferConfig
from pituning.studies.targets import with_tasks
from pituning.studies.transfer_cells import (
    AT_ONCE,
    PHASE,
    Cell,
    cell_specs,
    grouped,
    known_cells,
    missing_cells,
)
from pituning.tasks.metrics import score
from pituning.tasks.registry import TaskSource
from pituning.training.config import TrainConfig
from pituning.training.pool import side_by_side
from pituning.training.single import train_expert
from pituning.tuning.evaluation import first_or_drawn
from pituning.workspace.atomic import table_lock, write_text
from pituning.workspace.transfer import COLUMNS, NO_DONOR
from pituning.workspace.zoo import Zoo

SUITE = TaskSource()
"""The mini suite alone."""


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
    config = with_tasks(config, zoo, source)
    path = zoo.new_transfer_path(config.kind)
    factor = Backbone.places_of(backbone_dir).rate_factor
    specs = cell_specs(zoo, config, source, fingerprint=fingerprint(backbone_dir), factor=factor)
    known = known_cells(zoo, config.kind)
    missing = missing_cells(specs, known)
    if len(missing) < len(specs):
        report.log(f"{len(specs) - len(missing)} of {len(specs)} cells are measured already")
    report.phase(PHASE, len(missing))

    def keep(call: tuple[Any, ...], points: list[float]) -> None:
        measured = zip(call[4], points, strict=True)
        rows = {cell: {**vars(cell), "score": round(value, 2), "spec": specs[cell]} for cell, value in measured}
        known.update(rows)
        with table_lock(path):  # another run may have measured other cells meanwhile
            write_text(path, _table({**known_cells(zoo, config.kind), **rows}).to_csv(index=False))
        report.advance(len(points))

    # A process takes a few cells of one target and one set of shots, which are then encoded once for them.
    calls = [
        (zoo, backbone_dir, config, source, tuple(cells[begin : begin + AT_ONCE]))
        for cells in grouped(missing)
        for begin in range(0, len(cells), AT_ONCE)
    ]
    side_by_side(_measure, calls, keep, processes=processes, meanwhile=lambda: report.advance(0))
    return _table({cell: known[cell] for cell in specs})


def measure_cell(zoo: Zoo, backbone_dir: Path, config: TransferConfig, cell: Cell, source: TaskSource = SUITE) -> float:
    """The score of one cell, computed anew; in the same build of torch it is the same number."""
    return round(_measure(zoo, backbone_dir, config, source, (cell,))[0], 2)


@lru_cache(maxsize=1)
def _backbone(directory: Path, name: str) -> Backbone:
    """Loaded once for all that a process measures."""
    return Backbone.load(directory, name=name)


def _measure(
    zoo: Zoo, backbone_dir: Path, config: TransferConfig, source: TaskSource, cells: Sequence[Cell]
) -> list[float]:
    torch.set_num_threads(1)
    backbone = _backbone(backbone_dir, zoo.backbone)
    model = ExpertModel(backbone, config.kind)
    task, shots, seed = source.load(cells[0].target), cells[0].shots, cells[0].seed
    test = first_or_drawn(task, config.test_examples)
    asked, gold = model.prepare(backbone.encode(task, test)), [example.gold for example in test]
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


def _table(rows: dict[Cell, dict[Any, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    return frame.sort_values(["shots", "seed", "target", "donor"], ignore_index=True)
