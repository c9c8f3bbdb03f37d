"""π-tuning against honest baselines on few shots: every method on every target, with several seeds.

A row is a method as `pituning.tuning.trial` trains it, without the guard; the guarded methods are worked out from the
rows (`pituning.studies.guarded`), so that what the guard does can be told apart from what the mixture does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.files import fingerprint
from pituning.backbones.precision import HALF, chosen_dtype
from pituning.errors import RunFailed
from pituning.experts.card import read_card
from pituning.progress import Reporter, Silent
from pituning.studies.config import LowshotConfig
from pituning.studies.targets import suite_first, with_tasks
from pituning.tasks.registry import TaskSource
from pituning.training.pool import side_by_side
from pituning.tuning import selection
from pituning.tuning.baselines import OWN
from pituning.tuning.config import BLIND, STEPS, is_trained
from pituning.tuning.donors import same_format_donors
from pituning.tuning.evaluation import Scores
from pituning.tuning.selection import Choice
from pituning.tuning.trial import Trial, prepare
from pituning.workspace.atomic import table_lock, write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.lowshot import COLUMNS, lowshot_csv, read_lowshot
from pituning.workspace.shots import ALL_SHOTS, shots_name
from pituning.workspace.zoo import Zoo

VERSION = 1
"""Of the methods: what was measured under another one is measured again."""

PHASE = "measure low-shot tuning"
AT_ONCE = 5
"""Methods that are measured before their rows are written: what a kill may cost."""

ALONE = ("backbone", "single", "full", "bitfit")
"""Methods that no donor has a part in."""


SUITE = TaskSource()
"""The mini suite alone."""


@dataclass(frozen=True)
class Cell:
    """One row: a method on a target with the shots of a seed."""

    target: str
    shots: int
    seed: int
    method: str


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a study finds what it needs.

    Args:
        zoo: whose experts lend; the table is among its results.
        backbone: the backbone's directory.
        workspace: keeps the embeddings that the prediction of donors needs.
    """

    zoo: Zoo
    backbone: Path
    workspace: Workspace

    @property
    def source(self) -> TaskSource:
        """Where the tasks are from."""
        return TaskSource(self.workspace)

    def experts(self, kind: str) -> dict[str, Path]:
        """The zoo's experts by task; where it has none, those of the workspace."""
        return self.zoo.expert_dirs(kind) or self.workspace.zoo(self.zoo.backbone).expert_dirs(kind)


def lowshot_cells(
    config: LowshotConfig, source: TaskSource = SUITE, lenders: Sequence[str] | None = None
) -> list[Cell]:
    """All cells of a study in the order of work: all targets with the first seed, then with the next.

    Without shots the seed makes no difference worth its time: one is enough.

    Args:
        lenders: the tasks whose experts can lend; left out, the targets themselves.
    """
    cells = []
    same_format = _with_same_format(config, source, config.tasks if lenders is None else lenders)
    for number, seed in enumerate(config.seeds):
        for shots in config.shots:
            for target in config.tasks:
                for method in config.methods_at(shots):
                    possible = not method.startswith("same-format") or target in same_format
                    if possible and (shots != 0 or number == 0):
                        cells.append(Cell(target, shots, seed, method))
    return cells


def table_path(zoo: Zoo, config: LowshotConfig) -> Path:
    """Where the rows of a study are written."""
    return zoo.new_lowshot_path(config.kind, _budget(config), vision_tower=config.vision_tower)


def read_path(zoo: Zoo, config: LowshotConfig) -> Path:
    """Where the rows of a study are read: as `table_path`, or those that ship."""
    return zoo.lowshot_path(config.kind, _budget(config), vision_tower=config.vision_tower)


def _budget(config: LowshotConfig) -> int | None:
    return None if config.steps == STEPS else config.steps


