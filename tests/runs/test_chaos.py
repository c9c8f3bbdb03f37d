"""The short form of `benchmarks.chaos`: kills at random, a locked database, a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks.chaos_mutations import mutated

SMALL = "--runs 4 --kills 3 --trained 0 --tuned 0 --json"
"""Runs that count alone, which begin at once."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_lost_duplicated_wrong_torn_or_orphaned(tmp_path):
    options = "--runs 8 --kills 6 --trained 1 --tuned 1 --json"
    command = [sys.executable, "-m", "benchmarks.chaos", *options.split()]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert {key: report[key] for key in ("runs", "kills", "lost", "duplicated", "wrong", "torn", "orphans")} == {
        "runs": 8, "kills": 6, "lost": 0, "duplicated": 0, "wrong": 0, "torn": 0, "orphans": 0,
    }, report  # fmt: skip
    assert report["restored"] >= 3, report
    assert report["disturbances"]["freeze worker"] == 1
    assert sum(count for what, count in report["disturbances"].items() if what.startswith("kill")) == 6
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("mutation", "shown_by"),
    [("restore", ["restored"]), ("fencing", ["duplicated", "wrong"]), ("replace", ["torn"]), ("curves", ["wrong"])],
)
def test_a_studio_that_is_broken_fails_it(mutation, shown_by, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = mutated(mutation, SMALL.split(), capture=True)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    if mutation == "restore":
        assert report["restored"] == 0
    else:
        assert any(report[key] for key in shown_by), report
