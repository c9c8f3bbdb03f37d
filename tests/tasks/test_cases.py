"""What becomes of the files that people have: each case, and the table of them in docs/cases.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pituning.errors import BadInput
from pituning.tasks.files import load_saved_task, save_task
from pituning.workspace.layout import Workspace
from tests.tasks.cases import CASES, PICTURES, TABLE, Case, csv, plan
from tests.tasks.cases_table import AFFINITIES, BEGIN, END, PAGE, SECTIONS, affinity_row, case_row

ROWS = PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of_a_file(name: str, tmp_path: Path) -> None:
    row, unmet = case_row(name, tmp_path)
    assert unmet == []
    assert row in ROWS, "write the page again: python -m tests.tasks.cases_table"


@pytest.mark.parametrize("name", AFFINITIES)
def test_what_becomes_of_a_table_of_affinity(name: str) -> None:
    row, unmet = affinity_row(name)
    assert unmet == []
    assert row in ROWS, "write the page again: python -m tests.tasks.cases_table"


def test_the_page_has_each_case_once() -> None:
    names = [name for section in SECTIONS.values() for name in section]
    assert sorted(names) == sorted(CASES)
    begin, end = ROWS.index(BEGIN), ROWS.index(END)
    assert sum(row.endswith("| yes |") for row in ROWS[begin:end]) == len(names) + len(AFFINITIES)


def test_a_folder_is_read_like_a_zip(tmp_path: Path) -> None:
    for name, data in ({"labels.csv": TABLE.encode(), "README.md": b"x"} | PICTURES).items():
        (tmp_path / name).write_bytes(data)
    task = plan(tmp_path, Case("", "")).make()
    assert task.labels == ("blue", "green", "red")
    saved = save_task(task, Workspace.open(tmp_path / "w"))
    assert len(load_saved_task(saved).split("train")) == len(task.split("train"))


def test_half_a_character_is_a_problem_of_its_row(tmp_path: Path) -> None:
    rows = [{"text": f"row {i}", "labels": ["ac"[i % 2], "\ud800" if i == 3 else "b"]} for i in range(9)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(BadInput, match=r"row 4: 'labels' holds half a character"):
        plan(tmp_path / "t.jsonl", Case("", "")).make()


def test_the_order_of_text_columns_is_kept(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv("a,b,label", [f"one {i},two {i},{i % 2}" for i in range(20)]))
    task = plan(tmp_path / "t.csv", Case("", "", options={"text_columns": "b,a"})).make()
    assert task.split("train")[0].text.startswith("b: two")
    assert list(task.about["columns"])[:2] == ["b", "a"]


def test_several_right_answers_are_kept(tmp_path: Path) -> None:
    case = CASES["VQA's ten answers"]
    assert isinstance(case.content, bytes)
    (tmp_path / "t.zip").write_bytes(case.content)
    task = plan(tmp_path / "t.zip", case).make()
    loaded = load_saved_task(save_task(task, Workspace.open(tmp_path / "w")))
    assert [e.gold for e in loaded.split("test")] == [e.gold for e in task.split("test")]
    assert loaded.about["answers"] == "votes"
