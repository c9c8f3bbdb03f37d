"""The low-shot study: cells are measured once, are what `pituning tune` finds, and can be measured again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pituning.errors import ArtefactError, BadInput
from pituning.experts.kinds import shipped_kinds
from pituning.progress import Silent
from pituning.studies.config import METHODS, LowshotConfig
from pituning.studies.lowshot import (
    SUITE,
    Cell,
    Places,
    check_lowshot,
    lowshot_cells,
    lowshot_specs,
    measure_group,
    measure_lowshot,
    table_path,
)
from pituning.studies.targets import with_tasks
from pituning.tasks.mini import TASK_NAMES, mini_task
from pituning.tuning.config import STEPS
from pituning.workspace.layout import Workspace, embedded_data
from pituning.workspace.lowshot import lowshot_csv, read_lowshot, usual_shots
from pituning.workspace.shots import ALL_SHOTS, parse_shots
from pituning.workspace.zoo import Zoo

ZOO, BACKBONE = Zoo.at(embedded_data() / "zoos" / "mini"), embedded_data() / "backbones" / "mini"


class Count(Silent):
    def __init__(self) -> None:
        self.advanced: list[int] = []

    def advance(self, steps: int = 1) -> None:
        self.advanced.append(steps)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The shipped zoo, with room for results of our own."""
    return Places(zoo=Zoo.at(tmp_path / "zoo"), backbone=BACKBONE, workspace=Workspace.open(tmp_path / "ws"))


def test_cells_are_every_method_on_every_target_seed_by_seed() -> None:
    cells = lowshot_cells(LowshotConfig(tasks=TASK_NAMES, shots=(0, 16), seeds=(0, 1)))
    assert len(cells) == len(set(cells))
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    few = [cell for cell in cells if cell.shots == 16]
    assert {cell.method for cell in few} == set(METHODS) - {"backbone"}
    # Boxes and captions have nobody who answers in their form but relatives.
    without = {name for name in TASK_NAMES if Cell(name, 16, 0, "same-format") not in cells}
    assert without == {"ground-place", "ground-look", "ground-relation", "caption"}
    assert len(few) == 2 * (20 * (len(METHODS) - 1) - 2 * len(without))
    none = [cell for cell in cells if cell.shots == 0]
    assert {cell.seed for cell in none} == {0}
    assert {"backbone", "untouched", "donor-untouched"} <= {cell.method for cell in none}
    assert not {"single", "mixture", "lorahub"} & {cell.method for cell in none}


def test_experts_that_see_are_measured_where_there_are_pictures() -> None:
    config = LowshotConfig(shots=(0, 16), seeds=(0,), vision_tower=True)
    cells = lowshot_cells(with_tasks(config, ZOO, SUITE))
    assert {cell.target for cell in cells} == {name for name in TASK_NAMES if mini_task(name).modality != "language"}
    methods = {cell.method for cell in cells}
    assert {"single", "mixture", "donor", "placebo"} <= methods
    assert not {"full", "bitfit", "lorahub", "backbone", "untouched"} & methods  # the same without
    assert {cell.shots for cell in cells} == {16}
    with pytest.raises(BadInput, match="vision_tower is for tasks with pictures, and 'nli' has none"):
        with_tasks(replace(config, tasks=("digits", "nli")), ZOO, SUITE)
    assert table_path(ZOO, config).name == "lowshot-vision-tower.csv"


def test_bad_settings_are_told() -> None:
    for settings, says in (
        ({"tasks": ("N?",)}, "task 'N?' cannot be used"),
        ({"methods": ("magic",)}, "methods names 'magic'"),
        ({"methods": ()}, "methods names nothing"),
        ({"shots": (-2,)}, "shots is (-2,)"),
        ({"seeds": ()}, "seeds is ()"),
        ({"steps": 0}, "steps is 0"),
        ({"donors": 0}, "donors is 0; a study gives every target as many"),
        ({"kind": "lore"}, "unknown expert kind 'lore'"),
    ):
        with pytest.raises(BadInput) as caught:
            LowshotConfig(**settings)
        assert says in str(caught.value)
    assert parse_shots("full") == ALL_SHOTS
    with pytest.raises(BadInput, match="shots is 'many'"):
        parse_shots("many")


def test_most_was_measured_at_the_usual_shots() -> None:
    def frame(**counts: int) -> pd.DataFrame:
        names = {"none": 0, "four": 4, "sixteen": 16, "all": ALL_SHOTS}
        return pd.DataFrame({"shots": [names[name] for name, count in counts.items() for _ in range(count)]})

    assert usual_shots(frame(none=9, four=2, sixteen=5, all=4)) == 16
    assert usual_shots(frame(none=9, four=3, sixteen=3)) == 16
    assert usual_shots(frame(none=9, all=1)) == ALL_SHOTS
    assert usual_shots(frame(none=9)) == 0


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert read_lowshot(path).empty
    row = {"target": "nli", "kind": "lora", "shots": ALL_SHOTS, "seed": 0, "method": "single", "score": 100 / 3,
           "held_out_loss": 0.1 + 0.2, "held_out": 24, "learning_rate": 0.0125, "steps": 20, "donors": "",
           "test_examples": 1000, "spec": "001e10"}  # fmt: skip
    frame = pd.DataFrame([row, {**row, "method": "untouched", "donors": "a+b", "held_out_loss": None}])
    path.write_text(lowshot_csv(frame))
    assert ",full,0,single," in path.read_text()
    pd.testing.assert_frame_equal(read_lowshot(path), frame.astype({"held_out_loss": float}), check_exact=True)
    path.write_text("target,kind\na,b\n")
    with pytest.raises(ArtefactError, match="damaged"):
        read_lowshot(path)