def measure_lowshot(
    places: Places, config: LowshotConfig, reporter: Reporter | None = None, *, processes: int = 2
) -> pd.DataFrame:
    """Fills `table_path`; rows whose spec has not changed are kept.

    A method whose training diverges at every rate has no row; the reporter is told.

    Returns:
        The rows of the study's cells, ordered.

    Raises:
        ArtefactError: when an expert or the table is damaged.
    """
    report = reporter or Silent()
    path = table_path(places.zoo, config)
    config = with_tasks(config, places.zoo, places.source)
    specs = lowshot_specs(places, config)
    known = _rows(read_path(places.zoo, config))
    missing = missing_cells(places, config, specs)
    if len(missing) < len(specs):
        report.log(f"{len(specs) - len(missing)} of {len(specs)} cells are measured already")
    report.phase(PHASE, len(missing))

    def keep(call: tuple[Any, ...], rows: list[dict[str, Any]]) -> None:
        measured = {_cell(row): {**row, "spec": specs[_cell(row)]} for row in rows}
        known.update(measured)
        for cell in call[2]:
            if cell not in measured:
                report.log(f"{cell.method} on {cell.target}, seed {cell.seed}, diverged at every learning rate")
        with table_lock(path):  # another run may have measured other cells meanwhile
            everything = _rows(read_path(places.zoo, config))
            write_text(path, lowshot_csv(_table({**everything, **measured})))
        report.advance(len(call[2]))

    # A process takes a few methods of one target and one set of shots, which are then encoded once for them.
    calls = [
        (places, config, tuple(cells[begin : begin + AT_ONCE]))
        for cells in _groups(missing)
        for begin in range(0, len(cells), AT_ONCE)
    ]
    side_by_side(measure_group, calls, keep, processes=processes, meanwhile=lambda: report.advance(0))
    return _table({cell: known[cell] for cell in specs if cell in known})


def missing_cells(places: Places, config: LowshotConfig, specs: Mapping[Cell, str]) -> list[Cell]:
    """The cells that were not measured, or by another spec."""
    known = _rows(read_path(places.zoo, config))
    return [cell for cell, spec in specs.items() if cell not in known or known[cell]["spec"] != spec]


def check_lowshot(places: Places, config: LowshotConfig, reporter: Reporter | None = None) -> list[str]:
    """Measures cells anew and compares them with the table, which stays as it is.

    Returns:
        A line for each cell that is not in the table or differs from it; on the same processor there is none.
    """
    report = reporter or Silent()
    known = _rows(read_path(places.zoo, config))
    specs = lowshot_specs(places, config)
    report.phase("measure again", len(specs))
    differences = []
    for cells in _groups(specs):
        found = {_cell(row): row for row in measure_group(places, config, cells)}
        for cell in cells:
            name = f"{cell.method} on {cell.target}, {shots_name(cell.shots)} shots, seed {cell.seed}"
            if cell not in known:
                differences.append(f"{name}: not in the table")
            elif known[cell]["spec"] != specs[cell]:
                differences.append(f"{name}: the table has it by another spec")
            elif cell not in found:
                differences.append(f"{name}: diverged, the table has {known[cell]['score']}")
            else:
                differences += [
                    f"{name}: {column} is {found[cell][column]}, the table has {known[cell][column]}"
                    for column in ("score", "steps", "donors")
                    if found[cell][column] != known[cell][column]
                ]
        report.advance(len(cells))
    return differences


