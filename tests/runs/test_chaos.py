"""The short form of `benchmarks.chaos`: kills at random, a locked database, a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.chaos_mutations import mutated
from benchmarks.chaos_watch import Checkpoints
from pituning.runs.attempts import take_over
from pituning.workspace.atomic import write_bytes

SMALL = "--runs 4 --kills 3 --trained 0 --tuned 0 --json"
"""Runs that count alone, which begin at once."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_lost_duplicated_wrong_torn_or_orphaned(tmp_path):
    options = "--runs 10 --kills 8 --trained 1 --tuned 1 --json"
    command = [sys.executable, "-m", "benchmarks.chaos", *options.split()]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert {key: report[key] for key in ("runs", "kills", "lost", "duplicated", "wrong", "torn", "orphans")} == {
        "runs": 10, "kills": 8, "lost": 0, "duplicated": 0, "wrong": 0, "torn": 0, "orphans": 0,
    }, report  # fmt: skip
    assert report["restored"] >= 4, report
    assert report["attempts"] >= 10
    assert report["disturbances"]["freeze worker"] == 1
    assert sum(count for what, count in report["disturbances"].items() if what.startswith("kill")) == 8
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_studio_that_is_broken_fails_it(tmp_path, monkeypatch):
    """Side by side: most of the time of each is waiting."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shown_by = {
        "restore": [],
        "fencing": ["duplicated", "wrong", "lost"],  # who was given up for dead may put a finished run back, too
        "replace": ["torn"],
        "curves": ["wrong"],
    }

    def trial(mutation):
        # Where nobody is fenced off, a worker that wakes up does harm only if the next one is still at work then; all
        # that a trial does is so at random that one of three may pass.
        for seed in range(3):
            done = mutated(mutation, [*SMALL.split(), "--seed", str(seed)], capture=True)
            if done.returncode != 0 or mutation != "fencing":
                break
        return done

    with ThreadPoolExecutor(len(shown_by)) as pool:
        trials = dict(zip(shown_by, pool.map(trial, shown_by), strict=True))
    for mutation, done in trials.items():
        assert done.returncode == 1, (mutation, done.stderr)
        report = json.loads(done.stdout)
        if mutation == "restore":
            assert report["restored"] == 0
        else:
            assert any(report[key] for key in shown_by[mutation]), (mutation, report)


def test_what_an_earlier_attempt_left_is_no_new_checkpoint(tmp_path):
    """A worker that is killed for it, before it could go on from it, would count as a kill without a restore."""
    root = tmp_path / "run"
    write_bytes(root / "checkpoint-1" / "state.safetensors", b"one")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.look(["run"]) == ["run"]
    assert checkpoints.look([]) == []  # between two attempts
    take_over(root, 2)
    assert checkpoints.look(["run"]) == []
    write_bytes(root / "checkpoint-2" / "state.safetensors", b"two")
    assert checkpoints.look(["run"]) == ["run"]
    assert checkpoints.torn == set()
    checkpoints.close()
