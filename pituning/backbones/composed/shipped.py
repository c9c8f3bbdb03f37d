"""Projectors that ship, to be joined with parts that are installed. Torch-free."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from pituning.backbones.card import COMPOSED, BackboneCard, describe, write_card
from pituning.backbones.composed.config import (
    PARTS,
    ComposedConfig,
    PartPlaces,
    check_fingerprint,
    place_of_language,
    shipped_projectors,
)
from pituning.backbones.composed.vision_parts import VISION_PARTS, part_file
from pituning.backbones.files import backbone_files, fingerprint
from pituning.backbones.sources import check_free_name, name_taken
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter
from pituning.workspace.atomic import atomic_directory, sha256_file
from pituning.workspace.layout import Workspace


def language_of(name: str) -> str:
    """The known package whose model a projector that ships was made for."""
    return PartPlaces.read(shipped_projectors()[name]).language


def check_vision(name: str) -> None:
    """Raises BadInput unless the encoder that a projector that ships was made for is installed."""
    part_file(VISION_PARTS[ComposedConfig.read(shipped_projectors()[name]).vision])


def check_language_is_here(source: Path, place: Path) -> None:
    """Says what to add first where the language part of the backbone in ``source`` is not where ``place`` looks for it.

    Raises:
        BadInput: it is not there, or ``parts.json`` is damaged.
    """
    try:
        named, neighbour = PartPlaces.read(source).language, place_of_language(source)
    except ArtefactError as error:
        raise BadInput(str(error), field="source") from error
    absolute = Path(named).is_absolute()
    wanted = neighbour if absolute else place.parent / named
    if wanted.is_dir():
        return
    add = f"add it first: pituning backbones add {neighbour if neighbour.is_dir() else named}"
    fix = f"put it back, or write into {source / PARTS} where it is" if absolute else add
    raise BadInput(f"{source} needs its language part {named!r}, which is not at {wanted}; {fix}", field="source")


def add_shipped(workspace: Workspace, name: str, source: str, reporter: Reporter) -> BackboneCard:
    """Makes a backbone of a projector that ships, where its language part is in the workspace already.

    Raises:
        BadInput: a part is not installed, or another version than the projector was made for.
    """
    place, projector = check_free_name(workspace, name), shipped_projectors()[source]
    config, language = ComposedConfig.read(projector), language_of(source)
    reporter.phase("check parts", 2)
    record = VISION_PARTS[config.vision]
    found = sha256_file(part_file(record))
    reporter.advance()
    directory = workspace.backbone_dir(language)
    try:
        check_fingerprint(f"vision part {config.vision}", found, config.vision_fingerprint)
        check_fingerprint(f"language part {language}", fingerprint(directory), config.language_fingerprint)
    except ArtefactError as error:
        raise BadInput(str(error), field="source") from error
    reporter.advance()
    with atomic_directory(place, taken=name_taken(name, workspace)) as staged:
        for file in backbone_files(projector):
            (staged / file).write_bytes((projector / file).read_bytes())
        card = describe(staged, name=name, origin=COMPOSED, source=source, licence=record.licence)
        card = replace(card, added=time.time())
        write_card(card, staged)
    return card
