"""A small but complete workspace for the app's tests: similarities with planted families, and runs in every state."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save

from pituning.backbones.files import FILES, fingerprint
from pituning.backbones.places import AttentionShape, Block, Places
from pituning.experts.card import CONFIG, TENSORS, ExpertCard, write_card
from pituning.experts.kinds import KINDS, shipped_kinds
from pituning.runs.queue import RunQueue
from pituning.runs.records import AlphaPoint, CurvePoint, Run
from pituning.runs.spec import RunSpec
from pituning.tasks.base import Example, Task
from pituning.tasks.registry import list_tasks
from pituning.tasks.saved import save_task
from pituning.tuning.predictions import PREDICTIONS, predictions_csv
from pituning.workspace.atomic import sha256_file, write_bytes, write_json, write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.lowshot import COLUMNS, lowshot_csv
from pituning.workspace.similarity import ZooSimilarity, save_similarity

SHIPPED = shipped_kinds()
EXPERTS = 20 * len(SHIPPED)
PREDICTORS = ("probe", "paper")
REPLICATES = 20
SCORES = {"single": 61.0, "full": 63.5, "uniform": 64.0, "random": 60.2, "placebo": 61.4, "backbone": 20.0}


def make_workspace(root: Path) -> Workspace:
    """A workspace whose zoo is all 20 tasks; nothing of `data/` is used."""
    Workspace.open(root)
    workspace = Workspace(root, embedded=None)
    for file in FILES:
        write_bytes(root / "backbones" / "mini" / file, file.encode())
    PLACES.save(root / "backbones" / "mini")
    backbone = fingerprint(root / "backbones" / "mini")
    infos = list_tasks(None)
    names = tuple(info.name for info in infos)
    for number, kind in enumerate(SHIPPED):
        for offset, predictor in enumerate(PREDICTORS):
            generator = np.random.default_rng([number, offset])
            matrix = planted(infos, generator)
            noise = generator.normal(0, 0.05, (REPLICATES, len(names), len(names)))
            save_similarity(
                workspace.zoo().new_similarity_path(kind, predictor),
                ZooSimilarity(names=names, matrix=matrix, replicates=matrix + (noise + noise.transpose(0, 2, 1)) / 2),
            )
        for name in names:
            make_expert(workspace.zoo().new_expert_dir(kind, name), kind, backbone)
    return workspace


def _layer(stack: str, parts: Sequence[str]) -> list[Block]:
    root, layer = f"model.language_model.{stack}.layers.0", f"{stack}.0"
    blocks = []
    for part in parts:
        blocks += [
            Block(f"{root}.{part}.{leaf}", layer, part, f"{part}.{leaf}", role, 4, 4)
            for leaf, role in (("q_proj", "query"), ("v_proj", "value"), ("out_proj", "output"))
        ]
    blocks.append(Block(f"{root}.fc1", layer, "ffn", "fc1", "up", 4, 8))
    return [*blocks, Block(f"{root}.fc2", layer, "ffn", "fc2", "down", 8, 4)]


PLACES = Places(
    blocks=(*_layer("encoder", ["self_attn"]), *_layer("decoder", ["self_attn", "encoder_attn"])),
    attention=AttentionShape(("model.language_model.decoder.layers.0.self_attn",), ("decoder.0",), 1, 4, 1, True),
    width=4,
)
"""Of the backbone, whose other files are not what they are called."""
ROLES = {"lora": ("query", "value", "up", "down"), "bottleneck": ("output", "down"), "ia3": ("value", "down")}

PEFT_CONFIGS: dict[str, dict[str, Any]] = {
    "lora": {"peft_type": "LORA", "r": 4, "lora_alpha": 8},
    "bottleneck": {"peft_type": "BOTTLENECK", "size": 16},
    "prefix": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 30},
    "ia3": {"peft_type": "IA3"},
}


@cache
def expert_tensors(kind: str, value: float = 0.5) -> bytes:
    """The tensors of an expert of the backbone, all of one value."""
    record = KINDS[kind]
    sizes = {**{key: int(size) for key, size in record.defaults.items()}, "prefix": 8}
    if not record.of_modules:
        shapes = {name: [sizes[dim] for dim in allowed[0]] for name, allowed in record.tensors.items()}
    else:
        shapes = {
            f"base_model.model.{block.module}.{name}": [
                dim if isinstance(dim, int) else {**sizes, "in": block.d_in, "out": block.d_out}[dim]
                for dim in allowed[-1 if block.role == "down" else 0]
            ]
            for block in PLACES.blocks
            if block.role in ROLES[kind]
            for name, allowed in record.tensors.items()
        }
    return save({name: np.full(shape, value, np.float32) for name, shape in shapes.items()})


def make_expert(
    folder: Path, kind: str, backbone: str, *, task: str | None = None, spec: dict[str, Any] | None = None
) -> None:
    """An expert that is whole as far as can be told without loading it."""
    write_bytes(folder / TENSORS, expert_tensors(kind))
    write_json(folder / CONFIG, PEFT_CONFIGS[kind])
    card = ExpertCard(
        name=folder.name, kind=kind, task=task or folder.name, config=KINDS[kind].defaults, backbone="mini",
        fingerprint=backbone, sha256=sha256_file(folder / TENSORS), seed=0, spec=spec or {}, scores={"test": 61.5},
    )  # fmt: skip
    write_card(card, folder)


def planted(infos: list[Any], generator: np.random.Generator) -> np.ndarray:
    """Similarities (N, N), higher within a modality and higher still within a planted family."""
    count = len(infos)
    matrix = generator.normal(0.1, 0.08, (count, count))
    for i, first in enumerate(infos):
        for j, second in enumerate(infos):
            matrix[i, j] += 0.25 * (first.modality == second.modality)
            matrix[i, j] += 0.4 * bool(set(first.families) & set(second.families))
    matrix = np.clip((matrix + matrix.T) / 2, -1, 1)
    np.fill_diagonal(matrix, 1)
    return matrix


def queued(workspace: Workspace, target: str = "digits", **config: Any) -> Run:
    """A run that waits."""
    queue = RunQueue(workspace)
    return queue.get(queue.submit(RunSpec(kind="tune", config={"target": target, **config})))


def running(workspace: Workspace, target: str = "digits", **config: Any) -> Run:
    """A run half-way through, with curves and weights."""
    run = queued(workspace, target, **config)
    queue = RunQueue(workspace)
    claimed = queue.claim("test-owner")
    assert claimed is not None
    assert claimed.id == run.id
    sites = [
        f"{part}.{layer}.{where}" for part in ("encoder", "decoder") for layer in range(3) for where in ("attn", "ffn")
    ]
    luck = random.Random(run.id)
    metrics = [
        CurvePoint(series, step, name, 2.0 * 0.97**step + 0.1 * luck.random())
        for series in ("single", "full", "pi")
        for name, every in (("loss", 5), ("held_out_loss", 20))
        for step in range(0, 60, every)
    ]
    alphas = [
        AlphaPoint(step, tuple(sites), ("own", "shape", "texture", "creatures"), tuple(_weights(luck) for _ in sites))
        for step in (0, 20, 40)
    ]
    queue.report(
        claimed.claim,
        progress={"phase": "train pi", "done": 45, "total": 100, "eta_s": 40.0},
        metrics=metrics,
        alphas=alphas,
    )
    log = workspace.run_dir(run.id) / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("shots: 160 examples of digits\ndonors: shape, texture, creatures\n", encoding="utf-8")
    return queue.get(run.id)


LABELS = ("good", "bad")
"""Of `own_task`."""

STUDIED = {"mixture": 60.0, "single": 50.0, "donor": 55.0, "untouched": 20.0, "placebo": 47.0}
"""Points of each method that `study` gives the first target; the second has four more."""


def study(workspace: Workspace) -> None:
    """A low-shot study of two targets with two seeds; π-tuning is the mixture, 10 points above the single expert."""
    losses = {"mixture": 0.2, "single": 0.3, "donor": 0.4, "untouched": 0.9}
    rows = [
        (target, "lora", 16, seed, method, points + 4 * number, losses.get(method, 0.5), 25, 0.005, 40, "nli+rte", 1000,
         f"{seed}a{number}")
        for number, target in enumerate(("vqa", "digits"))
        for seed in (0, 1)
        for method, points in STUDIED.items()
    ]  # fmt: skip
    rows += [("vqa", "lora", 0, 0, "backbone", 5.0, None, 0, 0.0, 0, "", 1000, "b")]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"held_out_loss": float})
    write_text(workspace.zoo().new_lowshot_path("lora"), lowshot_csv(frame))


def _weights(luck: random.Random) -> tuple[float, ...]:
    raw = [luck.random() + 0.2 for _ in range(4)]
    return tuple(value / sum(raw) for value in raw)


def done(workspace: Workspace, target: str = "digits", *, gain: float = 6.0, **config: Any) -> Run:
    """A finished run whose result is ``gain`` points above the single expert."""
    run = running(workspace, target, **config)
    path = workspace.run_dir(run.id) / "result.json"
    result = result_of(run, gain)
    path.write_text(json.dumps(result), encoding="utf-8")
    rows = result["predictions"]
    examples = [Example(uid=row["uid"], text=row["text"], answer=row["answer"]) for row in rows]
    answers, scores, losses = ([row[name] for row in rows] for name in ("prediction", "score", "loss"))
    table = predictions_csv(examples, {"pi": answers, "single": answers[::-1]}, np.array(scores), np.array(losses))
    (path.parent / PREDICTIONS).write_text(table, encoding="utf-8")
    RunQueue(workspace).finish(run.claim, "succeeded", result_path=str(path.relative_to(workspace.root)))
    return RunQueue(workspace).get(run.id)


def own_task(workspace: Workspace, name: str = "my-reviews") -> Run:
    """A task that somebody uploaded, with a finished run on it: it is on the graph by its shots."""
    rows = [Example(uid=f"{name}/{i}", text=f"dish {i} was {word}", answer=word) for i in range(8) for word in LABELS]
    task = Task(
        name=name, title="My restaurant reviews", instruction="Is the review good or bad?", modality="language",
        metric="accuracy", labels=LABELS, source="upload",
        splits={"train": rows[:8], "validation": rows[8:10], "test": rows[10:]},
    )  # fmt: skip
    save_task(task, workspace)
    return done(workspace, name)


def failed(workspace: Workspace, error: str = "loss is NaN at step 12 with learning rate 0.02; lower it") -> Run:
    """A run that failed."""
    run = running(workspace, "nli")
    RunQueue(workspace).finish(run.claim, "failed", error=error)
    return RunQueue(workspace).get(run.id)


def cancelled(workspace: Workspace) -> Run:
    """A run that was cancelled before it began."""
    run = queued(workspace, "vqa")
    RunQueue(workspace).cancel(run.id)
    return RunQueue(workspace).get(run.id)


def result_of(run: Run, gain: float) -> dict[str, Any]:
    """A result with everything that a page can show."""
    seed = int(run.spec.config.get("seed", 0))
    scores = {name: value + 0.3 * seed for name, value in SCORES.items()}
    pi = scores["single"] + gain
    target = run.spec.subject
    return {
        "target": target,
        "kind": run.spec.config.get("kind", "lora"),
        "shots": run.spec.config.get("shots", 16),
        "seed": seed,
        "donors": ["shape", "texture", "creatures"],
        "confidence": {"shape": 0.95, "texture": 0.7, "creatures": 0.55},
        "weights": {"own": 0.4, "shape": 0.3, "texture": 0.2, "creatures": 0.1},
        "score": pi,
        "test_examples": 200,
        "metric": "accuracy",
        "recommended": "mixture",
        "held_out_errors": {"mixture": 0.3, "backbone": 0.74, "largest": 0.9, "chance": 0.9},
        "baselines": scores,
        "chosen": "mixture",
        "candidates": {
            "mixture": {"held_out_loss": 0.31, "learning_rate": 0.005, "steps": 60, "curve": {"20": 0.5, "60": 0.31}},
            "single": {"held_out_loss": 0.42, "learning_rate": 0.005, "steps": 80, "curve": {"20": 0.7, "80": 0.42}},
        },
        "mixture_score": pi,
        "intervals": {"pi": [pi - 2, pi + 2], **{name: [value - 2, value + 2] for name, value in scores.items()}},
        "gains": {
            name: {"mean": pi - value, "low": pi - value - 2.5, "high": pi - value + 2.5}
            for name, value in scores.items()
        },
        "neighbors": [
            {"task": name, "similarity": 0.6 - 0.1 * rank, "rank": rank + 1, "confidence": 0.9, "low": 0.1, "high": 0.7}
            for rank, name in enumerate(("shape", "texture", "creatures", "colour"))
        ],
        "learning_curve": [
            {"shots": shots, "score": points, "low": points - 3, "high": points + 3}
            for shots, points in ((1, pi - 20), (4, pi - 5), (16, pi))
        ],
        "per_class": {str(digit): 50.0 + 4 * digit for digit in range(10)},
        "predictions": [
            {
                "uid": f"{target}/test/{i}",
                "text": "",
                "answer": str(i % 10),
                "prediction": str((i + i % 2) % 10),
                "score": 100.0 * ((i + 1) % 2),
                "loss": 0.1 * i,
            }
            for i in range(6)
        ],
        "expert": f"pi-{target}",
        "run": run.id,
        "finished": time.time(),
    }
