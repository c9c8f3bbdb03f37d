"""Experts on disk: a PEFT checkpoint with a card. Written whole or not at all, verified on loading."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as safetensors_load
from safetensors.torch import load_file, save_file
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import (
    CARD,
    CONFIG,
    IMPORTED,
    TENSORS,
    ExpertCard,
    git_commit,
    library_versions,
    read_card,
    verified_card,
    was_imported,
    write_card,
)
from pituning.experts.checking import check_against_peft, peft_version
from pituning.experts.checkpoint import Checkpoint, read_directory
from pituning.experts.fitting import check_fit
from pituning.experts.keeping import CHECKED, check_new_name, check_not_imported, keep_checkpoint
from pituning.experts.kinds import KINDS, full_settings
from pituning.experts.kinds.base import ExpertKind
from pituning.experts.model import ExpertModel
from pituning.experts.readme import FILE as README
from pituning.experts.readme import readme
from pituning.experts.space import ExpertSpace
from pituning.registry import load
from pituning.workspace.atomic import atomic_directory, read_json, sha256_file, write_text
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
    temperature: float | None = None,
    calibration: Mapping[str, Any] | None = None,
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
        temperature=temperature,
        calibration=dict(calibration or {}),
        versions=library_versions(),
        commit=git_commit(),
    )
    return Expert(name=name, kind=model.kind, task=task, values=values.detach().float().cpu(), card=card)


def save_expert(expert: Expert, model: ExpertModel, directory: Path, *, half: bool = False) -> ExpertCard:
    """Writes the expert as a PEFT checkpoint with its card; an expert that stood there is replaced as a whole, unless
    it was imported: nobody can make that again.

    Args:
        half: store float16, as the zoo does; loading gives the rounded values back as float32.

    Returns:
        The card as written, with the checksum.

    Raises:
        BadInput: when an imported expert is there.
        ArtefactError: when a value is not finite, or the disk is full.
    """
    check_not_imported(directory)
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
    """An expert of any kind and size, on whatever modules, with a model of its shape; errors as `load_expert`.

    What was imported without the model at hand is compared with plain PEFT now, and its card says so from then on.
    """
    directory = Path(directory)
    card = verified_card(directory, backbone=backbone.name, fingerprint=backbone.fingerprint)
    model = _model_of(directory, card, backbone)
    expert = load_expert(directory, model)
    if IMPORTED in card.spec and CHECKED not in card.spec:
        try:
            check_against_peft(model, expert.values, _document(directory), load_file(directory / TENSORS))
        except BadInput as error:
            raise ArtefactError(
                f"expert {card.name!r} {error}; remove it: pituning experts remove {card.name}"
            ) from error
        expert.card = replace(card, spec={**card.spec, CHECKED: peft_version()})
        write_card(expert.card, directory)
    return expert, model


@dataclass
class Together:
    """Experts of one kind, which may have different sizes and act on different modules.

    Args:
        model: of the usual layout.
        experts: by name, each in its own layout.
        spaces: that layout.
        left_out: the reason for each that cannot be mixed with the usual ones.
    """

    model: ExpertModel
    experts: dict[str, Expert]
    spaces: dict[str, ExpertSpace]
    left_out: dict[str, str]

    @property
    def sees(self) -> bool:
        """Whether one of them changes what sees pictures."""
        return any(self.model.backbone.sees_by(space.modules) for space in self.spaces.values())

    @property
    def usual(self) -> dict[str, Expert]:
        """Those of the usual layout."""
        return {name: expert for name, expert in self.experts.items() if self.spaces[name] == self.model.space}

    def model_for(self, names: Iterable[str]) -> ExpertModel:
        """A model of a layout that holds the named experts and new ones: the usual one where that does.

        Raises:
            BadInput: there is none.
        """
        layout = self.model.space
        for name in names:
            layout = self.model.method.together([layout, self.spaces[name]])
        return self.model if layout == self.model.space else ExpertModel(
            self.model.backbone, self.model.kind, space=layout
        )  # fmt: skip

    def placed(self, name: str, model: ExpertModel) -> Expert:
        """An expert in the layout of a model that holds it; one that it does not hold stays as it is."""
        expert, own = self.experts[name], self.spaces[name]
        if own == model.space or self.model.method.together([model.space, own]) != model.space:
            return expert
        return replace(expert, values=self.model.method.placed(expert.values, own, model.space))


def load_together(directories: Mapping[str, Path], model: ExpertModel, *, needed: Collection[str] = ()) -> Together:
    """Experts that can be mixed.

    Args:
        model: of the usual layout.
        needed: those that must not be left out.

    Raises:
        BadInput: one that is needed does not fit.
        ArtefactError: one is damaged, unless it was imported and is not needed.
    """
    together = Together(model, {}, {}, {})
    layout = model.space
    for name, directory in directories.items():
        try:
            expert, own = open_expert(directory, model.backbone)
            layout = model.method.together([layout, own.space])
            together.experts[name], together.spaces[name] = expert, own.space
        except (BadInput, ArtefactError) as error:
            if name in needed or (isinstance(error, ArtefactError) and not was_imported(directory)):
                raise
            together.left_out[name] = str(error)
    return together


def import_expert(directory: Path, *, task: str, name: str, backbone: Backbone, workspace: Workspace) -> Expert:
    """Imports a PEFT checkpoint, or an exported expert, into the workspace as expert ``name`` of ``task``.

    Its outputs are compared with plain PEFT's on a few prompts before it is kept.

    Raises:
        BadInput: ``directory`` is no checkpoint that can be used here, it does not do what plain PEFT does, or the name
            is taken.
        ArtefactError: the disk is full or not writable.
    """
    weights = sum(parameter.nbytes for parameter in backbone.model.parameters())
    imported = read_directory(Path(directory), weights=weights)
    return import_checkpoint(imported, task=task, name=name, backbone=backbone, workspace=workspace, over_shipped=True)


def import_checkpoint(
    imported: Checkpoint, *, task: str, name: str, backbone: Backbone, workspace: Workspace, over_shipped: bool = False
) -> Expert:
    """`import_expert` of a checkpoint that was read.

    Args:
        over_shipped: see `check_new_name`.
    """
    modules = {path for path, _ in backbone.model.named_modules()}
    fitted = check_fit(imported, backbone.places(), backbone.fingerprint, modules=modules)
    zoo = workspace.zoo(backbone.name)
    check_new_name(zoo, fitted.kind, name, over_shipped=over_shipped)
    method = _method(fitted.kind, fitted.document)
    space = method.space_of(backbone, fitted.config, fitted.shapes)
    model = ExpertModel(backbone, fitted.kind, space=space, document=fitted.document)
    values = model.values_of(safetensors_load(fitted.tensors)).cpu()
    try:
        check_against_peft(model, values, imported.document, safetensors_load(imported.tensors))
    except BadInput as error:
        raise imported.bad(str(error)) from error
    card = keep_checkpoint(
        fitted,
        zoo,
        name=name,
        task=task,
        fingerprint=backbone.fingerprint,
        checked=peft_version(),
        over_shipped=over_shipped,
    )
    return Expert(name=name, kind=card.kind, task=task, values=values, card=card)


def export_expert(directory: Path, destination: Path) -> Path:
    """Copies an expert to ``destination``, where PEFT can load it as README.md says; what stands there stays as it is.

    Raises:
        BadInput: when the destination exists and is not empty.
        ArtefactError: when the expert is damaged or the disk is full.
    """
    directory, destination = Path(directory), Path(destination)
    card = read_card(directory)
    taken = BadInput(f"{destination} exists already; give a new or empty directory", field="destination")
    if destination.is_file() or (destination.is_dir() and any(destination.iterdir())):
        raise taken
    if not (directory / TENSORS).is_file() or sha256_file(directory / TENSORS) != card.sha256:
        raise ArtefactError(f"{directory / TENSORS} is missing or damaged; make the expert again")
    with atomic_directory(destination, taken=taken) as folder:
        for name in (TENSORS, CONFIG, CARD):
            shutil.copyfile(directory / name, folder / name)
        write_text(folder / README, readme(card))
    return destination


def _method(kind: str, document: Mapping[str, Any] | None = None) -> ExpertKind:
    made: ExpertKind = load(KINDS[kind].path)(KINDS[kind], document)
    return made


def _model_of(directory: Path, card: ExpertCard, backbone: Backbone) -> ExpertModel:
    """A model of an expert's own layout, read from the names and shapes of its tensors."""
    document = _document(directory) if not KINDS[card.kind].mixable else None
    try:
        with safe_open(directory / TENSORS, framework="pt") as tensors:
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        settings = full_settings(card.kind, card.config)
        space = _method(card.kind, document).space_of(backbone, settings, shapes)
        for module in space.modules:
            if KINDS[card.kind].mixable:
                backbone.module(module)
    except (SafetensorError, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtefactError(
            f"{directory / TENSORS} is not a whole safetensors file ({reason}); make it again"
        ) from error
    except BadInput as error:
        raise ArtefactError(f"{directory / CARD} is damaged: {error}") from error
    except KeyError as error:
        raise ArtefactError(
            f"{directory / TENSORS} acts on {error.args[0]!r}, which backbone {backbone.name!r} does not have; make it "
            "again"
        ) from error
    return ExpertModel(backbone, card.kind, space=space, document=document)


def _document(directory: Path) -> Mapping[str, Any]:
    document: Mapping[str, Any] = read_json(directory / CONFIG)
    return document


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


def _check_finite(tensors: Mapping[str, Tensor], what: str, fix: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise ArtefactError(f"{what} has values that are not finite numbers in {name!r}; {fix}")
