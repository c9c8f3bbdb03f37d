"""A backbone's card: what it is, where it came from and under which licence. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pituning.backbones.composed.config import ComposedConfig
from pituning.backbones.families import family_of
from pituning.backbones.files import CONFIG, fingerprint, is_composed, require_files, weight_files
from pituning.backbones.headers import Weights, read_weights
from pituning.backbones.licence import licence_of
from pituning.errors import ArtefactError
from pituning.workspace.atomic import read_json, write_json
from pituning.workspace.layout import Workspace

FORMAT_VERSION = 1
CARD = "backbone.json"
EMBEDDED_LICENCE = "Apache-2.0"
"""Of the backbone that ships with the package, as of the package itself."""

HUB, DIRECTORY, GGUF, PACKAGE, EMBEDDED, COMPOSED = "hub", "directory", "gguf", "package", "embedded", "composed"
ORIGINS = (HUB, DIRECTORY, GGUF, PACKAGE, EMBEDDED, COMPOSED)

_POSITIONS = (
    "max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len", "seq_length",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BackboneCard:
    """What stands in ``backbone.json`` beside the weights.

    Args:
        name: the backbone's name in its workspace.
        origin: ``hub``, ``directory``, ``gguf``, ``package``, ``embedded`` or ``composed``.
        source: what it was added from: a hub id, a path, or the name of a package's record.
        revision: the commit of the hub's repository; None for other origins.
        family: of `pituning.backbones.families.FAMILIES`.
        model_type: as its ``config.json`` has it.
        licence: as its makers name it; ``unknown`` where they do not.
        parameters: how many numbers its weights are, those of its parts included.
        modalities: of the tasks that it can do.
        size: of its files on disk, bytes.
        dtype: of its weights, as PyTorch calls it.
        max_tokens: context length; None where the model has no limit of its own or names none.
        fingerprint: 64 hexadecimal digits over weights, config and tokenizer.
        added: when, seconds since the epoch; None where it was not added by a command.
    """

    name: str
    origin: str
    source: str
    revision: str | None = None
    family: str
    model_type: str
    licence: str
    parameters: int
    modalities: tuple[str, ...]
    size: int
    dtype: str
    max_tokens: int | None
    fingerprint: str
    added: float | None = None
    format_version: int = FORMAT_VERSION


def card_of(workspace: Workspace, name: str) -> BackboneCard:
    """The card of a backbone of a workspace, or of the embedded one.

    Raises:
        BadInput: when there is no backbone of that name.
        ArtefactError: when its files are damaged or missing, or it is of no family.
    """
    directory = workspace.backbone_dir(name)
    if (directory / CARD).is_file():
        return read_card(directory, name)
    if directory.is_relative_to(workspace.root):
        return describe(directory, name=name, origin=DIRECTORY, source=str(directory), licence=licence_of(directory))
    return describe(directory, name=name, origin=EMBEDDED, source=name, licence=EMBEDDED_LICENCE)


def read_card(directory: Path, name: str) -> BackboneCard:
    """The card in a directory. The name is the directory's, whatever the card says: a person may have renamed it.

    Raises:
        ArtefactError: when there is none, or it is damaged, incomplete or from a later version.
    """
    path = directory / CARD
    document = read_json(path)
    version = document.get("format_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ArtefactError(
            f"{path} has format_version {version!r}, this version reads up to {FORMAT_VERSION}; upgrade pituning-studio"
        )
    types: dict[str, Any] = {
        "origin": str, "source": str, "revision": str | None, "family": str, "model_type": str, "licence": str,
        "parameters": int, "modalities": list, "size": int, "dtype": str, "max_tokens": int | None,
        "fingerprint": str, "added": float | int | None,
    }  # fmt: skip
    bad = [key for key, expected in types.items() if not isinstance(document.get(key), expected)]
    if bad:
        raise ArtefactError(f"{path} is damaged at {', '.join(bad)}; remove the backbone and add it again")
    known = {item.name for item in fields(BackboneCard)}
    given = {key: value for key, value in document.items() if key in known}
    return BackboneCard(**given | {"name": name, "modalities": tuple(map(str, document["modalities"]))})


def describe(
    directory: Path,
    *,
    name: str,
    origin: str,
    source: str,
    licence: str,
    revision: str | None = None,
    added: float | None = None,
) -> BackboneCard:
    """The card of the backbone in a directory, from its files; reads all of them once for the fingerprint.

    Raises:
        ArtefactError: files are missing or damaged, or no family runs it.
    """
    require_files(directory)
    config = read_config(directory)
    family = family_of(config, name)
    weights = weights_of(directory)
    return BackboneCard(
        name=name,
        origin=origin,
        source=source,
        revision=revision,
        family=family.name,
        model_type=str(config.get("model_type")),
        licence=licence,
        parameters=weights.parameters,
        modalities=tuple(family.modalities),
        size=sum(path.stat().st_size for path in directory.iterdir() if path.is_file()),
        dtype=weights.dtype,
        max_tokens=max_tokens(config),
        fingerprint=fingerprint(directory),
        added=added,
    )


def weights_of(directory: Path) -> Weights:
    """What the weights of a backbone are; of a composed one, with those of its parts.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    own = read_weights(directory / file for file in weight_files(directory))
    if not is_composed(directory):
        return own
    config = ComposedConfig.read(directory)
    parts = config.vision_parameters + config.language_parameters
    return Weights(parameters=own.parameters + parts, dtype=config.language_dtype)


def write_card(card: BackboneCard, directory: Path) -> None:
    """Writes ``backbone.json`` into ``directory``."""
    write_json(directory / CARD, asdict(card))


def read_config(directory: Path) -> dict[str, Any]:
    """The document in ``config.json``.

    Raises:
        ArtefactError: when it is missing or damaged.
    """
    path = directory / CONFIG
    try:
        document = read_json(path)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path} is not a JSON document; restore it") from error
    if not isinstance(document, dict):
        raise ArtefactError(f"{path} is no config of a model; restore it")
    return document


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that tells about the language model; the whole of it where it has no parts."""
    for key in ("text_config", "decoder"):
        inner = config.get(key)
        if isinstance(inner, Mapping):
            return text_config(inner)
    return config


def max_tokens(config: Mapping[str, Any]) -> int | None:
    """The context length that a config names."""
    places = (text_config(config), config)
    limits = (place.get(key) for place in places for key in _POSITIONS)
    return next((value for value in limits if type(value) is int and value > 0), None)
