"""Where runs are done: one slot for each GPU, or as many as people ask for. Torch-free."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASK_SECONDS = 20


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time; ``gpu`` is what `VISIBLE` calls its GPU, None on a CPU."""

    name: str
    gpu: str | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What a worker in this slot finds in its environment."""
        return {} if self.gpu is None else {VISIBLE: self.gpu}


def make_slots(count: int | None = None, gpus: list[str] | None = None) -> list[Slot]:
    """One slot for each GPU, or one on the CPU where there is none.

    Args:
        count: how many slots instead; more than there are GPUs share them.
        gpus: the machine's GPUs; looked up when left out.
    """
    gpus = find_gpus() if gpus is None else gpus
    if not gpus:
        return [Slot(f"cpu {number}") for number in range(count or 1)]
    rounds = range(count or len(gpus))
    names = [f"gpu {gpus[n % len(gpus)]}" + (f" ({n // len(gpus) + 1})" if n >= len(gpus) else "") for n in rounds]
    return [Slot(name, gpus[number % len(gpus)]) for number, name in enumerate(names)]


def find_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as `VISIBLE` calls them."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [word for word in (part.strip() for part in given.split(",")) if word and word != "-1"]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        query = [program, "--query-gpu=index", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip().isdigit()]
