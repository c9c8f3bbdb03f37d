"""Every expert of a zoo with what its files say, read again only where they have changed. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from pituning.errors import ArtefactError
from pituning.experts.card import CARD, IMPORTED, TENSORS, ExpertCard, read_card
from pituning.experts.kinds import KINDS
from pituning.workspace.zoo import Zoo

Origin = Literal["shipped", "trained", "tuned", "imported"]
ORIGINS: tuple[Origin, ...] = ("shipped", "trained", "tuned", "imported")


@dataclass(frozen=True, kw_only=True)
class ExpertEntry:
    """An expert as a list shows it. Whether its tensors still match their checksum is told when it is opened.

    Args:
        card: None where it cannot be read.
        parameters: how many numbers it holds, None where its tensors cannot be read.
        size: of the tensors' file, in bytes.
        made: when its files were written, seconds since the epoch; None for a shipped one, whose files were copied.
        problem: why it cannot be used, or None.
    """

    kind: str
    name: str
    directory: Path
    origin: Origin
    card: ExpertCard | None = None
    parameters: int | None = None
    size: int | None = None
    made: float | None = None
    problem: str | None = None

    @property
    def id(self) -> str:
        """What addresses call it."""
        return f"{self.kind}/{self.name}"

    @property
    def task(self) -> str | None:
        return None if self.card is None else self.card.task

    @property
    def score(self) -> float | None:
        """In points of its task's metric on the test split."""
        return None if self.card is None else self.card.scores.get("test")

    @property
    def shots(self) -> int | None:
        """Examples per class that it was made from; None where it was all of them, or is not known."""
        shots = None if self.card is None else self.card.spec.get("shots")
        return shots if isinstance(shots, int) else None


class Catalogue:
    """The experts of a zoo.

    Looking again costs a few calls of ``stat`` for each expert; files are opened where their times have changed.
    """

    def __init__(self, zoo: Zoo):
        self._zoo = zoo
        self._seen: dict[Path, tuple[tuple[int, ...], ExpertEntry]] = {}

    def entries(self, fingerprint: str | None) -> list[ExpertEntry]:
        """All experts by kind and name.

        Args:
            fingerprint: the backbone's, to tell the experts of another one; None where there is no backbone.
        """
        seen: dict[Path, tuple[tuple[int, ...], ExpertEntry]] = {}
        for kind in KINDS:
            for name, directory in self._zoo.all_expert_dirs(kind).items():
                stamp = (*_stamp(directory / CARD), *_stamp(directory / TENSORS))
                known = self._seen.get(directory)
                if known is not None and known[0] == stamp:
                    seen[directory] = known
                else:
                    seen[directory] = (stamp, _read(kind, name, directory, own=self._is_own(directory)))
        self._seen = seen
        return [_beside(entry, fingerprint) for _, entry in seen.values()]

    def _is_own(self, directory: Path) -> bool:
        return directory.is_relative_to(self._zoo.root)


def _read(kind: str, name: str, directory: Path, *, own: bool) -> ExpertEntry:
    entry = ExpertEntry(kind=kind, name=name, directory=directory, origin="trained" if own else "shipped")
    tensors = directory / TENSORS
    try:
        about = tensors.stat()
        entry = replace(entry, size=about.st_size, made=about.st_mtime if own else None)
        card = read_card(directory)
        entry = replace(entry, card=card, origin=_origin(card.spec) if own else "shipped")
        return replace(entry, parameters=_parameters(tensors))
    except ArtefactError as error:
        return replace(entry, problem=str(error))
    except OSError as error:
        return replace(entry, problem=f"{tensors} cannot be read ({error.strerror or error}); make the expert again")


def _origin(spec: Mapping[str, object]) -> Origin:
    if IMPORTED in spec:
        return "imported"
    return "tuned" if spec.get("method") == "pi" else "trained"


def _parameters(path: Path) -> int:
    """How many numbers a safetensors file holds; only its header is read."""
    try:
        with safe_open(path, framework="numpy") as tensors:
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtefactError(f"{path} is not a whole safetensors file ({reason}); make the expert again") from error


def _beside(entry: ExpertEntry, fingerprint: str | None) -> ExpertEntry:
    """The entry with the problem that it belongs to another backbone, where that is so."""
    if entry.problem is not None or entry.card is None:
        return entry
    if fingerprint is None:
        return replace(entry, problem="there is no backbone to run it on; make it with: pituning zoo build")
    if entry.card.fingerprint != fingerprint:
        return replace(
            entry,
            problem=f"it was made on another backbone ({entry.card.fingerprint[:12]}, here is {fingerprint[:12]}); "
            "make it again on this one",
        )
    return entry


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        about = path.stat()
    except OSError:
        return (0, 0)
    return (about.st_mtime_ns, about.st_size)
