"""The short form of `benchmarks.chaos`: kills at random, a locked database, a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_lost_duplicated_wrong_or_orphaned(tmp_path):
    options = "--runs 10 --kills 8 --trained 1 --tuned 1 --json"
    command = [sys.executable, "-m", "benchmarks.chaos", *options.split()]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert {key: report[key] for key in ("runs", "kills", "lost", "duplicated", "wrong", "orphans")} == {
        "runs": 10, "kills": 8, "lost": 0, "duplicated": 0, "wrong": 0, "orphans": 0,
    }, report  # fmt: skip
    assert report["attempts"] >= 10
    assert sum(count for what, count in report["disturbances"].items() if what.startswith("kill")) == 8
