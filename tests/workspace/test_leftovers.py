"""What a killed process left half-written goes; what a living one writes stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pituning.workspace import atomic, leftovers
from pituning.workspace.atomic import TEMPORARY_PREFIX, atomic_directory, atomic_file, removing, this_place
from pituning.workspace.leftovers import remove_leftovers

WRITER = """
import sys, time
from pathlib import Path
from pituning.workspace.atomic import atomic_directory
with atomic_directory(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("ha")
    print("writing", flush=True)
    time.sleep(600)
"""


def unfinished(root: Path) -> list[Path]:
    return sorted(root.rglob(f"{TEMPORARY_PREFIX}*"))


@pytest.fixture
def writer(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "experts" / "lora" / "nli")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_only_a_dead_writers_folder_goes(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    with atomic_directory(tmp_path / "mine") as mine:
        (mine / "half.txt").write_text("ha")
        assert remove_leftovers(tmp_path) == 0
        assert len(unfinished(tmp_path)) == 2
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert remove_leftovers(tmp_path) == 1
        assert unfinished(tmp_path) == [mine]
    assert (tmp_path / "mine" / "half.txt").read_text() == "ha"


def test_a_zombie_writes_no_more(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    writer.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert remove_leftovers(tmp_path) == 1


@pytest.mark.parametrize("step", [-400, -1 / 24, 1 / 24, 400])
def test_a_clock_that_is_set_deletes_nothing_of_the_living(tmp_path: Path, writer, monkeypatch, step: float) -> None:
    """By days; what another process writes, and what this one writes, replaces and is about to delete."""
    clock, created = time.time, leftovers.psutil.Process.create_time
    monkeypatch.setattr(time, "time", lambda: clock() + step * leftovers.DAY)
    monkeypatch.setattr(leftovers.psutil.Process, "create_time", lambda self: created(self) + step * leftovers.DAY)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    with atomic_directory(tmp_path / "mine") as mine, atomic_file(tmp_path / "file") as stream:
        (mine / "half.txt").write_text("ha")
        stream.write(b"ha")
        with pytest.raises(ZeroDivisionError), removing() as remove:
            remove(tmp_path / "run")
            assert remove_leftovers(tmp_path) == 0
            _ = 1 // 0
        assert len(unfinished(tmp_path)) == 3
    assert (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "file").read_bytes() == b"ha"
    writer.kill()
    writer.wait()
    assert remove_leftovers(tmp_path) == 1


def test_what_is_cleared_away_before_it_is_held_is_made_anew(tmp_path: Path, monkeypatch) -> None:
    """Between the making of a name and its lock there is a moment."""
    make, cleared = atomic._new_file, []

    def unlucky(parent: Path):
        path, descriptor = make(parent)
        if not cleared:
            cleared.append(path)
            path.unlink()
        return path, descriptor

    monkeypatch.setattr(atomic, "_new_file", unlucky)
    atomic.write_text(tmp_path / "a.txt", "whole")
    assert cleared
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_what_nobody_holds_stays_while_a_process_has_its_number_and_goes_after_a_day(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / f"{TEMPORARY_PREFIX}{this_place()}-{os.getpid()}-x"
    path.write_text("ha")
    assert remove_leftovers(tmp_path) == 0
    monkeypatch.setattr(leftovers, "DAY", -1.0)
    assert remove_leftovers(tmp_path) == 1


@pytest.mark.parametrize("name", ["00000000-1-x", "x8s1k_"])
def test_what_others_write_elsewhere_goes_after_a_day(tmp_path: Path, monkeypatch, name: str) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}{name}").mkdir()
    assert remove_leftovers(tmp_path) == 0
    monkeypatch.setattr(leftovers, "DAY", -1.0)
    assert remove_leftovers(tmp_path) == 1
