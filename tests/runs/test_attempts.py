"""Each attempt of a run keeps its checkpoints to itself."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from pituning.errors import ArtefactError
from pituning.runs import attempts
from pituning.runs.attempts import last_attempt_dir, take_over
from pituning.runs.records import CurvePoint
from pituning.runs.unsaved import Unsaved
from pituning.workspace.atomic import TEMPORARY_PREFIX, write_bytes


@pytest.fixture
def root(tmp_path):
    return tmp_path / "run"


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_an_attempt_begins_with_what_the_last_one_left(root):
    one = take_over(root, 1)
    write_bytes(one / "state.bin", b"step 10")
    write_bytes(one / "folds" / "0" / "state.bin", b"fold")
    (one / f"{TEMPORARY_PREFIX}half").write_bytes(b"half")
    two = take_over(root, 2)
    assert last_attempt_dir(root) == two
    assert names(two) == ["folds/0/state.bin", "state.bin"]
    assert not one.exists()
    assert take_over(root, 2) == two
    assert (two / "state.bin").read_bytes() == b"step 10"


def test_who_wakes_up_writes_where_nobody_goes_on(root):
    one = take_over(root, 1)
    write_bytes(one / "state.bin", b"step 10")
    with (one / "answers.csv").open("ab") as answers:  # appended to as answers come
        answers.write(b"a\n")
        answers.flush()
        two = take_over(root, 2)
        answers.write(b"late\n")
    write_bytes(one / "state.bin", b"step 99")
    assert (two / "state.bin").read_bytes() == b"step 10"
    assert (two / "answers.csv").read_bytes() == b"a\n"
    three = take_over(root, 3)
    assert (three / "state.bin").read_bytes() == b"step 10"
    assert names(root) == ["checkpoint-3/answers.csv", "checkpoint-3/state.bin"]


def test_a_run_that_was_begun_before_attempts_had_directories_goes_on(root):
    before = root / "checkpoint"
    write_bytes(before / "state.bin", b"step 10")
    Unsaved(before, 1).add_point(CurvePoint("a", 1, "loss", 1.0), 1)
    assert last_attempt_dir(root) == before
    assert names(take_over(root, 2)) == ["state.bin"]


def test_without_room_for_a_copy_the_directory_is_renamed(root, monkeypatch):
    @contextmanager
    def full(path):
        raise ArtefactError(f"no space left for {path}")
        yield

    write_bytes(take_over(root, 1) / "state.bin", b"step 10")
    monkeypatch.setattr(attempts, "atomic_directory", full)
    assert names(take_over(root, 2)) == ["state.bin"]
    assert names(root) == ["checkpoint-2/state.bin"]
