from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pituning.errors import BadInput, RunCancelled, RunFailed
from pituning.training.pool import side_by_side
from pituning.workspace.atomic import TEMPORARY_PREFIX
from tests.studies import pool_work


def test_every_call_is_told_with_its_result() -> None:
    told: dict[int, int] = {}
    side_by_side(pool_work.double, [(n,) for n in range(5)], lambda call, r: told.update({call[0]: r}), processes=2)
    assert told == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}


def test_nothing_to_do_starts_nothing() -> None:
    side_by_side(pool_work.double, [], lambda *_: None, processes=2)


def test_an_error_of_the_work_is_that_of_the_pool() -> None:
    with pytest.raises(BadInput, match="number is 3; give another"):
        side_by_side(pool_work.fail, [(3,)], lambda *_: None, processes=2)


def test_whoever_asks_to_stop_need_not_wait_for_a_result(tmp_path: Path) -> None:
    def stop() -> None:
        if list(tmp_path.glob("begun-*")):
            raise RunCancelled("stop")

    with pytest.raises(RunCancelled):  # each call takes a minute
        side_by_side(pool_work.write, [(tmp_path, "a")], lambda *_: None, processes=1, meanwhile=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["begun-a"]


def test_a_killed_process_is_told() -> None:
    with pytest.raises(RunFailed, match="was killed, often for lack of memory"):
        side_by_side(pool_work.die, [(0,)], lambda *_: None, processes=1)


@pytest.mark.parametrize("moment", ["importing", "working"])
def test_ctrl_c_in_a_terminal_ends_all_processes_tidily(moment: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.studies.pool_work", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    children = wait_for(process, lambda found: len(found) >= 2)
    if moment == "working":
        wait_for(process, lambda _: (tmp_path / "quick").exists() and len(list(tmp_path.glob("begun-*"))) >= 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody in the group
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "interrupted\n")
    assert out == "done quick\n" or moment == "importing"
    assert not any(child.is_running() for child in children)
    assert list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")) == []
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} <= {"quick"}


def test_ctrl_c_never_leaves_a_lock_taken(tmp_path: Path) -> None:
    """It was raised inside ``concurrent.futures``, whose thread then waited for ever, and Python for that thread."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.studies.pool_work", str(tmp_path), "locked"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (1, "done quick\n", "interrupted\n")
    assert list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")) == []


def test_a_signal_is_handled_by_what_was_there_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        handler = signal.getsignal(signal.SIGTERM)
        side_by_side(
            pool_work.double, [(1,), (2,)], lambda call, _: signal.raise_signal(signal.SIGTERM), processes=1
        )  # fmt: skip
        assert heard == [signal.SIGTERM] * 2
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "tests.studies.pool_work", str(tmp_path)], start_new_session=True)
    children = wait_for(process, lambda _: len(list(tmp_path.glob("begun-*"))) >= 3)
    process.kill()  # it alone
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    assert list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")) == []


def wait_for(process: subprocess.Popen[str], condition: Callable[[list[psutil.Process]], bool]) -> list[psutil.Process]:
    """The processes of the pool, once they are as wanted."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [
            child
            for child in psutil.Process(process.pid).children()
            if any("spawn_main" in word for word in child.cmdline())
        ]
        if condition(found):
            return found
        time.sleep(0.02)
    process.kill()
    raise AssertionError("waited in vain")
