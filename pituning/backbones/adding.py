"""Makes a person's own foundation model a backbone of a workspace: whole, described and checked, or not at all."""

from __future__ import annotations

import time
from pathlib import Path

from pituning.backbones.card import COMPOSED, DIRECTORY, GGUF, HUB, BackboneCard, describe, read_card, write_card
from pituning.backbones.composed.shipped import add_shipped, check_language_is_here, check_vision, language_of
from pituning.backbones.files import is_composed
from pituning.backbones.headers import DTYPES
from pituning.backbones.licence import licence_of, plain
from pituning.backbones.packages import PACKAGES, gguf_of, installed_files
from pituning.backbones.sources import (
    Source,
    check_files,
    check_free_name,
    copy_checkpoint,
    find_source,
    name_taken,
    room_for,
)
from pituning.errors import ArtefactError, BadInput, DiskFull
from pituning.progress import Reporter, Silent
from pituning.workspace.atomic import atomic_directory
from pituning.workspace.layout import Workspace

DTYPE = "bfloat16"
"""That the weights of a GGUF file are unpacked to unless told otherwise."""


def add_backbone(
    workspace: Workspace,
    text: str,
    *,
    name: str | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    reporter: Reporter | None = None,
) -> BackboneCard:
    """Adds a backbone from a hub id, a directory, a ``.gguf`` file, a known package, or a projector that ships.

    Nothing of it is ever run. A projector is joined with parts that are installed.

    Args:
        name: by default made from what it is called.
        revision: of a hub id; by default its main branch. The card pins the commit.
        dtype: that a GGUF file is unpacked to, ``bfloat16`` (by default) or ``float32``.

    Raises:
        BadInput: it cannot be a backbone, for a reason that the message says in one line.
        ArtefactError: the disk is full or not writable. In either case nothing is left half-written.
    """
    reporter = reporter or Silent()
    source = find_source(text)
    place = check_free_name(workspace, name or source.name)
    _check_options(source, revision, dtype)
    if source.origin == HUB:
        from pituning.backbones.hub import fetch

        snapshot = fetch(source.text, revision, reporter, into=place)
        with atomic_directory(place, taken=name_taken(place.name, workspace)) as staged:
            copy_checkpoint(snapshot.directory, staged, reporter, cache=True)
            return _finish(staged, place.name, source, reporter, revision=snapshot.commit)
    if source.origin == COMPOSED:
        check_vision(source.text)
        language = language_of(source.text)
        if language not in workspace.backbone_names():
            add_backbone(workspace, language, reporter=reporter)
        return add_shipped(workspace, place.name, source.text, reporter)
    if source.origin == DIRECTORY:
        directory = Path(source.text)
        check_files(directory, f"directory {directory}")
        if is_composed(directory):
            check_language_is_here(directory, place)
        with atomic_directory(place, taken=name_taken(place.name, workspace)) as staged:
            copy_checkpoint(directory, staged, reporter)
            return _finish(staged, place.name, source, reporter, licence=_carded_licence(directory))
    from pituning.backbones.conversion import check_gguf, convert_gguf

    chosen = dtype or DTYPE
    if source.origin == GGUF:
        file = Path(source.text)
        licence = plain(check_gguf(file).get("general.license"))
        room_for(place, file.stat().st_size)
        with atomic_directory(place, taken=name_taken(place.name, workspace)) as staged:
            convert_gguf(file, staged, dtype=chosen, reporter=reporter)
            return _finish(staged, place.name, source, reporter, licence=licence)
    record = PACKAGES[source.text]
    room_for(place, sum(piece.stat().st_size for piece in installed_files(record)))
    with atomic_directory(place, taken=name_taken(place.name, workspace)) as staged:
        with gguf_of(record, staged) as file:
            convert_gguf(file, staged, dtype=chosen, reporter=reporter)
        return _finish(staged, place.name, source, reporter, licence=record.licence)


def _check_options(source: Source, revision: str | None, dtype: str | None) -> None:
    if revision is not None and source.origin != HUB:
        raise BadInput(f"--revision is for ids of the hub; {source.text!r} has no revisions", field="revision")
    if dtype is None:
        return
    if source.origin in (HUB, DIRECTORY):
        raise BadInput("--dtype is for GGUF files; a checkpoint keeps the type of its weights", field="dtype")
    from pituning.backbones.conversion import DTYPES as CHOICES

    if dtype not in CHOICES:
        raise BadInput(f"dtype {dtype!r} cannot be unpacked to; give {' or '.join(CHOICES)}", field="dtype")


def _finish(
    staged: Path,
    name: str,
    source: Source,
    reporter: Reporter,
    *,
    revision: str | None = None,
    licence: str | None = None,
) -> BackboneCard:
    """Checks what has been written and lays its card beside it."""
    reporter.phase("check", 1)
    for path in staged.iterdir():
        path.chmod(0o644)  # safetensors makes files that only their owner may read
    try:
        if is_composed(staged):
            from pituning.backbones.composed.parts import check_parts

            check_parts(staged, name)
        card = describe(
            staged,
            name=name,
            origin=source.origin,
            source=source.text,
            revision=revision,
            licence=licence or licence_of(staged),
            added=time.time(),
        )
    except DiskFull:
        raise
    except ArtefactError as error:
        raise BadInput(str(error).replace(str(staged), source.text), field="source") from error
    if card.dtype not in DTYPES.values():
        raise BadInput(
            f"{source.text} has packed weights (mostly {card.dtype}: quantised), which cannot be tuned; add the "
            "checkpoint that it was made from, or its GGUF file",
            field="source",
        )
    write_card(card, staged)
    reporter.advance()
    return card


def _carded_licence(directory: Path) -> str | None:
    """The licence of a directory that is a backbone of another workspace."""
    try:
        return read_card(directory, directory.name).licence
    except ArtefactError:
        return None
