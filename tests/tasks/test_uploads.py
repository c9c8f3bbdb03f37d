"""Uploaded tables are read within bounds, in a process of its own; pages get the same as the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest

from pituning.errors import BadInput
from pituning.labelling import rows
from pituning.labelling.rows import FIRST_ROWS, look
from pituning.registry import load
from pituning.tasks import uploads
from pituning.tasks.affinity_tables import read_upload
from pituning.tasks.examining import TableOptions, examine
from pituning.tasks.files import guess_columns, open_table, preview_table
from pituning.tasks.problems import MAX_PROBLEMS, TableError
from pituning.tasks.reading import ReadOptions, Row, RowProblem
from pituning.tasks.reading.base import counted
from pituning.tasks.registry import load_task
from pituning.tasks.uploads import Upload
from pituning.workspace import bounded
from pituning.workspace.layout import Workspace

TABLE = b"text,label\n" + b"".join(b"row %d,%s\n" % (i, (b"good", b"bad")[i % 2]) for i in range(60))


def test_a_table_is_read_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Upload(filename="mine.csv", data=TABLE, options=ReadOptions())
    table, guess = upload.look()
    here = open_table(TABLE, filename="mine.csv")

    assert (table.columns, table.form, table.images, list(table.rows())) == (here.columns, here.form, None, [])
    assert guess.columns == guess_columns(here).columns

    def keep() -> Path:
        names = {"name": "mine", "title": "Mine", "instruction": "good or bad?"}
        return upload.keep(guess.columns, TableOptions(), workspace, **names)

    workspace = Workspace.open(tmp_path / "w")
    assert keep() == workspace.task_dir("mine")
    assert load_task("mine", workspace).labels == ("bad", "good")

    # One process is as good as another; the others are not started.
    monkeypatch.setattr(bounded, "call", lambda work, *arguments, what, limits: load(work)(*arguments))
    with pytest.raises(BadInput, match="there is a task 'mine' already"):
        keep()
    assert upload.preview(guess.columns, TableOptions()) == preview_table(here, guess.columns)
    (tmp_path / "mine.csv").write_bytes(TABLE)
    for source in (tmp_path / "mine.csv", TABLE):
        outline, count = look(source, "mine.csv")
        assert [row.number for row in outline.rows()] == list(range(2, 2 + FIRST_ROWS))
        assert count == 60
    assert read_upload(b",a,b\na,1,2\nb,3,4\n", "affinity.csv", "target").names == ("a", "b")


def test_rows_text_and_problems_are_bounded_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(**bounds: int) -> int:
        cells = {"a": "four", "b": ["four", {"c": b"four"}], "n": 1.0}
        return sum(1 for _ in counted((Row(number, cells) for number in range(10)), "t.csv", **bounds))

    assert read(rows=10, text=200) == 10  # 12 of text and 8 for the number, ten times
    with pytest.raises(BadInput, match="more than 9 rows"):
        read(rows=9)
    with pytest.raises(BadInput, match="holds more than 0 MiB of text"):
        read(text=199)

    monkeypatch.setattr(uploads, "MOST_ROWS", 50)
    with pytest.raises(BadInput, match="has more than 50 rows"):
        uploads.preview(
            Upload(filename="mine.csv", data=TABLE, options=ReadOptions()),
            guess_columns(open_table(TABLE, filename="mine.csv")).columns, TableOptions(),
        )  # fmt: skip

    monkeypatch.setattr(rows, "MOST_TEXT_BYTES", 500)
    with pytest.raises(BadInput, match="holds more than 0 MiB of text"):
        rows.outline_of(TABLE, "mine.csv")

    given: list[RowProblem] = []

    def with_problems() -> Iterator[Row | RowProblem]:
        for problem in repeat(RowProblem(1, "is short"), 10 * MAX_PROBLEMS):
            given.append(problem)
            yield problem

    table = open_table(TABLE, filename="mine.csv")
    columns = guess_columns(table).columns
    with pytest.raises(TableError, match="1 row and more cannot be used") as caught:
        examine(replace(table, read=with_problems), columns)
    assert len(caught.value.problems) == MAX_PROBLEMS
    assert len(given) == 11 * MAX_PROBLEMS  # what the answers are is found in a first pass
