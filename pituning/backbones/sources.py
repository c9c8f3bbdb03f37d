"""What a person can name to be added, and what of its files is taken. Torch-free."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pituning.backbones.card import COMPOSED, DIRECTORY, GGUF, HUB, PACKAGE, read_config
from pituning.backbones.composed.config import shipped_projectors
from pituning.backbones.families import FamilyRecord, family_of
from pituning.backbones.files import (
    CONFIG,
    INDEX,
    WEIGHTS,
    backbone_files,
    is_composed,
    missing_files,
    tokenizer_files,
)
from pituning.backbones.packages import PACKAGES
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter
from pituning.workspace.atomic import storage_error
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace, check_name, free_name
from pituning.workspace.paths import expanded

_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_BLOCK = 1 << 24
_TO_SAFETENSORS = (
    'python -c "import torch, safetensors.torch as s; '
    "w = torch.load('pytorch_model.bin', map_location='cpu', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors', {'format': 'pt'})\""
)
"""Run in the directory of a checkpoint in one pickle; ``weights_only`` keeps code in it from being run."""


@dataclass(frozen=True)
class Source:
    """What was named.

    Args:
        origin: as in `pituning.backbones.card.ORIGINS`.
        text: hub id, absolute path, or name of a package's record.
        name: for the backbone, unless told otherwise.
    """

    origin: str
    text: str
    name: str


def find_source(text: str) -> Source:
    """What a person means: a known package by its bare name, else what is on disk, else an id of the hub.

    Raises:
        BadInput: it is none of these.
    """
    if text in PACKAGES:
        return Source(PACKAGE, text, valid_name(text))
    if text in shipped_projectors():
        return Source(COMPOSED, text, valid_name(text))
    path = expanded(text)
    if text.strip() and path.is_dir():
        place = path.resolve()
        return Source(DIRECTORY, str(place), valid_name(place.name))
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise BadInput(
                f"file {text!r} is no .gguf file; give one, or the directory of a checkpoint", field="source"
            )
        return Source(GGUF, str(path.resolve()), valid_name(path.stem))
    looks_local = text.startswith((".", "/", "~")) or text.lower().endswith(".gguf") or text.count("/") > 1
    if looks_local or _HUB_ID.fullmatch(text) is None or "--" in text or ".." in text:
        raise BadInput(
            f"{text!r} is no directory, no .gguf file, no hub id (owner/name) and no known package "
            f"({', '.join([*PACKAGES.keys(), *shipped_projectors()])}); check how it is written",
            field="source",
        )
    return Source(HUB, text, valid_name(text.rpartition("/")[2]))


def valid_name(text: str) -> str:
    """A text as the name of a backbone: ``SmolLM2-135M.Q4_1`` becomes ``smollm2-135m-q4-1``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "backbone"


def check_free_name(workspace: Workspace, name: str) -> Path:
    """Where a new backbone goes.

    Raises:
        BadInput: the name cannot be used, or is taken.
    """
    check_name(name, what="name")
    if name == DEFAULT_BACKBONE:
        raise BadInput(
            f"name {name!r} is the embedded backbone's; give another --name, such as {_free(name, workspace)!r}",
            field="name",
        )
    place = workspace.root / "backbones" / name
    if place.exists():
        raise name_taken(name, workspace)
    return place


def name_taken(name: str, workspace: Workspace) -> BadInput:
    """What is said to whoever adds a backbone under a name that another one has, with one that is free."""
    return BadInput(
        f"backbone {name!r} is there already; give another --name, such as {_free(name, workspace)!r}, or remove it "
        f"first: pituning backbones remove {name}",
        field="name",
    )


def _free(name: str, workspace: Workspace) -> str:
    return free_name(name, {name, DEFAULT_BACKBONE, *workspace.backbone_names()})


