"""Joins two parts to a backbone of a workspace, with a projector that has learned nothing yet."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from pituning.backbones.card import COMPOSED, BackboneCard, describe, read_config, write_card
from pituning.backbones.composed.backbone import check_language
from pituning.backbones.composed.config import ComposedConfig, PartPlaces
from pituning.backbones.composed.projector import COLOURS, Projector
from pituning.backbones.composed.vision import VisionPart
from pituning.backbones.composed.vision_parts import DIRECTORY_PART, VISION_PARTS
from pituning.backbones.files import fingerprint, missing_files, weight_files
from pituning.backbones.headers import read_weights
from pituning.backbones.loading import from_pretrained, quiet
from pituning.backbones.sources import check_free_name, name_taken
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter, Silent
from pituning.registry import load, unknown
from pituning.tasks.mini.drawing import draw
from pituning.tasks.mini.world import random_scene
from pituning.workspace.atomic import atomic_directory
from pituning.workspace.layout import Workspace
from pituning.workspace.paths import expanded

HIDDEN = 768
SIDE = 4
SCENES = 64
"""Drawn scenes whose features say how channels are distributed, until pretraining measures it on its own pictures."""


def compose(
    workspace: Workspace,
    *,
    vision: str,
    language: str,
    name: str,
    side: int | None = None,
    hidden: int = HIDDEN,
    image_experts: bool = True,
    rank: int | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> BackboneCard:
    """Makes a composed backbone.

    Args:
        vision: name of a vision part, or directory of a checkpoint.
        language: name of a backbone of the workspace, or directory of a checkpoint.
        side: an image becomes side x side tokens; by default `SIDE`, or as many as the encoder's grid has.
        hidden: width of the projector's inner layer.
        image_experts: whether experts attach to the projector, too.
        rank: of LoRA experts; by default the usual one.

    Raises:
        BadInput: a part is not there or is of another kind, its grid is smaller than ``side``, or the name is taken.
        ArtefactError: a part is damaged.
    """
    reporter = reporter or Silent()
    place = check_free_name(workspace, name)
    language_directory = _language(workspace, language)
    part_name, source = _vision(vision)
    if hidden < 1:
        raise BadInput(f"hidden is {hidden}; give a whole number of at least 1", field="hidden")
    if rank is not None and rank < 1:
        raise BadInput(f"rank is {rank}; give a whole number of at least 1", field="rank")
    reporter.phase("load parts", 2)
    part_class: type[VisionPart] = load(VISION_PARTS[part_name].path)
    part = part_class.load(source, torch.device("cpu"))
    chosen = side if side is not None else min(SIDE, part.side)
    if not 1 <= chosen <= part.side:
        raise BadInput(f"side is {chosen}; give 1 to {part.side}, the side of the grid of {vision!r}", field="side")
    reporter.advance()
    with quiet():
        model = from_pretrained(AutoModelForCausalLM, language_directory, torch.float32)
    embeddings = model.get_input_embeddings().weight
    reporter.advance()
    weights = read_weights(language_directory / file for file in weight_files(language_directory))
    config = ComposedConfig(
        vision=part_name,
        vision_fingerprint=part.fingerprint,
        language_fingerprint=fingerprint(language_directory),
        channels=part.channels + COLOURS,
        colours=True,
        image_experts=image_experts,
        expert_settings={} if rank is None else {"lora": {"rank": rank}},
        side=chosen,
        hidden=hidden,
        text_config=read_config(language_directory),
        vision_parameters=part.parameters,
        language_parameters=weights.parameters,
        language_dtype=weights.dtype,
    )
    projector = Projector(channels=config.channels, hidden=hidden, width=int(embeddings.shape[1]), tokens=config.tokens)
    projector.start(embeddings, seed)
    features = seen_scenes(part, config, seed)
    projector.standardise(features, colours=config.colours)
    projector.measure_reach(features)
    beside = language_directory.resolve().parent == place.resolve().parent
    places = PartPlaces(
        language=language_directory.name if beside else str(language_directory.resolve()),
        vision=None if source is None else str(source.resolve()),
    )
    with atomic_directory(place, taken=name_taken(name, workspace)) as staged:
        return write_composed(staged, name, config, places, projector, source=f"{vision} + {language}")


def write_composed(
    staged: Path, name: str, config: ComposedConfig, places: PartPlaces, projector: Projector, *, source: str
) -> BackboneCard:
    """Writes the files of a composed backbone and its card into a directory that nobody reads yet."""
    config.save(staged)
    places.save(staged)
    projector.save(staged)
    (staged / "projector.safetensors").chmod(0o644)  # safetensors makes files that only their owner may read
    licence = VISION_PARTS[config.vision].licence
    card = describe(staged, name=name, origin=COMPOSED, source=source, licence=licence, added=time.time())
    write_card(card, staged)
    return card


def _language(workspace: Workspace, text: str) -> Path:
    path = expanded(text)
    if "/" not in text and text in workspace.backbone_names():
        directory = workspace.backbone_dir(text)
    elif path.is_dir():
        directory = path
    else:
        raise unknown("language part", text, workspace.backbone_names(), field="language")
    lacking = missing_files(directory)
    if lacking:
        raise BadInput(f"language part {text!r} lacks {', '.join(lacking)}; give a whole checkpoint", field="language")
    try:
        check_language(directory)
    except ArtefactError as error:
        raise BadInput(str(error), field="language") from error
    return directory


def _vision(text: str) -> tuple[str, Path | None]:
    path = expanded(text)
    if path.is_dir():
        return DIRECTORY_PART, path
    if text == DIRECTORY_PART or text not in VISION_PARTS:
        known = [name for name in VISION_PARTS if name != DIRECTORY_PART]
        raise BadInput(
            f"vision part {text!r} is neither known ({', '.join(known)}) nor the directory of a checkpoint",
            field="vision",
        )
    return text, None


def seen_scenes(part: VisionPart, config: ComposedConfig, seed: int = 0) -> torch.Tensor:
    """(N, T, C) features of drawn scenes."""
    rng = Random(seed)
    scenes = np.stack([np.asarray(draw(random_scene(rng), part.image_size)) for _ in range(SCENES)])
    return part.features(torch.from_numpy(scenes), config.side, colours=config.colours)
