"""Measured transfer: cells are measured once, what is shipped can be computed again, and predictors are graded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from pituning.errors import ArtefactError, BadInput
from pituning.graph.predictors.gains import GAIN_PREDICTORS
from pituning.progress import Silent
from pituning.studies.config import ShortProbeConfig, TransferConfig
from pituning.studies.predictors import AND_PROBE, STAGED, grade_predictors, predictions, predictors_markdown
from pituning.studies.short_probe import measure_short_probes
from pituning.studies.transfer import measure_cell, measure_transfer
from pituning.studies.transfer_cells import Cell, transfer_cells
from pituning.tasks.mini import TASK_NAMES, planted_relatives
from pituning.workspace.layout import embedded_data
from pituning.workspace.short_probe import FILE, load_probes
from pituning.workspace.transfer import (
    COLUMNS,
    NO_DONOR,
    load_transfer,
    measured_seeds,
    measured_shots,
    read_rows,
)
from pituning.workspace.zoo import Zoo

ZOO, BACKBONE = Zoo.at(embedded_data() / "zoos" / "mini"), embedded_data() / "backbones" / "mini"
TRAINED = (4, 16)
"""Examples per class with which transfer was measured on the embedded suite."""


class Count(Silent):
    def __init__(self) -> None:
        self.advanced: list[int] = []

    def advance(self, steps: int = 1) -> None:
        self.advanced.append(steps)


def test_cells_are_every_donor_on_every_target() -> None:
    cells = transfer_cells(TransferConfig(tasks=("nli", "vqa"), shots=(0, 4), seeds=(0, 1)), TASK_NAMES)
    assert len(cells) == len(set(cells)) == 2 * 20 * (1 + 2)
    assert {cell.target for cell in cells} == {"nli", "vqa"}
    assert not any(cell.target == cell.donor for cell in cells)


def test_bad_settings_are_told() -> None:
    for settings, says in (
        ({"tasks": ("N?",)}, "task 'N?' cannot be used"),
        ({"shots": ()}, "shots is ()"),
        ({"seeds": (-1,)}, "seeds is (-1,)"),
        ({"steps": 0}, "steps is 0"),
        ({"kind": "lore"}, "unknown expert kind 'lore'"),
    ):
        with pytest.raises(BadInput) as caught:
            TransferConfig(**settings)
        assert says in str(caught.value)


def test_what_was_measured_is_read_back_as_gains(tmp_path: Path) -> None:
    path = Zoo.at(tmp_path).new_transfer_path("lora")
    path.parent.mkdir(parents=True)
    rows = [("a", NO_DONOR, 4, 0, 50), ("a", NO_DONOR, 4, 1, 60), ("a", "b", 4, 0, 70), ("a", "b", 4, 1, 80),
            ("b", NO_DONOR, 4, 0, 10), ("a", "b", 0, 0, 3)]  # fmt: skip
    pd.DataFrame([(*row, "x") for row in rows], columns=list(COLUMNS)).to_csv(path, index=False)
    actual = load_transfer(path, 4, ["a", "b"])
    assert actual is not None
    assert actual.gains[0, 1] == pytest.approx(20)
    assert np.isnan(actual.gains[1, 0])
    assert (actual.alone.tolist(), actual.seeds) == ([55, 10], 2)
    assert measured_shots(path) == [0, 4]
    assert load_transfer(path, 64, ["a", "b"]) is None
    assert load_transfer(Zoo.at(tmp_path).transfer_path("prefix"), 4, ["a", "b"]) is None
    path.write_text("target,donor\na,b\n")
    with pytest.raises(ArtefactError, match="damaged"):
        load_transfer(path, 4, ["a", "b"])


@pytest.mark.slow
def test_cells_are_measured_once_and_the_same_again(tmp_path: Path) -> None:
    zoo = Zoo("mini", tmp_path, shipped=tmp_path / "shipped")
    (tmp_path / "shipped" / "lora").mkdir(parents=True)
    (tmp_path / "shipped" / "lora" / "experts").symlink_to(ZOO.root / "lora" / "experts")
    config = TransferConfig(tasks=("sentiment",), shots=(0, 2), steps=2, test_examples=20)
    frame = measure_transfer(zoo, BACKBONE, config, processes=1)
    assert len(frame) == 2 * 20
    assert frame["score"].between(0, 100).all()
    written, told = zoo.transfer_path("lora").read_bytes(), Count()
    again = measure_transfer(zoo, BACKBONE, config, told, processes=1)
    assert sum(told.advanced) == 0
    assert again.equals(frame)
    assert zoo.transfer_path("lora").read_bytes() == written
    # Another budget is another measurement, but only where something is trained.
    more = TransferConfig(tasks=("sentiment",), shots=(0, 2), steps=3, test_examples=20)
    told = Count()
    measure_transfer(zoo, BACKBONE, more, told, processes=1)
    assert sum(told.advanced) == 20


@pytest.mark.slow
def test_donors_are_probed_once_and_graded(tmp_path: Path) -> None:
    zoo = Zoo("mini", tmp_path)
    for donor in ("nli", "vqa"):
        zoo.new_expert_dir("lora", donor).parent.mkdir(parents=True, exist_ok=True)
        zoo.new_expert_dir("lora", donor).symlink_to(ZOO.root / "lora" / "experts" / donor)
    config, told = ShortProbeConfig(tasks=("sentiment",), shots=2, seeds=(0,), processes=1), Count()

    frame = measure_short_probes(zoo, BACKBONE, config)

    assert list(frame["donor"]) == [NO_DONOR, "nli", "vqa"]
    assert measure_short_probes(zoo, BACKBONE, config, told).equals(frame)
    assert sum(told.advanced) == 0
    path, names = zoo.result_path(FILE, "lora"), ["sentiment", "nli", "vqa"]
    (gains,) = load_probes(path, 2, names).values()
    loss = dict(zip(frame["donor"], frame["loss"], strict=True))
    np.testing.assert_allclose(gains[0, 1:], [loss[NO_DONOR] - loss["nli"], loss[NO_DONOR] - loss["vqa"]])
    assert np.isnan(gains[1:]).all()
    assert load_probes(path, 16, names) == {}
    path.write_text("target\nsentiment\n")
    with pytest.raises(ArtefactError, match="damaged"):
        load_probes(path, 2, names)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [Cell("rte", "nli", 16, 0), Cell("ground-place", "ground-look", 0, 0)])
def test_a_shipped_score_is_computed_again(cell: Cell) -> None:
    frame = pd.read_csv(ZOO.transfer_path("lora"), keep_default_na=False)
    row = frame[
        (frame["target"] == cell.target) & (frame["donor"] == cell.donor) & (frame["shots"] == cell.shots)
        & (frame["seed"] == cell.seed)
    ]  # fmt: skip
    # Other processors round otherwise, and a borderline answer or two may flip.
    actual = measure_cell(ZOO, BACKBONE, TransferConfig(), cell)
    assert actual == pytest.approx(row["score"].item(), abs=1.5)


@pytest.mark.slow
def test_predictors_are_graded_against_the_shipped_transfer() -> None:
    frame = grade_predictors(ZOO, "lora")
    shipped = pd.read_csv(ZOO.result_path("predictors.csv"))
    mine = shipped[shipped["kind"] == "lora"].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, mine, check_dtype=False, atol=1e-3)
    graded = {*predictions(ZOO, "lora"), "random", "planted", "tried", "retest", *GAIN_PREDICTORS}
    graded |= {base + AND_PROBE for base in STAGED}
    assert set(frame["predictor"]) == graded
    by_lot = frame[(frame["predictor"] == "random") & (frame["measure"] == "spearman") & (frame["pairs"] == "all")]
    assert by_lot["mean"].abs().max() < 0.05
    # Relatives first: their mean rank correlation, worked out from the ranks of the relatives alone.
    transfer = load_transfer(ZOO.transfer_path("lora"), 16, TASK_NAMES)
    assert transfer is not None
    expected = []
    for i, target in enumerate(TASK_NAMES):
        donors = [j for j in range(len(TASK_NAMES)) if j != i]
        kin = [TASK_NAMES[j] in planted_relatives(target) for j in donors]
        expected.append(float(np.corrcoef(kin, rankdata(transfer.gains[i, donors]))[0, 1]) if any(kin) else 0.0)
    mine = frame.query("predictor == 'planted' and measure == 'spearman' and pairs == 'all' and shots == 16")
    assert mine["mean"].item() == pytest.approx(np.mean(expected), abs=1e-3)
    # Without shots there is nothing to measure twice, and nothing else to try.
    for name in ("tried", "retest"):
        assert set(frame.loc[frame["predictor"] == name, "shots"]) == set(TRAINED)
    with pytest.raises(BadInput, match="no transfer of prefix was measured"):
        grade_predictors(Zoo.at(ZOO.root / "none"), "prefix")


def test_a_measurement_is_graded_against_itself_with_other_shots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pituning.studies.predictors.ORDERS", 1)  # of random predictions, which are not looked at
    rng = np.random.default_rng(0)
    rows = [
        {"target": target, "donor": donor, "shots": 4, "seed": seed, "score": rng.uniform(0, 100), "spec": "s"}
        for target in TASK_NAMES
        for donor in ("", *(name for name in TASK_NAMES if name != target))
        for seed in range(3)
    ]
    path = Zoo.at(tmp_path).new_transfer_path("lora")
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    scores = pd.DataFrame(rows).query("donor != ''").pivot(index=["target", "donor"], columns="seed", values="score")
    expected = []
    for target in TASK_NAMES:
        mine = scores.loc[target]
        left_out = [spearmanr(mine.drop(columns=seed).mean(axis=1), mine[seed]).statistic for seed in range(3)]
        expected.append(np.mean(left_out))
    frame = grade_predictors(Zoo.at(tmp_path), "lora")
    actual = frame.query("predictor == 'retest' and pairs == 'all' and measure == 'spearman'")
    assert actual["mean"].item() == pytest.approx(np.mean(expected), abs=1e-3)
    # A seed that was measured in part, as where a study was interrupted, counts where it can.
    whole = pd.DataFrame(rows)
    whole[(whole["seed"] == 0) | ((whole["seed"] == 1) & (whole["target"] == "nli"))].to_csv(path, index=False)
    part = grade_predictors(Zoo.at(tmp_path), "lora").query(
        "predictor == 'retest' and pairs == 'all' and measure == 'spearman'"
    )
    mine = scores.loc["nli"]
    assert part["targets"].item() == 1
    assert part["mean"].item() == pytest.approx(spearmanr(mine[0], mine[1]).statistic, abs=1e-3)
    # With one seed there is nothing to compare with.
    pd.DataFrame(rows).query("seed == 0").to_csv(path, index=False)
    assert "retest" not in set(grade_predictors(Zoo.at(tmp_path), "lora")["predictor"])


def test_every_pair_of_the_suite_was_measured() -> None:
    for shots in (0, *TRAINED):
        assert len(measured_seeds(ZOO.transfer_path("lora"), shots)) == (3 if shots else 1)
        actual = load_transfer(ZOO.transfer_path("lora"), shots, TASK_NAMES)
        assert actual is not None
        assert np.isfinite(actual.alone).all()
        assert np.isfinite(actual.scores).sum() == 20 * 19
        rows = read_rows(ZOO.transfer_path("lora"))
        assert (rows["shots"] == shots).sum() == actual.seeds * 20 * 20


def test_the_documents_show_the_grades() -> None:
    page = (embedded_data().parent / "docs" / "science.md").read_text()
    for shots in (0, *TRAINED):
        assert predictors_markdown(ZOO, "lora", shots) in page
