"""Checkpoints put into a zoo as experts, found whole there, and packed again to be taken elsewhere. Torch-free."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import CARD, CONFIG, IMPORTED, TENSORS, ExpertCard, read_card, was_imported, write_card
from pituning.experts.checkpoint import NOT_MIXED, Checkpoint
from pituning.experts.readme import FILE as README
from pituning.experts.readme import readme
from pituning.workspace.atomic import atomic_directory, sha256, sha256_file, write_bytes, write_json
from pituning.workspace.layout import check_name, free_name
from pituning.workspace.zoo import Zoo

CONVERTED, ORIGINAL = "converted", "adapter_config"
"""The settings of a card's spec that say what was done to a checkpoint, and what its config was."""
CHECKED = "checked"
"""The setting of a card's spec that says against which version of PEFT an imported expert's outputs were checked."""
_PACKED = (1980, 1, 1, 0, 0, 0)


def keep_checkpoint(
    checkpoint: Checkpoint,
    zoo: Zoo,
    *,
    name: str,
    task: str,
    fingerprint: str,
    checked: str | None = None,
    over_shipped: bool = False,
) -> ExpertCard:
    """Puts a checkpoint that fits into a zoo as expert ``name`` of ``task``, whole or not at all.

    Args:
        checkpoint: as `check_fit` gives it.
        fingerprint: of the zoo's backbone.
        checked: the version of PEFT with whose outputs its own were compared; None leaves that to its first use.
        over_shipped: see `check_new_name`.

    Raises:
        BadInput: the name cannot be used or is taken.
        ArtefactError: the disk is full or not writable.
    """
    check_new_name(zoo, checkpoint.kind, name, over_shipped=over_shipped)
    made = checkpoint.card or ExpertCard(
        name=name,
        kind=checkpoint.kind,
        task=task,
        config=checkpoint.config,
        backbone=zoo.backbone,
        fingerprint=fingerprint,
    )
    spec = {**made.spec, IMPORTED: checkpoint.filename}
    if checkpoint.converted is not None:
        spec |= {CONVERTED: checkpoint.converted, ORIGINAL: dict(checkpoint.original or {})}
    if checkpoint.reason is not None:
        spec |= {NOT_MIXED: checkpoint.reason}
    spec.pop(CHECKED, None)
    if checked is not None:
        spec[CHECKED] = checked
    card = replace(
        made, name=name, task=task, backbone=zoo.backbone, sha256=sha256(checkpoint.tensors), spec=spec,
    )  # fmt: skip
    with atomic_directory(
        zoo.new_expert_dir(checkpoint.kind, name), taken=_taken(zoo, checkpoint.kind, name)
    ) as folder:
        write_bytes(folder / TENSORS, checkpoint.tensors)
        write_json(folder / CONFIG, dict(checkpoint.document))
        write_card(card, folder)
    return card


def check_new_name(zoo: Zoo, kind: str, name: str, *, over_shipped: bool = False) -> None:
    """Nothing when a new expert may have that name.

    Args:
        over_shipped: whether it may take the place of a shipped expert in this workspace.

    Raises:
        BadInput: it cannot be used, or is taken.
    """
    check_name(name, what="name")
    taken = zoo.new_expert_dir(kind, name).exists() if over_shipped else name in zoo.all_expert_dirs(kind)
    if taken:
        raise _taken(zoo, kind, name)


def check_not_imported(directory: Path) -> None:
    """Nothing when an expert that is made may be written there; asked before the work, too.

    Raises:
        BadInput: an imported one is there.
    """
    if was_imported(directory):
        raise BadInput(
            f"the {directory.parent.name} expert {directory.name!r} was imported, and this would replace it; give "
            f"another name, or remove it first: pituning experts remove {directory.name}",
            field="name",
        )


def _taken(zoo: Zoo, kind: str, name: str) -> BadInput:
    free = free_name(name, {name, *zoo.all_expert_dirs(kind)})
    return BadInput(f"there is already a {kind} expert {name!r}; choose another name, such as {free!r}", field="name")


def check_whole(directory: Path) -> ExpertCard:
    """The card of an expert whose files are all there and as they were written, whatever backbone they are of.

    Raises:
        ArtefactError: a file of it is missing or damaged.
    """
    card = read_card(directory)
    for name in (TENSORS, CONFIG):
        if not (directory / name).is_file():
            raise ArtefactError(f"{directory / name} is missing; make the expert again")
    if sha256_file(directory / TENSORS) != card.sha256:
        raise ArtefactError(f"{directory / TENSORS} does not match the checksum of its card; make the expert again")
    return card


def pack_expert(directory: Path) -> bytes:
    """An expert as a zip of a PEFT checkpoint with its card, the same bytes every time.

    Raises:
        ArtefactError: a file of it is missing or damaged.
    """
    card = check_whole(directory)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        members = {name: (directory / name).read_bytes() for name in (CONFIG, TENSORS, CARD)}
        for name, data in {**members, README: readme(card).encode()}.items():
            info = zipfile.ZipInfo(f"{card.name}/{name}", _PACKED)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return packed.getvalue()
