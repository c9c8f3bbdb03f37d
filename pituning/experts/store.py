"""Experts on disk: a PEFT checkpoint with a card. Written whole or not at all, verified on loading."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import (
    CARD,
    CONFIG,
    TENSORS,
    ExpertCard,
    git_commit,
    library_versions,
    read_card,
    verified_card,
    write_card,
)
from pituning.experts.checkpoint import IMPORTED, peft_settings
from pituning.experts.model import ExpertModel
from pituning.workspace.atomic import atomic_directory, read_json, sha256_file
from pituning.workspace.layout import Workspace, check_name


@dataclass
class Expert:
    """An expert in memory: flat float32 values (P,) and what its card says."""

    name: str
    kind: str
    task: str
    values: Tensor
    card: ExpertCard


def make_expert(
    model: ExpertModel,
    values: Tensor,
    *,
    name: str,
    task: str,
    seed: int | None = None,
    spec: Mapping[str, Any] | None = None,
    scores: Mapping[str, float] | None = None,
) -> Expert:
    """An expert with a card that names its backbone, library versions and commit."""
    card = ExpertCard(
        name=check_name(name, what="expert"),
        kind=model.kind,
        task=task,
        config=dict(model.space.config),
        backbone=model.backbone.name,
        fingerprint=model.backbone.fingerprint,
        seed=seed,
        spec=dict(spec or {}),
        scores=dict(scores or {}),
        versions=library_versions(),
        commit=git_commit(),
    )
    return Expert(name=name, kind=model.kind, task=task, values=values.detach().float().cpu(), card=card)


def save_expert(expert: Expert, model: ExpertModel, directory: Path, *, half: bool = False) -> ExpertCard:
    """Writes the expert as a PEFT checkpoint with its card; an expert that stood there is replaced as a whole.

    Args:
        half: store float16, as the zoo does; loading gives the rounded values back as float32.

    Returns:
        The card as written, with the checksum.

    Raises:
        ArtefactError: when a value is not finite, or the disk is full.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in model.checkpoint(expert.values.cpu()).items()}
    _check_finite(tensors, f"expert {expert.name!r}", "it was not saved; train it again with a smaller learning rate")
    with atomic_directory(Path(directory)) as folder:
        # Cloned: a slice of the flat vector would be written with all of it.
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / TENSORS, {"format": "pt"})
        model.peft_config.save_pretrained(folder)
        card = replace(expert.card, sha256=sha256_file(folder / TENSORS))
        write_card(card, folder)
    return card


def load_expert(directory: Path, model: ExpertModel) -> Expert:
    """The expert in ``directory``, verified against its card and ``model``.

    Raises:
        BackboneMismatch: when it belongs to another backbone.
        ArtefactError: when it is missing, damaged, of another kind or shape, or has values that are not finite.
    """
    directory = Path(directory)
    card = verified_card(directory, backbone=model.backbone.name, fingerprint=model.backbone.fingerprint)
    settings = dict(model.space.config)
    if card.kind != model.kind or dict(card.config) != settings:
        raise ArtefactError(
            f"expert {card.name!r} is {card.kind} {dict(card.config)}, expected {model.kind} {settings}; "
            "choose experts of one kind and size"
        )
    values = _read_values(directory / TENSORS, model)
    return Expert(name=card.name, kind=card.kind, task=card.task, values=values, card=card)


def open_expert(directory: Path, backbone: Backbone) -> tuple[Expert, ExpertModel]:
    """An expert of any kind and size with a model of its shape; errors as `load_expert`."""
    card = read_card(directory)
    try:
        model = ExpertModel(backbone, card.kind, card.config)
    except BadInput as error:
        raise ArtefactError(f"{directory / CARD} is damaged: {error}") from error
    return load_expert(directory, model), model


