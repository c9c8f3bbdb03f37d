"""Trains the projector of a composed backbone, and a low-rank update of its language model; see docs/backbone.md."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.blocks import ROLES
from pituning.backbones.composed.backbone import ComposedBackbone
from pituning.backbones.composed.composing import seen_scenes
from pituning.backbones.composed.config import PARTS, UPDATE, UPDATE_CONFIG
from pituning.backbones.loading import quiet
from pituning.errors import BadInput
from pituning.pretraining.projector.config import ProjectorConfig
from pituning.pretraining.projector.lessons import Lesson, heldout_lessons, lessons_of
from pituning.pretraining.projector.packing import losses, pack
from pituning.pretraining.projector.words import PictureWords
from pituning.pretraining.state import restore_state, save_state
from pituning.progress import Reporter, Silent
from pituning.workspace.atomic import read_json, write_json

STATE, RECIPE, CURVE = "state.safetensors", "recipe.json", "curve.jsonl"
MEASURED_ON = 64
"""Pictures by which the features are standardised."""
HELDOUT = 60


class Trainee:
    """A composed backbone whose projector is trained, and whose language model has an update that begins at zero.

    Args:
        backbone: as it is loaded; its update is trained on, where it has one already, by a further one.
    """

    def __init__(self, backbone: ComposedBackbone, config: ProjectorConfig):
        self.backbone, self.config = backbone, config
        self.projector = backbone.projector
        self.peft = None
        if config.rank:
            leaves = sorted({block.module.rpartition(".")[2] for block in backbone.blocks if block.role in ROLES})
            lora = LoraConfig(task_type="CAUSAL_LM", r=config.rank, lora_alpha=2 * config.rank, target_modules=leaves)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                with quiet():
                    self.peft = get_peft_model(backbone.model, lora).eval()
            self.train_update(False)
        # Below, since PEFT freezes all that is in the model.
        self.parameters: dict[str, Tensor] = {
            f"projector.{name}": value.requires_grad_(True) for name, value in self.projector.learned.items()
        }
        self.update = {} if self.peft is None else {
            name: parameter for name, parameter in self.peft.named_parameters() if ".lora_" in name
        }  # fmt: skip
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(self.parameters.values(), config.rate, betas=(0.9, 0.98), weight_decay=0.01)
        ]
        if self.update:
            self.optimizers.append(torch.optim.AdamW(self.update.values(), config.update_rate, betas=(0.9, 0.98),
                                                     weight_decay=0.0))  # fmt: skip

    def train_update(self, on: bool) -> None:
        """Whether the update takes part in the training."""
        assert self.peft is not None
        for name, parameter in self.peft.named_parameters():
            if ".lora_" in name:
                parameter.requires_grad_(on)

    @property
    def kept(self) -> dict[str, Tensor]:
        """All that a state holds, by name; the buffers that standardise the features too."""
        buffers = {f"buffer.{name}": getattr(self.projector, name) for name in ("mean", "deviation")}
        return {**self.parameters, **self.update, **buffers}

    def step(self, number: int, lessons: Sequence[Lesson]) -> list[tuple[str, float]]:
        """One step; gives the loss per token of each question."""
        config = self.config
        if self.peft is not None and number >= config.update_begins:
            self.train_update(True)
        shares = (config.rate * config.share(number), config.update_rate * config.update_share(number))
        for optimizer, rate in zip(self.optimizers, shares, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate
        packed = pack(self.backbone, lessons)
        seen = self.blindly(len(lessons)) if config.blind else features_of(self.backbone, lessons)
        sums, lengths = losses(self.backbone, packed, seen)
        (sums / lengths.sqrt()).mean().backward()
        torch.nn.utils.clip_grad_norm_([*self.parameters.values(), *self.update.values()], config.clip)
        for optimizer in self.optimizers[: 1 + (number >= config.update_begins)]:
            optimizer.step()
            optimizer.zero_grad()
        each = (sums / lengths).tolist()
        return [(question.objective, value) for question, value in zip(packed.questions, each, strict=True)]

    def blindly(self, count: int) -> Tensor:
        """(N, S, C) average features, in the place of those of so many pictures."""
        return self.projector.mean.expand(count, self.backbone.config.tokens, -1).half()

    def save(self, directory: Path, trained: dict[str, object]) -> None:
        """Writes the backbone with what was learned; the update is kept as it is, and merged when it is loaded."""
        directory.mkdir(parents=True, exist_ok=True)
        self.projector.measure_reach(seen_scenes(self.backbone.vision, self.backbone.config))
        self.projector.save(directory)
        replace(self.backbone.config, updated=bool(self.update), trained=trained).save(directory)
        if self.peft is not None:
            tensors = get_peft_model_state_dict(self.peft)
            save_file({name: value.to(torch.float16).contiguous() for name, value in tensors.items()},
                      directory / UPDATE)  # fmt: skip
            document = self.peft.peft_config["default"].to_dict()
            document |= {"base_model_name_or_path": None, "inference_mode": True}
            write_json(directory / UPDATE_CONFIG, json.loads(json.dumps(document, default=_plain)))


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set) else getattr(value, "value", str(value))


def features_of(backbone: ComposedBackbone, lessons: Sequence[Lesson]) -> Tensor:
    """(N, S, C) features of the lessons' pictures."""
    pictures = [np.asarray(lesson.draw(backbone.image_size), dtype=np.uint8) for lesson in lessons]
    return torch.stack(backbone.features_of(pictures))


