"""What a short probe of every donor says of every target, so that it can be graded against measured transfer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.backbones.files import fingerprint
from pituning.experts.model import ExpertModel
from pituning.experts.store import open_expert
from pituning.progress import Reporter, Silent
from pituning.studies.config import ShortProbeConfig, TransferConfig
from pituning.studies.targets import with_tasks
from pituning.studies.transfer import SUITE, Call, backbone_of, fill_table, table_of
from pituning.studies.transfer_cells import Cell, by_cell, cell_specs
from pituning.tasks.registry import TaskSource
from pituning.tuning.short_probe import BATCH_SIZE, STEPS, halves, short_probe
from pituning.workspace.short_probe import COLUMNS, FILE, read_rows
from pituning.workspace.transfer import NO_DONOR
from pituning.workspace.zoo import Zoo

PHASE = "probe donors"


def measure_short_probes(
    zoo: Zoo,
    backbone_dir: Path,
    config: ShortProbeConfig,
    reporter: Reporter | None = None,
    *,
    source: TaskSource = SUITE,
) -> pd.DataFrame:
    """Fills ``<kind>/results/short-probe.csv`` of the zoo; rows whose spec has not changed are kept.

    Raises:
        ArtefactError: when an expert or the table is damaged.
        RunFailed: when a training diverges.
    """
    asked = TransferConfig(
        kind=config.kind, tasks=config.tasks, shots=(config.shots,), seeds=config.seeds, steps=STEPS,
        batch_size=BATCH_SIZE,
    )  # fmt: skip
    budget = with_tasks(asked, zoo, source)
    path = zoo.new_result_path(FILE, config.kind)
    factor = Backbone.places_of(backbone_dir).rate_factor
    specs = cell_specs(zoo, budget, source, fingerprint=fingerprint(backbone_dir), factor=factor)

    def call_for(cells: Sequence[Cell]) -> Call:
        return zoo, backbone_dir, budget, source, tuple(cells)

    rows = fill_table(
        path, specs, lambda: by_cell(read_rows(path)), COLUMNS, _measure, call_for, reporter or Silent(), phase=PHASE,
        processes=config.processes,
    )  # fmt: skip
    return table_of(rows, COLUMNS)


def _measure(
    zoo: Zoo, backbone_dir: Path, config: TransferConfig, source: TaskSource, cells: Sequence[Cell]
) -> list[list[float]]:
    torch.set_num_threads(1)
    backbone = backbone_of(backbone_dir, zoo.backbone)
    model = ExpertModel(backbone, config.kind)
    task, shots, seed = source.load(cells[0].target), cells[0].shots, cells[0].seed
    examples = task.shots(shots, seed)

    @lru_cache
    def encoded(sees: bool) -> EncodedExamples:
        return model.prepare(backbone.encode(task, examples, keep_pixels=sees))

    split = halves([example.answer for example in examples], closed=task.labels is not None, seed=seed)
    found = []
    for cell in cells:
        own, start = model, model.initial(seed)
        if cell.donor != NO_DONOR:
            expert, own = open_expert(zoo.expert_dir(config.kind, cell.donor), backbone)
            start = expert.values
        probed = short_probe(own, encoded(own.sees), split, start, rate=config.rate(backbone.rate_factor), seed=seed)
        found.append([round(probed.loss, 6), round(probed.wrong, 6)])
    return found