def import_expert(directory: Path, *, task: str, name: str, backbone: Backbone, workspace: Workspace) -> Expert:
    """Copies a PEFT checkpoint, or an exported expert, into the workspace as expert ``name`` of ``task``.

    Raises:
        BadInput: when ``directory`` is not a checkpoint that can be used here, or the name is taken.
        BackboneMismatch: when its card names another backbone.
        ArtefactError: when its tensors are damaged or do not fit the backbone.
    """
    directory = Path(directory)
    check_name(name, what="expert")
    kind, config = _peft_config_of(directory)
    target = workspace.zoo(backbone.name).new_expert_dir(kind, name)
    if target.exists():
        raise BadInput(f"there is already a {kind} expert {name!r}; choose another name", field="name")
    if (directory / CARD).is_file():
        source, model = open_expert(directory, backbone)
        card = replace(source.card, name=name, task=task, spec={**source.card.spec, IMPORTED: directory.resolve().name})
        expert = replace(source, name=name, task=task, card=card)
    else:
        model = ExpertModel(backbone, kind, config)
        if not (directory / TENSORS).is_file():
            raise BadInput(f"{directory} has no {TENSORS}; save the expert as safetensors", field="directory")
        values = _read_values(directory / TENSORS, model)
        expert = make_expert(model, values, name=name, task=task, spec={IMPORTED: directory.resolve().name})
    expert.card = save_expert(expert, model, target)
    return expert


def export_expert(directory: Path, destination: Path) -> Path:
    """Copies an expert to ``destination``, where PEFT can load it; what stands there is never touched.

    Raises:
        BadInput: when the destination exists and is not empty.
        ArtefactError: when the expert is damaged or the disk is full.
    """
    directory, destination = Path(directory), Path(destination)
    card = read_card(directory)
    if destination.is_file() or (destination.is_dir() and any(destination.iterdir())):
        raise BadInput(f"{destination} exists already; give a new or empty directory", field="destination")
    if not (directory / TENSORS).is_file() or sha256_file(directory / TENSORS) != card.sha256:
        raise ArtefactError(f"{directory / TENSORS} is missing or damaged; make the expert again")
    with atomic_directory(destination) as folder:
        for name in (TENSORS, CONFIG, CARD):
            shutil.copyfile(directory / name, folder / name)
    return destination


def _read_values(path: Path, model: ExpertModel) -> Tensor:
    """(P,) float32 values of a checkpoint whose tensors are checked against the model's shapes."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtefactError(f"{path} is not a whole safetensors file ({reason}); copy or make it again") from error
    expected = model.checkpoint_shapes()
    foreign = sorted(set(tensors) - set(expected))
    missing = sorted(set(expected) - set(tensors))
    if foreign or missing:
        what, first = ("has unknown", foreign) if foreign else ("lacks", missing)
        raise ArtefactError(
            f"{path} {what} tensor {first[0]!r} and {len(foreign) + len(missing) - 1} more differ; "
            f"it is no {model.kind} expert of backbone {model.backbone.name!r}"
        )
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise ArtefactError(
                f"{path}: tensor {name!r} has shape {tuple(tensors[name].shape)}, expected {shape}; "
                f"it is no {model.kind} expert of backbone {model.backbone.name!r}"
            )
    _check_finite(tensors, str(path), "make or import the expert again")
    return model.values_of(tensors).cpu()


def _check_finite(tensors: Mapping[str, Tensor], what: str, mend: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise ArtefactError(f"{what} has values that are not finite numbers in {name!r}; {mend}")


def _peft_config_of(directory: Path) -> tuple[str, dict[str, float]]:
    """Kind and settings of a PEFT checkpoint."""
    path = directory / CONFIG
    if not path.is_file():
        raise BadInput(f"{directory} has no {CONFIG}; give the directory of a PEFT checkpoint", field="directory")
    try:
        document = read_json(path)
    except ArtefactError as error:
        raise BadInput(f"{path} is not a PEFT config ({error}); save the expert again", field="directory") from error
    return peft_settings(document, str(path), field="directory")
