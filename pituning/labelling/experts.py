"""Finds the expert that is to label, by its name. Torch-free."""

from __future__ import annotations

from pathlib import Path

from pituning.errors import BadInput
from pituning.experts.card import ExpertCard, read_card
from pituning.experts.kinds import KINDS
from pituning.registry import unknown
from pituning.workspace.layout import Workspace


def find_expert(workspace: Workspace, name: str, *, kind: str | None, backbone: str) -> tuple[Path, ExpertCard]:
    """The directory and the card of an expert; errors as `expert_directory`.

    Raises:
        ArtefactError: its card is damaged.
    """
    directory = expert_directory(workspace, name, kind=kind, backbone=backbone)
    return directory, read_card(directory)


def expert_directory(workspace: Workspace, name: str, *, kind: str | None, backbone: str) -> Path:
    """The directory of an expert.

    Args:
        kind: None where the name is enough.

    Raises:
        BadInput: there is none, or several kinds have one of that name.
    """
    zoo = workspace.zoo(workspace.check_backbone(backbone))
    there = {each: zoo.all_expert_dirs(each) for each in (KINDS if kind is None else (KINDS.check(kind),))}
    directories = {each: experts[name] for each, experts in there.items() if name in experts}
    if not directories:
        others = [] if kind is None else [each for each in KINDS if name in zoo.all_expert_dirs(each)]
        if others:
            raise BadInput(f"expert {name!r} is there as {', '.join(others)}, not as {kind}; give --kind", field="kind")
        raise unknown("expert", name, sorted({each for experts in there.values() for each in experts}))
    if len(directories) > 1:
        raise BadInput(f"expert {name!r} is there as {', '.join(directories)}; choose one with --kind", field="kind")
    return next(iter(directories.values()))
