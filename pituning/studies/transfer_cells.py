"""The cells of a study of transfer, and which of them are measured already. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pituning.backbones.precision import HALF, chosen_dtype
from pituning.experts.card import read_card
from pituning.registry import unknown
from pituning.studies.config import TransferConfig
from pituning.studies.targets import suite_first
from pituning.tasks.mini import TASK_NAMES
from pituning.tasks.registry import TaskSource
from pituning.workspace.transfer import NO_DONOR, read_rows
from pituning.workspace.zoo import Zoo

PHASE = "measure transfer"
DRAWN = "drawn"
"""In the spec of a cell whose test rows are drawn, as those of all tasks but the suite's are; see `first_or_drawn`."""
AT_ONCE = 5
"""Cells that are measured before their rows are written: what a kill may cost."""


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


def cell_specs(
    zoo: Zoo, config: TransferConfig, source: TaskSource, *, fingerprint: str, factor: float, dtype: str | None = None
) -> dict[Cell, str]:
    """Each cell's digest of everything that its score depends on.

    Args:
        config: with the tasks that it is about.
        fingerprint: the backbone's.
        factor: the backbone's `Places.rate_factor`.
        dtype: in which it will be loaded; left out, as this process loads backbones.

    Raises:
        BadInput: a donor has no expert, or there is no such task.
        ArtefactError: the card of an expert is damaged.
    """
    experts = zoo.expert_dirs(config.kind)
    for name in config.donor_names:
        if name not in experts:
            raise unknown("donor", name, list(experts), field="donor_names")
    cells = transfer_cells(config, suite_first(config.donor_names or experts))
    donors = {name: read_card(experts[name]).sha256 for name in {cell.donor for cell in cells} - {NO_DONOR}}
    versions = {name: source.version(name) for name in config.tasks}
    half = [HALF] if chosen_dtype(dtype) == HALF else []
    specs = {}
    for cell in cells:
        trained = [config.steps, config.batch_size, config.rate(factor)] if cell.shots else []
        parts = [
            config.kind, fingerprint, cell.target, versions[cell.target], donors.get(cell.donor), cell.shots,
            cell.seed, trained, config.test_examples, *half, *([] if cell.target in TASK_NAMES else [DRAWN]),
        ]  # fmt: skip
        specs[cell] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    return specs


def known_cells(zoo: Zoo, kind: str) -> dict[Cell, dict[Any, Any]]:
    """The rows of the table of transfer.

    Raises:
        ArtefactError: it is damaged.
    """
    return by_cell(read_rows(zoo.transfer_path(kind)))


def by_cell(table: pd.DataFrame) -> dict[Cell, dict[Any, Any]]:
    """The rows of a table of cells."""
    rows = table.to_dict("records")
    return {Cell(str(row["target"]), str(row["donor"]), int(row["shots"]), int(row["seed"])): row for row in rows}


def missing_cells(specs: Mapping[Cell, str], known: Mapping[Cell, Mapping[Any, Any]]) -> list[Cell]:
    """The cells that were not measured, or by another spec."""
    return [cell for cell, spec in specs.items() if cell not in known or known[cell]["spec"] != spec]


def grouped(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells of the same target, shots and seed together, in their order."""
    groups: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.target, cell.shots, cell.seed), []).append(cell)
    return list(groups.values())