def check_files(directory: Path, where: str, names: Collection[str] | None = None) -> FamilyRecord:
    """The family of a checkpoint that can be added.

    Args:
        directory: with its config at least.
        where: what it is called, for messages.
        names: of all its files, where not all are in the directory yet; weights are then not looked for in it.

    Raises:
        BadInput: files are missing, its weights are in pickles only, or no family runs it.
    """
    present = {path.name for path in directory.iterdir() if path.is_file()} if names is None else set(names)
    try:
        if CONFIG not in present:
            raise ArtefactError(f"{where} has no {CONFIG}{_ggufs(present)}; give a checkpoint of transformers")
        family = family_of(read_config(directory), where)
        if is_composed(directory):
            _check_composed(directory, where, names)
            return family
        if not present & {WEIGHTS, INDEX}:
            raise ArtefactError(_no_weights(where, present))
        if not tokenizer_files(directory):
            raise ArtefactError(
                f"{where} has no tokenizer (tokenizer.json, tokenizer.model, or vocab.json and merges.txt); save it "
                "there: tokenizer.save_pretrained(DIR)"
            )
        lacking = [name for name in missing_files(directory) if name not in present]
        if lacking:
            raise ArtefactError(f"{where} lacks {_few(lacking)}; download or save it whole")
    except ArtefactError as error:
        raise BadInput(str(error), field="source") from error
    return family


def _check_composed(directory: Path, where: str, names: Collection[str] | None) -> None:
    if names is not None:
        raise ArtefactError(f"{where} is composed of parts that lie elsewhere; download it, then give its directory")
    lacking = missing_files(directory)
    if lacking:
        raise ArtefactError(f"{where} lacks {_few(lacking)}; copy the directory of a composed backbone whole")


def copy_checkpoint(source: Path, directory: Path, reporter: Reporter, *, cache: bool = False) -> None:
    """Copies what belongs to a backbone, and nothing else; links become files.

    Args:
        cache: whether the source is in the hub's cache, whose files are links to elsewhere in it.

    Raises:
        BadInput: a link leads out of the directory.
    """
    names = backbone_files(source)
    sizes = {name: (source / name).stat().st_size for name in names}
    reporter.phase("copy", max(1, sum(_blocks(size) for size in sizes.values())))
    for name in names:
        path = source / name
        if path.is_symlink() and not cache and not _stays(path, source):
            raise BadInput(
                f"{path} is a link that leads out of its directory; put the file itself there", field="source"
            )
        with path.open("rb") as read, (directory / name).open("wb") as write:
            while block := read.read(_BLOCK):
                write.write(block)
                reporter.advance()


def room_for(directory: Path, size: int) -> None:
    """Nothing when ``size`` bytes fit on the disk of a directory or of its first parent that is there.

    Raises:
        DiskFull: they do not; told before a long download instead of at its end.
    """
    place = next(path for path in (directory, *directory.parents) if path.exists())
    if shutil.disk_usage(place).free < size:
        raise storage_error(OSError(errno.ENOSPC, "no room"), directory)


def _stays(path: Path, directory: Path) -> bool:
    """Whether a link leads to its own directory, or to the blobs of the hub's cache that the directory is in."""
    target, home = path.resolve(), directory.resolve()
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    return target.is_relative_to(home) or target.is_relative_to(blobs)


def _blocks(size: int) -> int:
    return -(-size // _BLOCK)


def _no_weights(where: str, present: Collection[str]) -> str:
    pickles = sorted(name for name in present if name.endswith(_PICKLES))
    if "pytorch_model.bin" in pickles:
        return (
            f"{where} has its weights in a pickle only (pytorch_model.bin), which can run code when it is loaded; "
            f"convert it in its directory: {_TO_SAFETENSORS}"
        )
    if pickles:
        return (
            f"{where} has its weights in pickles or other formats only ({_few(pickles)}); save them as safetensors: "
            "model.save_pretrained(DIR)"
        )
    others = sorted(name for name in present if name.endswith(".safetensors"))
    present_instead = f" (there is {_few(others)})" if others else _ggufs(present)
    return f"{where} has no {WEIGHTS} or {INDEX}{present_instead}; save it with save_pretrained"


def _ggufs(present: Collection[str]) -> str:
    files = sorted(name for name in present if name.lower().endswith(".gguf"))
    return f" but {_few(files)}, which can be added by itself: give the file" if files else ""


def _few(names: Collection[str]) -> str:
    first = ", ".join(list(names)[:3])
    return first if len(names) <= 3 else f"{first} and {len(names) - 3} more"
