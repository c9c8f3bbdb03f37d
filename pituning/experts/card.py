"""An expert's card: what it is, what it was made from and the checksum of its tensors. Torch-free."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pituning.backbones.files import fingerprint
from pituning.errors import ArtefactError, BackboneMismatch
from pituning.experts.kinds import KINDS
from pituning.workspace.atomic import read_json, sha256_file, write_json
from pituning.workspace.documents import DocumentError, check_document, check_fields
from pituning.workspace.layout import DEFAULT_BACKBONE, Workspace

FORMAT_VERSION = 1
CARD = "card.json"
TENSORS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
IMPORTED = "imported"
"""The setting of a card's spec that says from which file or directory the expert was imported."""
LIBRARIES = ("pituning-studio", "torch", "transformers", "peft", "safetensors", "numpy")


@dataclass(frozen=True, kw_only=True)
class ExpertCard:
    """What stands in ``card.json`` beside a PEFT checkpoint.

    Args:
        name: the expert's name; the zoo's experts have their task's.
        kind: a name in `KINDS`.
        task: the task it was trained on.
        config: the kind's settings, which make the shapes.
        backbone: name of its backbone.
        fingerprint: of the backbone's files; loading checks it.
        sha256: of the tensors' file; loading checks it.
        seed: of its training, None where unknown.
        spec: how it was made, as the run that made it was told.
        scores: in points of the task's metric, for example ``{"test": 96.4}``.
        temperature: divides the labels' log scores (`pituning.labelling.calibration`); None where none was fitted.
        calibration: how well that does: ``rows`` that it was fitted on, and ``before`` and ``after`` as a
            `Reliability` of the test split.
    """

    name: str
    kind: str
    task: str
    config: Mapping[str, float]
    backbone: str
    fingerprint: str
    sha256: str = ""
    seed: int | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    temperature: float | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    format_version: int = FORMAT_VERSION


def read_card(directory: Path) -> ExpertCard:
    """The card of the expert in ``directory``.

    Raises:
        ArtefactError: when there is none, or it is damaged, incomplete or from a later version.
    """
    path = Path(directory) / CARD
    if not path.is_file():
        raise ArtefactError(
            f"expert {directory} has no {CARD}; import a PEFT checkpoint with `pituning experts import DIR --task T`"
        )
    return parse_card(read_json(path), str(path))


def parse_card(document: Any, path: str) -> ExpertCard:
    """The card in a JSON document; ``path`` says where that stood.

    Raises:
        ArtefactError: it is incomplete or from a later version.
    """
    if not isinstance(document, dict):
        raise ArtefactError(f"{path} is not a card; make or import the expert again")
    try:
        check_document(document)
        version = document.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ArtefactError(
                f"{path} has format_version {version!r}, this version reads up to {FORMAT_VERSION}; "
                "upgrade pituning-studio"
            )
        check_fields(ExpertCard, document)
    except DocumentError as error:
        raise ArtefactError(f"{path} is damaged: {error}; make or import the expert again") from error
    texts = ("name", "kind", "task", "backbone", "fingerprint", "sha256")
    bad = [key for key in texts if not isinstance(document.get(key), str)]
    mappings = ("config", "spec", "scores", "calibration", "versions")
    bad += [key for key in mappings if not isinstance(document.get(key, {}), dict)]
    temperature = document.get("temperature")
    if temperature is not None and not (_is_number(temperature) and 0 < temperature < math.inf):
        bad.append("temperature")
    if bad or document["kind"] not in KINDS or "config" not in document:
        raise ArtefactError(
            f"{path} is damaged at {', '.join(bad) or 'kind or config'}; make or import the expert again"
        )
    known = {item.name for item in fields(ExpertCard)}
    return ExpertCard(**{key: value for key, value in document.items() if key in known})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def verified_card(directory: Path, *, backbone: str, fingerprint: str) -> ExpertCard:
    """The card of an expert whose tensors are there, as they were written, and belong to a backbone.

    Raises:
        BackboneMismatch: when it belongs to another backbone.
        ArtefactError: when card or tensors are missing or damaged.
    """
    card, path = read_card(directory), Path(directory) / TENSORS
    if not path.is_file():
        raise ArtefactError(f"expert {directory} lacks {TENSORS}; make or import the expert again")
    digest = sha256_file(path)
    if digest != card.sha256:
        raise ArtefactError(
            f"{path} does not match the checksum of its card (SHA-256 {digest[:12]}…, the card says "
            f"{card.sha256[:12]}…); it is damaged, make or import it again"
        )
    if card.fingerprint != fingerprint:
        raise BackboneMismatch(
            f"expert {card.name!r} was made on backbone {card.backbone!r} ({card.fingerprint[:12]}), loaded is "
            f"{backbone!r} ({fingerprint[:12]}); load its backbone or make the expert again"
        )
    return card


def unusable_experts(
    workspace: Workspace,
    kind: str,
    *,
    target: str,
    donors: Collection[str] = (),
    backbone: str = DEFAULT_BACKBONE,
) -> dict[str, str]:
    """The experts of a kind that a run needs and that cannot be used with its backbone, each with the reason.

    A run needs the zoo, but for imported experts: it goes on without those.

    Args:
        target: a task whose own expert is not even opened.
        donors: experts that were named; they are needed wherever they come from.
        backbone: whose zoo it is.

    Raises:
        BadInput: when there is no such backbone.
        ArtefactError: when the backbone lacks a file.
    """
    ours = fingerprint(workspace.backbone_dir(backbone))
    reasons = {}
    zoo = workspace.zoo(backbone)
    named = {name: path for name, path in zoo.all_expert_dirs(kind).items() if name in donors}
    for name, directory in {**zoo.expert_dirs(kind), **named}.items():
        if name == target or (name not in named and was_imported(directory)):
            continue
        try:
            verified_card(directory, backbone=backbone, fingerprint=ours)
        except ArtefactError as error:
            reasons[name] = str(error)
    return reasons


def was_imported(directory: Path) -> bool:
    """Whether the expert in a directory was imported, as far as its card can be read."""
    try:
        return IMPORTED in read_card(directory).spec
    except ArtefactError:
        return False


def write_card(card: ExpertCard, directory: Path) -> None:
    """Writes ``card.json`` into ``directory``."""
    write_json(directory / CARD, asdict(card))


@cache
def library_versions() -> Mapping[str, str]:
    """The versions of the libraries that results depend on."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache
def git_commit() -> str | None:
    """The commit of the checkout that this package runs from; None for an installed wheel."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
