"""What it takes to make a data set of many images ready and to train on it: held in memory, and when asked for.

Run with ``python -m benchmarks.encoding 20000``; writes ``benchmarks/results/encoding.json``. Each way has a process of
its own, of which the peak memory is told beside what the process had before.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from pituning.backbones import shelf
from pituning.backbones.base import Backbone
from pituning.experts.model import ExpertModel
from pituning.tasks.base import Example, Task
from pituning.training.config import TrainConfig
from pituning.training.single import train_expert
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace

RESULT = Path(__file__).parent / "results" / "encoding.json"
STEPS, BATCH = 100, 8
MIB = 2**20


@dataclass(frozen=True)
class Noise:
    """A picture of its own for each seed."""

    seed: int

    def render(self, size: int) -> Image.Image:
        small = np.random.default_rng(self.seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return Image.fromarray(small).resize((size, size))


def run(count: int) -> dict[str, Any]:
    """Both ways, each once."""
    with TemporaryDirectory() as folder, get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        ways = {name: pool.apply(_one, (Path(folder), count, name == "held")) for name in ("held", "when asked for")}
    return {"images": count, "steps": STEPS, "batch": BATCH, "ways": ways}


def _one(folder: Path, count: int, held: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    workspace = Workspace.open(folder)
    backbone = Backbone.load(workspace.backbone_dir(DEFAULT_BACKBONE))
    task = Task(
        name="noise", title="Noise", instruction="what is it?", modality="vision", metric="accuracy",
        labels=("one", "two"), splits={"train": [], "validation": [], "test": []},
    )  # fmt: skip
    examples = [Example(uid=f"noise/train/{i}", text="", answer="one", image=Noise(i)) for i in range(count)]
    model = ExpertModel(backbone, "lora")
    shelf.HELD = 2**60 if held else 0
    before, began = _peak(), time.process_time()
    encoded = backbone.encode(task, examples)
    ready = time.process_time()
    train_expert(model, encoded, TrainConfig(steps=STEPS, batch_size=BATCH, learning_rate=1e-3))
    assert encoded.features is not None
    features = 4 * int(np.prod(encoded.features.shape))
    return {
        "encode_s": round(ready - began, 2), "train_s": round(time.process_time() - ready, 2),
        "peak_mib": round((_peak() - before) / MIB, 1), "features_mib": round(features / MIB, 1),
    }  # fmt: skip


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    found = run(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