def pretrain_projector(
    source: Path,
    directory: Path,
    config: ProjectorConfig,
    *,
    pictures: Path | None = None,
    reporter: Reporter | None = None,
    save_every: int = 50,
    report_every: int = 25,
) -> Path:
    """Trains (or goes on training) in ``directory``; returns the directory of the trained backbone in it.

    Args:
        source: directory of the composed backbone; nothing of it is changed.
        pictures: directory with pictures and words, as `PictureWords` reads it; without it only drawn ones are shown.

    Raises:
        BadInput: the backbone is no composed one, or the recipe is another than that of the run that is to go on.
    """
    reporter = reporter or Silent()
    words = None if pictures is None else PictureWords(pictures)
    directory.mkdir(parents=True, exist_ok=True)
    recipe = {name: value for name, value in asdict(config).items() if name != "blind" or value}
    recipe |= {"pictures": None if words is None else len(words.of_split["pretrain"])}
    _same_recipe(directory, recipe)
    reporter.phase("load", 1)
    backbone = Backbone.load(source)
    if not isinstance(backbone, ComposedBackbone):
        raise BadInput(
            f"backbone {source.name!r} is not composed, it has no projector to pretrain; make one: "
            "pituning backbones compose",
            field="backbone",
        )
    if backbone.config.updated:
        raise BadInput(
            f"backbone {source.name!r} is pretrained already; compose a new one: pituning backbones compose",
            field="backbone",
        )
    trainee = Trainee(backbone, config)
    begin = restore_state(directory / STATE, trainee.kept, trainee.optimizers)
    if not begin:
        first = [one for step in range(-(-MEASURED_ON // config.images))
                 for one in lessons_of(config.seed, step, config.images, config.questions, words)]  # fmt: skip
        trainee.projector.standardise(features_of(backbone, first), colours=backbone.config.colours)
    write_json(directory / RECIPE, recipe)
    reporter.advance()
    reporter.phase(f"pretrain {source.name}", config.steps)
    reporter.advance(begin)
    recent: dict[str, list[float]] = defaultdict(list)
    clock, processor = time.monotonic(), time.process_time()
    for step in range(begin, config.steps):
        lessons = lessons_of(config.seed, step, config.images, config.questions, words)
        for objective, value in trainee.step(step, lessons):
            recent[objective].append(value)
        reporter.advance()
        done = step + 1
        if done % report_every == 0:
            values = {name: sum(each) / len(each) for name, each in sorted(recent.items())}
            mean = sum(map(sum, recent.values())) / sum(map(len, recent.values()))
            line = {"step": done, "seconds": round(time.monotonic() - clock, 1), "loss": mean, "train": values,
                    "processor": round(time.process_time() - processor, 1)}  # fmt: skip
            with (directory / CURVE).open("a") as curve:
                curve.write(json.dumps(line) + "\n")
            reporter.curve("pretrain", done, {"loss": mean})
            recent.clear()
        if done % save_every == 0 or done == config.steps:
            save_state(directory / STATE, done, trainee.kept, trainee.optimizers)
            finish(trainee, source, directory, done, recipe)
    return directory / source.name


def finish(trainee: Trainee, source: Path, directory: Path, steps: int, recipe: dict[str, object]) -> None:
    """Writes the backbone as it is after some steps, with where its parts are."""
    out = directory / source.name
    trainee.save(out, {**recipe, "steps_done": steps})
    write_json(out / PARTS, read_json(source / PARTS))


def evaluate(
    backbone: ComposedBackbone, words: PictureWords | None, *, images: int = HELDOUT, questions: int = 6, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Loss per answer token in nats by objective on held-out pictures: as they are, shuffled, and an average one."""
    lessons = heldout_lessons(seed, images, questions, words)
    features = features_of(backbone, lessons)
    looks = {
        "seen": features,
        "shuffled": features.roll(len(lessons) // 2, dims=0),
        "average": backbone.projector.mean.expand_as(features).to(features.dtype),
    }
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for look, given in looks.items():
        sums: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for begin in range(0, len(lessons), 5):
            packed = pack(backbone, lessons[begin : begin + 5])
            with torch.no_grad():
                nats, lengths = losses(backbone, packed, given[begin : begin + 5])
            for question, nat, length in zip(packed.questions, nats.tolist(), lengths.tolist(), strict=True):
                for group in (question.objective, "all"):
                    sums[group].append((nat, length))
        for group, pairs in sums.items():
            table[group][look] = sum(nat for nat, _ in pairs) / sum(length for _, length in pairs)
            table[group]["questions"] = len(pairs)
    return dict(table)


def _same_recipe(directory: Path, recipe: dict[str, object]) -> None:
    path = directory / RECIPE
    if not path.exists():
        return
    before = read_json(path)
    changed = [key for key in recipe if key != "steps" and before.get(key) != recipe[key]]
    if changed:
        key = changed[0]
        raise BadInput(
            f"{directory} holds a run with {key} {before.get(key)!r}, not {recipe[key]!r}; give that, or another --out",
            field=key,
        )
