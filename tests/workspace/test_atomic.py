from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from pituning.errors import ArtefactError
from pituning.workspace import atomic


def test_write_replaces_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    atomic.write_json(path, {"π": 1})
    atomic.write_json(path, {"π": 2})
    assert atomic.read_json(path) == {"π": 2}
    assert os.listdir(path.parent) == ["a.json"]


def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(ArtefactError, match="disk full while writing .*a.txt") as caught:
        atomic.write_text(path, "new")
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "full")])
def test_directory_is_what_it_was_after_any_exception(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "expert"
    with atomic.atomic_directory(target) as directory:
        (directory / "card.json").write_text("1")
    expected = ArtefactError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic.atomic_directory(target) as directory:
        (directory / "card.json").write_text("2")
        raise error
    assert (target / "card.json").read_text() == "1"
    assert os.listdir(tmp_path) == ["expert"]


def test_directory_replaces_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "expert"
    for names in (["a", "b"], ["c"]):
        with atomic.atomic_directory(target) as directory:
            for name in names:
                (directory / name).write_text(name)
    assert os.listdir(target) == ["c"]
    assert os.listdir(tmp_path) == ["expert"]


def test_a_directory_goes_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there" / "inner").mkdir(parents=True)
    atomic.remove_directory(tmp_path / "there")
    atomic.remove_directory(tmp_path / "never")
    assert list(tmp_path.iterdir()) == []

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ArtefactError, match="no permission to write"):
        atomic.remove_directory(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_unwritable_parent_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtefactError, match="cannot write"):
        atomic.write_text(tmp_path / "file" / "inner.txt", "x")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00"])
def test_broken_json_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="a.json"):
        atomic.read_json(path)


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert atomic.sha256_file(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "kept" / "a.txt", "whole")
    (tmp_path / "kept" / f"{atomic.TEMPORARY_PREFIX}1").write_text("ha")
    (tmp_path / f"{atomic.TEMPORARY_PREFIX}dir").mkdir()
    (tmp_path / f"{atomic.TEMPORARY_PREFIX}dir" / "b.txt").write_text("ha")
    atomic.clear_unfinished(tmp_path)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["kept", "a.txt"]