def test_what_a_row_depends_on_is_in_its_digest(places: Places) -> None:
    config = LowshotConfig(tasks=("nli",), shots=(0, 16), seeds=(0,))
    specs = lowshot_specs(places, config)
    assert len(set(specs.values())) == len(specs)
    longer = lowshot_specs(places, LowshotConfig(tasks=("nli",), shots=(0, 16), seeds=(0,), steps=81))
    assert all(specs[cell] != longer[cell] for cell in specs if cell.method == "single")


@pytest.mark.slow
def test_cells_are_measured_once_and_the_same_again(places: Places) -> None:
    config = LowshotConfig(
        tasks=("sentiment",), shots=(0, 1), seeds=(3,), steps=2, test_examples=20,
        methods=("backbone", "untouched", "single", "lorahub"),
    )  # fmt: skip
    frame = measure_lowshot(places, config, processes=1)
    assert frame["method"].tolist() == ["backbone", "untouched", "lorahub", "single", "untouched"]
    assert frame["score"].between(0, 100).all()
    assert frame["held_out_loss"].isna().all()  # one shot of a class is not held out
    assert set(frame["test_examples"]) == {20}
    path = places.zoo.lowshot_path("lora", config.steps)
    written, told = path.read_bytes(), Count()
    again = measure_lowshot(places, config, told, processes=1)
    assert sum(told.advanced) == 0
    pd.testing.assert_frame_equal(again, frame, check_exact=True)
    assert path.read_bytes() == written

    assert check_lowshot(places, config) == []
    path.write_bytes(written.replace(b",backbone,", b",backbone,9"))
    (difference,) = check_lowshot(places, config)
    assert difference.startswith("backbone on sentiment, 0 shots, seed 3: score is")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("lora", Cell("rte", 64, 0, "single")),
        ("lora", Cell("shape", 1, 0, "mixture")),
        ("lora", Cell("ground-place", 0, 0, "donor-untouched")),
        ("ia3", Cell("rte", 1, 0, "placebo")),
    ],
)
def test_a_shipped_row_is_measured_again(kind: str, cell: Cell, tmp_path: Path) -> None:
    places = Places(zoo=ZOO, backbone=BACKBONE, workspace=Workspace.open(tmp_path / "ws"))
    config = LowshotConfig(
        kind=kind, tasks=(cell.target,), shots=(cell.shots,), seeds=(cell.seed,), methods=(cell.method,)
    )
    (actual,) = measure_group(places, config, [cell])
    shipped = read_lowshot(ZOO.lowshot_path(kind))
    (row,) = shipped[[Cell(r.target, r.shots, r.seed, r.method) == cell for r in shipped.itertuples()]].to_dict(
        "records"
    )
    assert (actual["donors"], row["spec"]) == (row["donors"], lowshot_specs(places, config)[cell])
    # Other processors round otherwise, and a borderline answer or two may flip.
    assert actual["score"] == pytest.approx(row["score"], abs=1.5)
    if row["held_out"]:
        assert actual["held_out_loss"] == pytest.approx(row["held_out_loss"], abs=0.02)


@pytest.mark.parametrize(
    ("kind", "steps", "tower"),
    [("lora", 480, False), ("lora", STEPS, True), *((kind, STEPS, False) for kind in shipped_kinds())],
)
def test_the_shipped_rows_are_of_the_shipped_zoo(kind: str, steps: int, tower: bool) -> None:
    """Whatever is there was measured on the backbone, the experts and the tasks that ship."""
    places = Places(zoo=ZOO, backbone=BACKBONE, workspace=Workspace(embedded_data(), embedded=None))
    rows = read_lowshot(table_path(ZOO, LowshotConfig(kind=kind, steps=steps, vision_tower=tower)))
    config = LowshotConfig(
        kind=kind,
        shots=tuple(sorted(set(rows["shots"]))),
        seeds=tuple(sorted({0, *rows["seed"]})),
        steps=steps,
        vision_tower=tower,
    )
    specs = lowshot_specs(places, config)
    for row in rows.to_dict("records"):
        assert specs[Cell(row["target"], row["shots"], row["seed"], row["method"])] == row["spec"]
    assert rows["score"].between(0, 100).all()
    few = rows[rows["held_out"] != 0]
    assert set(rows.loc[rows["held_out"] == 0, "shots"]) <= {0, 1}  # with one of each class none can be held out
    assert few["held_out_loss"].between(0, 1).all()
    assert set(rows.loc[rows["target"] != "digits", "test_examples"]) == {1000}
