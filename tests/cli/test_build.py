"""`pituning zoo build` with real processes, on a tiny backbone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pituning.workspace.atomic import TEMPORARY_PREFIX
from pituning.workspace.layout import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TASKS = "answers,same-question,sentiment"


def start(directory: Path, *, processes: int) -> subprocess.Popen[str]:
    words = ["zoo", "build", "--out", str(directory), "--tasks", TASKS, "--kinds", "lora", "--steps", "2", "--json",
             "--fisher-examples", "16", "--test-examples", "20", "--processes", str(processes)]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "pituning.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_ctrl_c_keeps_what_is_finished_and_a_repeat_goes_on(
    workspace: Workspace, tiny_backbone_dir: Path, tmp_path: Path
) -> None:
    zoo = tmp_path / "zoos" / "tiny"
    shutil.copytree(tiny_backbone_dir, tmp_path / "backbones" / "tiny")
    process = start(zoo, processes=2)
    assert process.stderr is not None
    while not process.stderr.readline().startswith("lora "):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody in the group
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.strip().splitlines()[-1] == "pituning: interrupted; nothing half-written is left"
    assert "Traceback" not in err
    assert list(zoo.rglob(f"{TEMPORARY_PREFIX}*")) == []
    finished = {path: path.stat().st_mtime_ns for path in zoo.glob("lora/experts/*/card.json")}
    assert 1 <= len(finished) <= 3
    again = start(zoo, processes=1)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert sorted(path.name for path in (zoo / "lora" / "experts").iterdir()) == sorted(TASKS.split(","))
    assert (zoo / "lora" / "similarity" / "probe.safetensors").is_file()
