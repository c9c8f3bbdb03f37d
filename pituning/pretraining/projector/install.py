"""Puts a trained projector in the place of the one that a backbone was composed with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pituning.backbones.card import BackboneCard, card_of, describe, write_card
from pituning.backbones.files import backbone_files
from pituning.workspace.atomic import atomic_directory
from pituning.workspace.layout import Workspace


def install(workspace: Workspace, name: str, trained: Path) -> BackboneCard:
    """The backbone ``name`` of a workspace becomes what is in the directory ``trained``, as a whole or not at all."""
    before, place = card_of(workspace, name), workspace.root / "backbones" / name
    with atomic_directory(place) as staged:
        for file in backbone_files(trained):
            (staged / file).write_bytes((trained / file).read_bytes())
        made = describe(staged, name=name, origin=before.origin, source=before.source, licence=before.licence)
        card = replace(made, added=before.added)
        write_card(card, staged)
    return card
