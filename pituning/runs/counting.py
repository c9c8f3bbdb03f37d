"""The run that only counts: it shows that queue, workers and checkpoints work, and costs nothing. Torch-free.

Each step folds its number into a chain of SHA-256 digests, so that the end tells whether every step was done once and
in order, through whatever interruptions.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import Workspace


@dataclass(frozen=True, kw_only=True)
class CountRun:
    """Count to a number.

    Raises:
        BadInput: when a value is out of its range; ``field`` names it.
    """

    upto: int = field(default=10, metadata={"help": "How far to count."})
    pause: float = field(default=0.1, metadata={"help": "Seconds between two steps."})
    checkpoint_every: int = field(default=5, metadata={"help": "Steps between checkpoints."})
    seed: int = field(default=0, metadata={"help": "Where the chain of digests starts."})

    def __post_init__(self) -> None:
        for name in ("upto", "checkpoint_every"):
            if not getattr(self, name) >= 1:
                raise BadInput(f"{name} is {getattr(self, name)!r}; give a whole number of at least 1", field=name)
        if not 0 <= self.pause <= 60:
            raise BadInput(f"pause is {self.pause!r}; give 0 to 60 seconds", field="pause")


def link(digest: str, step: int) -> str:
    """The chain one step on."""
    return hashlib.sha256(f"{digest} {step}".encode()).hexdigest()


def count(config: CountRun, _workspace: Workspace, reporter: Reporter, checkpoint: Path) -> Mapping[str, Any]:
    """Counts, and goes on from the last checkpoint where there is one.

    Args:
        checkpoint: a directory; a damaged checkpoint in it is left aside.
    """
    path = checkpoint / "count.json"
    step, digest = _restore(path, config)
    reporter.phase("count", config.upto)
    if step:
        reporter.log(f"goes on from the checkpoint at step {step}")
        reporter.advance(step)
    while step < config.upto:
        time.sleep(config.pause)
        step += 1
        digest = link(digest, step)
        reporter.curve("count", step, {"value": step})
        if step % config.checkpoint_every == 0:
            write_json(path, {"step": step, "digest": digest, "check": link(digest, -1)})
        reporter.advance()
    return {"counted": step, "digest": digest, "seed": config.seed}


def _restore(path: Path, config: CountRun) -> tuple[int, str]:
    start = link("", config.seed)
    try:
        kept = read_json(path)
        step, digest = int(kept["step"]), str(kept["digest"])
        return (step, digest) if kept["check"] == link(digest, -1) and step <= config.upto else (0, start)
    except (ArtefactError, KeyError, TypeError, ValueError):
        return 0, start
