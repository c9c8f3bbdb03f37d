"""Which rows a tuning is scored on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pituning.tasks.files import ColumnMapping, open_table, preview_table, task_from_table
from pituning.tasks.pooling import ENOUGH, scored_count
from pituning.tasks.saved import load_saved_task, save_task
from pituning.tuning.evaluation import rows_to_score
from pituning.workspace.layout import Workspace

COLUMNS = ColumnMapping(text=("text",), answer=("label",))


def table(count: int, split: str = "") -> bytes:
    rows = [f"row {i % (count - 2)},{'good' if i % 2 else 'bad'}" for i in range(count)]  # two rows ask the same
    if split:
        rows = [f"{row},{'train' if i % 4 else split}" for i, row in enumerate(rows)]
    return "\n".join(["text,label" + (",split" if split else ""), *rows]).encode()


def test_a_small_table_is_scored_on_all_that_was_not_learned_from(tmp_path: Path) -> None:
    read = open_table(table(60), filename="t.csv")
    task = task_from_table(read, name="t", instruction="good or bad?", columns=COLUMNS)
    preview = preview_table(read, COLUMNS)
    assert list(preview.dealt) == task.about["dealt"] == ["train", "validation", "test"]
    save_task(task, workspace := Workspace.open(tmp_path / "ws"))
    task = load_saved_task(workspace.root / "tasks" / "t")
    for seed in range(3):
        shots = task.shots(4, seed)
        rows = rows_to_score(task, 1000, shots)
        assert rows[: preview.sizes["test"]] == list(task.split("test"))
        learned = {shot.text for shot in shots}
        everything = [row for split in ("train", "validation", "test") for row in task.split(split)]
        # By the definition, one at a time: each row once, but for those that ask what a shot asks.
        assert sorted(row.uid for row in rows) == sorted(row.uid for row in everything if row.text not in learned)
        assert len(rows) <= scored_count(preview.sizes, preview.dealt, shots=len(shots), most=1000) <= 60 - 8
    assert rows == rows_to_score(task, 1000, shots)
    assert len(rows_to_score(task, 5, shots)) == 5


@pytest.mark.parametrize(
    ("test", "dealt", "most", "rows"),
    [
        (15, ("train", "validation", "test"), 1000, 92),
        (99, ("train", "validation", "test"), 1000, 176),
        (99, ("train", "test"), 150, 150),
        (100, ("train", "validation", "test"), 1000, 100),
        (15, ("train", "validation"), 1000, 15),
        (15, (), 1000, 15),
    ],
)
def test_only_splits_that_chance_has_dealt_are_pooled(test: int, dealt: tuple[str, ...], most: int, rows: int) -> None:
    assert scored_count({"train": 75, "validation": 10, "test": test}, dealt, shots=8, most=most) == rows
    assert scored_count({"train": 7500, "validation": 10, "test": 15}, ("train", "test"), shots=8, most=1000) == ENOUGH


def test_a_file_that_names_its_test_rows_is_scored_on_them() -> None:
    columns = ColumnMapping(text=("text",), answer=("label",), split="split")
    read = open_table(table(60, "test"), filename="t.csv")
    task = task_from_table(read, name="t", instruction="good or bad?", columns=columns)
    assert "test" not in task.about["dealt"]
    assert rows_to_score(task, 1000, task.shots(2, 0)) == list(task.split("test"))
