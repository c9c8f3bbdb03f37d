"""Whatever cannot be used is told in words beside the field at fault, and nothing can be started with it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from pituning.errors import ArtefactError
from pituning.experts.card import CARD, TENSORS
from pituning.runs.queue import RunQueue
from pituning.workspace import atomic
from pituning.workspace.layout import Workspace
from tests.app.conftest import OpenPage, texts
from tests.app.uploads import TABLE, beside, can_launch, own_table, pictures, upload, zipped

FILE = "A table, or a zip: of tables, of a table and its pictures, or of a folder for each class"
ANSWER = "Column with the answer"
GOOD_ZIP = pictures()


@pytest.mark.parametrize(
    ("name", "content", "field", "said"),
    [
        ("empty.csv", b"", FILE, "is empty"),
        ("blank.zip", zipped({}), FILE, "no table"),
        ("cut.csv", 'text,label\n"never closed,good\n', FILE, "never closes"),
        (
            "cut.jsonl",
            '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n' * 5 + '{"text": "b", "lab',
            FILE,
            "cannot be used",
        ),
        ("cut.zip", GOOD_ZIP[:-40], FILE, "zip"),
        ("latin.csv", TABLE.replace("lovely", "süß").encode("latin-1"), FILE, "UTF-8"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + b"\0" * 60, FILE, "PNG image"),
        ("notzip.zip", b"PK\x03\x04 broken", FILE, "zip"),
        ("bad.jsonl", '{"text": "a", "label": "x"}\nnot json\n' * 3, FILE, "cannot be used"),
        ("text.zip", pictures(p3=b"this is no picture"), FILE, "1 row of text.zip:table.csv cannot be used"),
        ("cutpicture.zip", pictures(p3=b"\x89PNG\r\n\x1a\n"), FILE, "1 row of cutpicture.zip:table.csv cannot be used"),
        ("gone.zip", pictures(p3=None), FILE, "1 row of gone.zip:table.csv cannot be used"),
        ("short.csv", "text,label\na,x\nb,y\n", FILE, "at least 4"),
        ("one.csv", "text,label\n" + "".join(f"row {i},same\n" for i in range(20)), ANSWER, "one answer only"),
    ],
)
def test_a_file_that_cannot_be_used(
    name: str, content: bytes | str, field: str, said: str, workspace: Workspace, open_page: OpenPage
) -> None:
    at = upload(own_table(open_page), name, content)

    assert not at.exception
    assert said in beside(at, field)
    assert not can_launch(at)
    assert workspace.task_names() == []


def test_rows_that_cannot_be_used_are_listed_with_their_numbers(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "gaps.csv", TABLE + ",good\none,two,three\n")

    assert "2 rows of gaps.csv cannot be used" in beside(at, FILE)
    assert list(at.dataframe[0].value["Row"]) == [62, 63]
    assert not can_launch(at)


@pytest.mark.parametrize(("content", "reason"), [(b"this is no picture", "is not an image"), (None, "is not there")])
def test_what_is_no_image_is_listed_with_its_row(
    content: bytes | None, reason: str, workspace: Workspace, open_page: OpenPage
) -> None:
    at = upload(own_table(open_page), "pictures.zip", pictures(p3=content), instruction="which colour?")

    (row,) = at.dataframe[0].value.to_dict("records")
    assert (row["Row"], row["Column"]) == (5, "image")
    assert "p3.png" in row["Problem"]
    assert reason in row["Problem"]


def test_a_name_that_is_taken_or_unusable(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "digits.csv", TABLE)
    (field,) = [field for field in at.text_input if field.label == "Name"]
    assert field.value == "digits-2"
    field.set_value("digits").run()
    assert "there is a task 'digits' already; choose another name, such as 'digits-2'" in beside(at, "Name")
    assert not can_launch(at)

    (field,) = [field for field in at.text_input if field.label == "Name"]
    field.set_value("../../etc").run()
    assert "cannot be used" in beside(at, "Name")
    assert not can_launch(at)


def test_no_instruction_no_start(workspace: Workspace, open_page: OpenPage) -> None:
    at = upload(own_table(open_page), "reviews.csv", TABLE, instruction="   ")

    assert not can_launch(at)
    assert "Say what to do" in beside(at, "Instruction")


def test_fewer_examples_than_shots_are_not_offered(workspace: Workspace, open_page: OpenPage) -> None:
    table = "text,label\n" + "".join(f"row {i},{'good' if i % 2 else 'bad'}\n" for i in range(12))
    at = upload(own_table(open_page), "few.csv", table)

    shots = next(control for control in at.segmented_control if control.label == "Shots per class")
    assert shots.options == ["1", "2"]
    assert "has 3 training examples, so there are at most as many shots" in beside(at, "Search")  # same row


@pytest.mark.parametrize(
    ("key", "value", "field", "said"),
    [
        ("tune_full_learning_rates", "fast", "Learning rates", "write numbers with commas"),
        ("tune_full_learning_rates", "-1", "Learning rates", "Learning rates is (-1.0,); give numbers above 0"),
        ("tune_full_steps", 0, "Steps", "Steps is 0; give a whole number of at least 1"),
        ("tune_full_folds", 11, "Folds", "Folds is 11; give at most 10"),
    ],
)
def test_a_setting_that_cannot_be_used(
    key: str, value: object, field: str, said: str, workspace: Workspace, open_page: OpenPage
) -> None:
    at = open_page("new_run")
    (widget,) = [one for one in (*at.text_input, *at.number_input) if one.key == key]
    widget.set_value(value).run()

    assert said in beside(at, field)
    assert not can_launch(at)


def test_a_link_to_an_unknown_task(workspace: Workspace, open_page: OpenPage) -> None:
    for page, param in (("new_run", "target"), ("task_graph", "task")):
        at = open_page(page, **{param: "no-such-task"})
        assert not at.exception
        assert "The address names the task “no-such-task”, which is not in this workspace" in beside(at, "Task")


def damage(folder: Path, what: str) -> None:
    card = json.loads((folder / CARD).read_text())
    if what == "truncated":
        (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-1])
    elif what == "foreign":
        (folder / CARD).write_text(json.dumps(card | {"fingerprint": "0" * 64}))
    else:
        (folder / TENSORS).unlink()


@pytest.mark.parametrize(
    ("what", "said"),
    [("truncated", "does not match the checksum"), ("foreign", "was made on backbone"), ("missing", "lacks adapter")],
)
def test_a_corrupt_or_foreign_expert(what: str, said: str, workspace: Workspace, open_page: OpenPage) -> None:
    damage(workspace.zoo().expert_dir("lora", "vqa"), what)

    at = open_page("new_run", target="nli")
    words = beside(at, "Number of donors")
    assert "The expert “vqa” cannot be used" in words
    assert said in words
    assert not can_launch(at)

    assert can_launch(open_page("new_run", target="vqa"))  # its own expert never takes part
    at.segmented_control(key="kind").set_value("prefix").run()
    assert can_launch(at)


def test_a_full_disk_at_the_start(
    workspace: Workspace, woken: list[Workspace], open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    at = upload(own_table(open_page), "reviews.csv", TABLE)
    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "fsync", full)
        at.button(key="launch").click().run()

    assert not at.exception
    assert "Disk full while writing" in texts(at).replace("\\", "")
    assert workspace.task_names() == []
    assert [*RunQueue(workspace).list(), *woken, *workspace.root.rglob(f"{atomic.TEMPORARY_PREFIX}*")] == []
    at.button(key="launch").click().run()
    assert [run.state for run in RunQueue(workspace).list()] == ["queued"]


def test_a_full_disk_in_the_queue_takes_the_new_task_back(
    workspace: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ArtefactError("disk full while writing studio.db: free some space or choose another --workspace")

    at = upload(own_table(open_page), "reviews.csv", TABLE)
    with monkeypatch.context() as patched:
        patched.setattr(RunQueue, "submit_all", full)
        at.button(key="launch").click().run()

    assert "Disk full while writing studio.db" in texts(at).replace("\\", "")
    assert workspace.task_names() == []
    at.button(key="launch").click().run()
    assert [run.state for run in RunQueue(workspace).list()] == ["queued"]
