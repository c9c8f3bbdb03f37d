"""What a tuning takes: processor seconds and wall clock of its stages, and how far that is from the floor.

Run with ``pituning bench tune``. The floor is what the products of matrices of forward and backward passes would take
on one thread at the speed of this machine's float32 matrix product; they are counted in a second run of the same.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.setting import seconds
from pituning.progress import Reporter, Silent
from pituning.tuning.config import TuneConfig
from pituning.tuning.run import tune
from pituning.workspace.layout import Workspace

WIDTH, ROUNDS = 1024, 5


def run(config: TuneConfig, *, count: bool = True, reporter: Reporter | None = None) -> dict[str, Any]:
    """Measures one tuning in a new workspace.

    Args:
        count: whether to count operations too, which runs it once more.

    Returns:
        ``stages``: of each phase of the run ``cpu_s`` and ``wall_s``; ``cpu_s`` and ``wall_s`` of all, ``score``; and
        where operations are counted ``flops``, ``floor_s`` and ``floor_share``, the floor over the processor seconds.
    """
    progress = reporter or Silent()
    progress.phase("tune", 1 + count)
    with tempfile.TemporaryDirectory() as folder:
        stages = _Stages()
        result = tune(config, Workspace.open(Path(folder) / "measured"), stages)
        stages.phase("", 0)
        progress.advance()
        total = [sum(stage[name] for stage in stages.taken.values()) for name in ("cpu_s", "wall_s")]
        measured = {
            "target": config.target, "processes": config.processes, "score": result["score"],
            "cpu_s": round(total[0], 2), "wall_s": round(total[1], 2), "stages": stages.taken,
        }  # fmt: skip
        if not count:
            return measured
        with FlopCounterMode(display=False) as counter:
            tune(replace(config, processes=1), Workspace.open(Path(folder) / "counted"), Silent())
        progress.advance()
    flops = counter.get_total_flops()
    floor = flops / _matrix_speed()
    return {**measured, "flops": flops, "floor_s": round(floor, 2), "floor_share": round(floor / total[0], 3)}


def _matrix_speed() -> float:
    """Operations a second of a float32 matrix product on one thread."""
    matrix = torch.randn(WIDTH, WIDTH)
    best = seconds({"product": lambda: matrix @ matrix}, rounds=ROUNDS, reporter=Silent())["product"]
    return 2 * WIDTH**3 / best


class _Stages(Silent):
    """Processor seconds, those of processes that have ended included, and wall clock between two phases."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, float]] = {}
        self._name, self._began = "prepare", self._now()

    def phase(self, name: str, total: int) -> None:
        stage = self.taken.setdefault(self._name, {"cpu_s": 0.0, "wall_s": 0.0})
        now = self._now()
        for key, before, after in zip(("cpu_s", "wall_s"), self._began, now, strict=True):
            stage[key] = round(stage[key] + after - before, 2)
        self._name, self._began = name, now

    @staticmethod
    def _now() -> tuple[float, float]:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used), time.monotonic()