def measure_group(places: Places, config: LowshotConfig, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Rows, without specs, of cells of one target and one set of shots; those that diverge are left out."""
    torch.set_num_threads(1)
    target, shots, seed = cells[0].target, cells[0].shots, cells[0].seed
    methods = [cell.method for cell in cells]
    settings = config.tuning(target, shots=shots, seed=seed, methods=methods, backbone=places.zoo.backbone)
    every = list(places.source.load(target).split("train")) if shots == ALL_SHOTS else None
    trial = prepare(
        settings, places.workspace, Silent(), backbone_dir=places.backbone, zoo_dirs=places.experts(config.kind),
        shots=every,
    )  # fmt: skip
    scores = Scores(trial.task, trial.test, seed=seed)
    common = {"target": target, "kind": config.kind, "shots": shots, "seed": seed}
    rows = []
    for method in methods:
        try:
            rows.append({**common, **measure(trial, method, scores, zero_shot=shots == 0)})
        except RunFailed:
            continue
    return rows


def measure(trial: Trial, method: str, scores: Scores, *, zero_shot: bool = False) -> dict[str, Any]:
    """One method on a target made ready: what was chosen, and the test score.

    Args:
        scores: of the trial's test examples.
        zero_shot: there are no shots, so nothing is held out.

    Raises:
        RunFailed: when the training diverges.
    """
    choice, state = Choice(learning_rate=0.0, steps=0, loss=None, curve={}), None
    if method != "backbone":
        if not zero_shot:
            choice = trial.choose(method, Silent())
        state = trial.train(method, choice, Silent())
    names = getattr(trial.methods.learner(method), "names", ()) if method not in ALONE else ()
    return {
        "method": method,
        "score": scores.add(method, trial.answer(method, state, Silent())),
        "held_out_loss": choice.loss,
        "held_out": 0 if choice.loss is None else trial.held_out,
        "learning_rate": choice.learning_rate,
        "steps": choice.steps,
        "donors": "+".join(name for name in names if name != OWN),
        "test_examples": len(trial.test),
    }


def lowshot_specs(places: Places, config: LowshotConfig) -> dict[Cell, str]:
    """Each cell's digest of everything that its row depends on."""
    backbone, factor = fingerprint(places.backbone), Backbone.places_of(places.backbone).rate_factor
    experts = {name: read_card(path).sha256 for name, path in sorted(places.experts(config.kind).items())}
    found = {}
    config, source = with_tasks(config, places.zoo, places.source), places.source
    lenders = suite_first(name for name in experts if source.knows(name))
    for cell in lowshot_cells(config, source, lenders):
        settings = config.tuning(cell.target, shots=cell.shots, seed=cell.seed)
        # Donors are predicted at the mean of the zoo's experts: all of them matter wherever one takes part.
        zoo = {name: digest for name, digest in experts.items() if name != cell.target}
        told: dict[str, Any] = {
            "version": VERSION, "backbone": backbone, "task": places.source.version(cell.target), **vars(cell),
            "kind": config.kind, "test_examples": config.test_examples, "zoo": {} if cell.method in ALONE else zoo,
            "donors": settings.donors,
        }  # fmt: skip
        if chosen_dtype() == HALF:
            told["dtype"] = HALF
        if cell.shots:
            told["folds"] = settings.folds
        if cell.shots and is_trained(cell.method):
            told |= {
                "choice": selection.VERSION, "steps": settings.steps, "batch_size": settings.batch_size,
                "rates": settings.rates(cell.method, factor),
                "alpha_start": settings.alpha_start, "alpha_rate": settings.alpha_rate,
                "freeze_experts": settings.freeze_experts,
            }  # fmt: skip
            if config.vision_tower and cell.method not in BLIND:
                told["vision_tower"] = True
        found[cell] = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    return found


def _with_same_format(config: LowshotConfig, source: TaskSource, lenders: Sequence[str]) -> set[str]:
    """The targets for which any lender answers in the target's form without being a relative."""
    if not any(method.startswith("same-format") for method in config.methods):
        return set()
    tasks = {name: source.load(name) for name in {*lenders, *config.tasks}}
    return {
        target
        for target in config.tasks
        if same_format_donors(tasks[target], [tasks[name] for name in lenders if name != target], 0)
    }


def _cell(row: Mapping[Any, Any]) -> Cell:
    return Cell(str(row["target"]), int(row["shots"]), int(row["seed"]), str(row["method"]))


def _groups(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells of the same target, shots and seed together, in their order."""
    groups: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.target, cell.shots, cell.seed), []).append(cell)
    return list(groups.values())


def _rows(path: Path) -> dict[Cell, dict[Any, Any]]:
    return {_cell(row): dict(row) for row in read_lowshot(path).to_dict("records")}


def _table(rows: Mapping[Cell, Mapping[Any, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS)).astype({"held_out_loss": float})
    return frame.sort_values(["shots", "seed", "target", "method"], ignore_index=True)
