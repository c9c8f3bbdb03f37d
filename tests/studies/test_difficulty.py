"""How hard the suite is: cells are measured once, and the documents show what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from pituning.backbones.base import Backbone
from pituning.pretraining.architecture import save_untrained
from pituning.progress import Silent
from pituning.studies import tables
from pituning.studies.difficulty import Cell, difficulty_cells, measure_difficulty
from pituning.tasks.mini import TASK_NAMES
from pituning.workspace.layout import embedded_data
from pituning.workspace.zoo import Zoo

ZOO, BACKBONE = Zoo.at(embedded_data() / "zoos" / "mini"), embedded_data() / "backbones" / "mini"
DOCS = Path(__file__).parents[2] / "docs"


class Count(Silent):
    def __init__(self) -> None:
        self.steps = 0

    def advance(self, steps: int = 1) -> None:
        self.steps += steps


def test_an_untrained_backbone_has_the_same_shapes_and_other_weights(tmp_path: Path) -> None:
    save_untrained(BACKBONE, tmp_path, seed=3)
    ours, random = Backbone.load(BACKBONE), Backbone.load(tmp_path)
    one, two = ours.model.state_dict(), random.model.state_dict()
    assert {n: t.shape for n, t in one.items()} == {n: t.shape for n, t in two.items()}
    weight = "model.language_model.encoder.layers.0.fc1.weight"
    assert not torch.equal(one[weight], two[weight])
    assert two[weight].std().item() == pytest.approx(random.model.config.text_config.init_std, rel=0.05)


@pytest.mark.slow
def test_cells_are_measured_once(tmp_path: Path) -> None:
    cells = [
        Cell("sentiment", "backbone", "", 0, 0),
        Cell("sentiment", "single on random weights", "lora", 2, 0),
    ]
    frame = measure_difficulty(Zoo.at(tmp_path), BACKBONE, cells, processes=1)
    assert set(frame["method"]) == {cell.method for cell in cells}
    written = (tmp_path / "results" / "suite.csv").read_bytes()
    told = Count()
    again = measure_difficulty(Zoo.at(tmp_path), BACKBONE, cells, told, processes=1)
    assert told.steps == len(cells)
    assert sorted(again["score"]) == sorted(frame["score"])
    assert (tmp_path / "results" / "suite.csv").read_bytes() == written


def test_every_task_was_measured_on_the_shipped_backbone() -> None:
    frame = pd.read_csv(ZOO.result_path("suite.csv"), keep_default_na=False)
    assert set(frame["backbone"]) == {Backbone.load(BACKBONE).fingerprint[:12]}
    actual = {Cell(r["task"], r["method"], r["kind"], r["shots"], r["seed"]) for r in frame.to_dict("records")}
    wanted = difficulty_cells(TASK_NAMES, seeds=(0,))
    assert {cell for cell in wanted if cell.method != "single on random weights"} <= actual


def test_the_documents_show_how_hard_the_tasks_are() -> None:
    assert tables.suite_markdown(ZOO) in (DOCS / "suite.md").read_text()


def test_the_documents_show_the_shipped_graph_and_backbone() -> None:
    suite, backbone = (DOCS / "suite.md").read_text(), (DOCS / "backbone.md").read_text()
    assert tables.graph_markdown(ZOO) in suite
    assert tables.planted_by_kind(ZOO) in suite
    assert tables.heldout_markdown(ZOO) in backbone
