"""Tests the test: copies of the studio that are broken in one place each, which `benchmarks.chaos` has to notice.

python benchmarks/chaos.py --mutate restore --runs 8 --kills 6
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Change:
    """A text in a file, which stands there once, and what takes its place."""

    file: str
    before: str
    after: str


MUTATIONS: Mapping[str, Sequence[Change]] = {
    # Every attempt begins anew: the results are the same, and hours are lost.
    "restore": (
        Change(
            "pituning/runs/counting.py",
            "step, digest = _restore(path, config)",
            'step, digest = 0, link("", config.seed)',
        ),
        Change("pituning/training/loop.py", "if checkpoint is not None and checkpoint.exists():", "if False:"),
        Change("pituning/tuning/stages.py", "return self._load(name)[1]", "return None"),
    ),
    # A worker that was given up for dead goes on writing.
    "fencing": (
        Change("pituning/runs/claims.py", "            RUNS.c.owner == claim.owner,\n", ""),
        Change("pituning/runs/claims.py", "            RUNS.c.attempt == claim.attempt,\n", ""),
        Change("pituning/runs/claims.py", '            RUNS.c.state == "running",\n', ""),
    ),
    # A file is written over where it stands.
    "replace": (Change("pituning/workspace/atomic.py", "temporary.replace(path)", "shutil.copyfile(temporary, path)"),),
    # Points are in memory until they are in the database.
    "curves": (Change("pituning/runs/unsaved.py", "if self._abandoned:", "if True:"),),
}
"""What is broken, by name."""


def mutated(name: str, options: Sequence[str], *, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs the chaos with these options on a copy of the studio with that mutation."""
    with tempfile.TemporaryDirectory(prefix="pituning-mutant-") as directory:
        for package in ("pituning", "benchmarks"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, Path(directory) / package, ignore=ignored)
        for change in MUTATIONS[name]:
            path = Path(directory) / change.file
            text = path.read_text(encoding="utf-8")
            if text.count(change.before) != 1:
                raise ValueError(
                    f"mutation {name!r}: {change.before!r} is not once in {change.file}; bring it up to date"
                )
            path.write_text(text.replace(change.before, change.after), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": directory, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-P", "-m", "benchmarks.chaos", *options]
        return subprocess.run(command, cwd=directory, env=environment, capture_output=capture, text=True, check=False)
