"""Does the expert of one task help another? Every donor on every target, zero-shot and after a few steps on K shots.

All donors of a target, and the new expert that stands for "no donor", get the same shots, rate, steps and order, and
nothing is chosen: what differs is only where the training starts. (`pituning study lowshot` is where every method
chooses its own rate and steps.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
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
from pituning.tasks.base import Example
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

    def call_for(cells: Sequence[Cell]) -> Call:
        return zoo, backbone_dir, config, source, tuple(cells)

    known = fill_table(
        path,
        specs,
        lambda: known_cells(zoo, config.kind),
        COLUMNS,
        _measure,
        call_for,
        report,
        phase=PHASE,
        processes=processes,
    )
    return table_of(known, COLUMNS)


Call = tuple[Zoo, Path, TransferConfig, TaskSource, tuple[Cell, ...]]
"""What a process is told: the last part is what it measures."""


def fill_table(
    path: Path,
    specs: Mapping[Cell, str],
    known_now: Callable[[], dict[Cell, dict[Any, Any]]],
    columns: Sequence[str],
    measure: Callable[..., Sequence[Sequence[float]]],
    call_for: Callable[[Sequence[Cell]], Call],
    report: Reporter,
    *,
    phase: str,
    processes: int,
) -> dict[Cell, dict[Any, Any]]:
    """Measures the cells that a table has not, or by another spec, and writes them as they come.

    Args:
        known_now: reads what the table has by now.
        columns: of the table: those of a cell, then one for each value, then ``spec``.
        measure: of a call, the values of each of its cells; done in a process of its own.
        call_for: what it is told of some cells of one target and one set of shots.

    Returns:
        The rows of the cells.
    """
    known = known_now()
    missing = missing_cells(specs, known)
    if len(missing) < len(specs):
        report.log(f"{len(specs) - len(missing)} of {len(specs)} cells are measured already")
    report.phase(phase, len(missing))
    names = columns[len(fields(Cell)) : -1]

    def keep(call: Call, values: Sequence[Sequence[float]]) -> None:
        rows = {
            cell: {**vars(cell), **dict(zip(names, found, strict=True)), "spec": specs[cell]}
            for cell, found in zip(call[-1], values, strict=True)
        }
        known.update(rows)
        with table_lock(path):  # another run may have measured other cells meanwhile
            write_text(path, table_of({**known_now(), **rows}, columns).to_csv(index=False))
        report.advance(len(rows))

    # A process takes a few cells of one target and one set of shots, which are then encoded once for them.
    calls = [
        call_for(cells[begin : begin + AT_ONCE])
        for cells in grouped(missing)
        for begin in range(0, len(cells), AT_ONCE)
    ]
    side_by_side(measure, calls, keep, processes=processes, meanwhile=lambda: report.advance(0))
    return {cell: known[cell] for cell in specs}


def measure_cell(zoo: Zoo, backbone_dir: Path, config: TransferConfig, cell: Cell, source: TaskSource = SUITE) -> float:
    """The score of one cell, computed anew; in the same build of torch it is the same number."""
    return _measure(zoo, backbone_dir, config, source, (cell,))[0][0]


@lru_cache(maxsize=1)
def backbone_of(directory: Path, name: str) -> Backbone:
    """Loaded once for all that a process measures."""
    return Backbone.load(directory, name=name)


def _measure(
    zoo: Zoo, backbone_dir: Path, config: TransferConfig, source: TaskSource, cells: Sequence[Cell]
) -> list[list[float]]:
    torch.set_num_threads(1)
    backbone = backbone_of(backbone_dir, zoo.backbone)
    model = ExpertModel(backbone, config.kind)
    task, shots, seed = source.load(cells[0].target), cells[0].shots, cells[0].seed
    test = first_or_drawn(task, config.test_examples)
    gold = [example.gold for example in test]

    @lru_cache
    def encoded(sees: bool) -> tuple[EncodedExamples, EncodedExamples | None]:
        """What is asked and what is learned from, with pixels for donors that act in the vision tower."""

        def encode(examples: Sequence[Example]) -> EncodedExamples:
            return model.prepare(backbone.encode(task, examples, keep_pixels=sees))

        return encode(test), encode(task.shots(shots, seed)) if shots else None

    settings = TrainConfig(
        steps=config.steps, batch_size=config.batch_size, learning_rate=config.rate(backbone.rate_factor), seed=seed
    )
    found = []
    for cell in cells:
        own, values = model, model.initial(seed)
        if cell.donor != NO_DONOR:
            expert, own = open_expert(zoo.expert_dir(config.kind, cell.donor), backbone)
            values = expert.values.to(model.device)
        asked, learned = encoded(own.sees)
        if learned is not None:
            values = train_expert(own, learned, settings, start=values).values
        alone = cell.donor == NO_DONOR and learned is None
        answers = backbone.predict(asked, task) if alone else own.predict(values, asked, task)
        found.append([round(score(task.metric, answers, gold), 2)])
    return found


def table_of(rows: Mapping[Cell, Mapping[Any, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows in the order of shots, seeds, targets and donors."""
    frame = pd.DataFrame(list(rows.values()), columns=list(columns))
    return frame.sort_values(["shots", "seed", "target", "donor"], ignore_index=True)
