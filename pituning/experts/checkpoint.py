"""PEFT checkpoints without torch: read from a zip that somebody uploads or from a directory, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from pituning.errors import ArtefactError, BadInput
from pituning.experts.canonical import Tensors
from pituning.experts.card import CARD, CONFIG, TENSORS, ExpertCard, parse_card
from pituning.experts.kinds import NotMixable, full_settings, kind_of_peft_type
from pituning.workspace.atomic import sha256
from pituning.workspace.documents import DocumentError, parse_json
from pituning.workspace.zips import bad_file, open_zip

NOT_MIXED = "not_mixed"
"""The setting of a card's spec that says why an expert cannot be mixed."""
OTHER_METHOD = "peft"
"""The kind of what cannot be mixed."""
CONVERT_PICKLE = (
    'python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('adapter_model.bin', weights_only=True), 'adapter_model.safetensors')\""
)

MAX_JSON_BYTES = 2**20
MAX_TENSOR_BYTES = 256 * 2**20
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_BF16_EXPONENT = 0x7F80


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A PEFT checkpoint in memory, whole.

    Args:
        filename: of the zip, or the name of the directory.
        given_as: the form field or option by which it was given.
        kind: its kind; that of other PEFT methods where it cannot be mixed.
        config: the kind's settings, which make the shapes.
        document: ``adapter_config.json``.
        shapes: of the tensors by name.
        card: of an exported expert, or None.
        reason: why it cannot be mixed, or None.
        original: ``adapter_config.json`` as it was imported, where the checkpoint was converted.
        converted: what was done to it, or None.
    """

    filename: str
    given_as: str = "file"
    kind: str
    config: Mapping[str, float]
    document: Mapping[str, Any]
    tensors: bytes = field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    card: ExpertCard | None
    reason: str | None = None
    original: Mapping[str, Any] | None = None
    converted: str | None = None

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    def bad(self, why: str) -> BadInput:
        """The error that says what is wrong with it."""
        return BadInput(f"{self.filename!r} {why}", field=self.given_as)

    def unmixed(self, reason: str) -> Checkpoint:
        """The same as an expert of another PEFT method."""
        return replace(self, kind=OTHER_METHOD, config={}, reason=reason)


def peft_settings(document: Any, path: str, *, field: str) -> tuple[str, dict[str, float], str | None]:
    """Kind and settings of a PEFT checkpoint, from its ``adapter_config.json``, and why it cannot be mixed if so.

    Args:
        path: where that stood.
        field: what to blame.

    Raises:
        BadInput: it is no PEFT config, or of what cannot be used at all.
    """
    try:
        record = kind_of_peft_type(str(document["peft_type"]))
        return record.name, full_settings(record.name, record.settings_of(document)), None
    except NotMixable as error:
        return OTHER_METHOD, {}, str(error)
    except BadInput as error:
        raise BadInput(f"{path}: {error}", field=field) from error
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise BadInput(f"{path} is not a PEFT config ({error}); save the expert again", field=field) from error


def read_checkpoint(data: bytes, filename: str) -> Checkpoint:
    """The checkpoint in a zip: its config and its tensors, and a card where there is one.

    Nothing else of the zip is opened, and nothing is unpickled.

    Raises:
        BadInput: the zip cannot be trusted or lacks a file, a file is damaged, or the method is not supported.
    """
    with open_zip(data, filename) as archive:
        for path in archive.members:
            if PurePosixPath(path).suffix.lower() in PICKLES:
                raise bad_file(
                    filename,
                    f"holds the pickle {path!r}, which could run anything; leave it out and save as safetensors: "
                    f"{CONVERT_PICKLE}",
                )
        folders = [PurePosixPath(path).parent for path in archive.members if PurePosixPath(path).name == CONFIG]
        if len(folders) != 1:
            what = f"{len(folders)} files {CONFIG}" if folders else f"no {CONFIG}"
            raise bad_file(filename, f"has {what}; put exactly one PEFT checkpoint into it")
        places = {name: str(folders[0] / name) for name in (CONFIG, TENSORS, CARD)}
        if places[TENSORS] not in archive.members:
            raise bad_file(filename, f"has no {TENSORS} beside its {CONFIG}; save the expert as safetensors")
        config = archive.read(places[CONFIG], MAX_JSON_BYTES)
        tensors = archive.read(places[TENSORS], MAX_TENSOR_BYTES)
        about = archive.read(places[CARD], MAX_JSON_BYTES) if places[CARD] in archive.members else None
    return _checkpoint(config, tensors, about, filename, "file")


def read_directory(directory: Path, *, weights: int = 0) -> Checkpoint:
    """The checkpoint in a directory, or in the one folder below it that has one.

    Args:
        weights: bytes of those of the backbone. Its experts may have half as many, and at least `MAX_TENSOR_BYTES`.

    Raises:
        BadInput: there is none, a file is damaged or too large, or the method is not supported.
    """
    if not (directory / CONFIG).is_file():
        below = sorted(path.parent for path in directory.glob(f"*/{CONFIG}"))
        if len(below) != 1:
            names = ", ".join(path.name for path in below[:5])
            what = f"has {len(below)} checkpoints below it ({names}); give one of them" if below else (
                f"has no {CONFIG}; give the directory of a PEFT checkpoint"
            )  # fmt: skip
            raise BadInput(f"{str(directory)!r} {what}", field="directory")
        (directory,) = below
    name = directory.resolve().name
    if not (directory / TENSORS).is_file():
        pickled = sorted(path.name for path in directory.iterdir() if path.suffix.lower() in PICKLES)
        what = (
            f"has its tensors in the pickle {pickled[0]!r}, which could run anything; convert it: {CONVERT_PICKLE}"
            if pickled
            else f"has no {TENSORS}; save the expert as safetensors"
        )
        raise BadInput(f"{name!r} {what}", field="directory")
    for file, most in (
        (CONFIG, MAX_JSON_BYTES),
        (CARD, MAX_JSON_BYTES),
        (TENSORS, max(MAX_TENSOR_BYTES, weights // 2)),
    ):
        if (directory / file).is_file() and (size := (directory / file).stat().st_size) > most:
            raise BadInput(
                f"{name!r} has a {file} of {size / 2**20:,.0f} MiB, an expert of this backbone may have one of "
                f"{most // 2**20:,} MiB; save it with a lower rank or fewer modules",
                field="directory",
            )
    try:
        config, tensors = (directory / CONFIG).read_bytes(), (directory / TENSORS).read_bytes()
        about = (directory / CARD).read_bytes() if (directory / CARD).is_file() else None
    except OSError as error:
        raise BadInput(f"{name!r} cannot be read ({error.strerror or error})", field="directory") from error
    return _checkpoint(config, tensors, about, name, "directory")


def _checkpoint(config: bytes, tensors: bytes, about: bytes | None, filename: str, field: str) -> Checkpoint:
    document = _parse(config, filename, CONFIG, field)
    kind, settings, reason = peft_settings(document, f"{CONFIG} of {filename!r}", field=field)
    shapes = _check_tensors(tensors, filename, field)
    card = None
    if about is not None:
        card = _check_card(_parse(about, filename, CARD, field), filename, field, kind, settings, tensors)
        reason = card.spec.get(NOT_MIXED, reason)
    return Checkpoint(
        filename=filename, given_as=field, kind=kind if card is None else card.kind,
        config=settings if card is None else card.config, document=document, tensors=tensors, shapes=shapes, card=card,
        reason=reason,
    )  # fmt: skip


def _parse(data: bytes, filename: str, member: str, field: str) -> Any:
    try:
        return parse_json(data, most_bytes=MAX_JSON_BYTES)
    except DocumentError as error:
        raise BadInput(
            f"{filename!r} has a {member} that is not JSON as it is read ({error}); save the expert again", field=field
        ) from error


def _check_tensors(data: bytes, filename: str, field: str) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors that are whole and finite."""
    try:
        tensors = deserialize(data)
    except (SafetensorError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(
            f"{filename!r} has a {TENSORS} that is not a whole safetensors file ({reason}); copy or make it again",
            field=field,
        ) from error
    for name, tensor in tensors:
        if not _finite(tensor["dtype"], tensor["data"]):
            raise BadInput(
                f"{filename!r} has values that are not finite numbers in {name!r}; make the expert again", field=field
            )
    return {name: tuple(tensor["shape"]) for name, tensor in tensors}


def _finite(dtype: str, data: bytes) -> bool:
    if dtype == "BF16":
        return bool(((np.frombuffer(data, "<u2") & _BF16_EXPONENT) != _BF16_EXPONENT).all())
    return dtype in _FLOATS and bool(np.isfinite(np.frombuffer(data, _FLOATS[dtype])).all())


def arrays(data: bytes) -> Tensors:
    """The tensors of a file as float32."""
    arrays = {}
    for name, tensor in deserialize(data):
        if tensor["dtype"] == "BF16":  # the upper half of a float32
            values = (np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(tensor["data"], _FLOATS[tensor["dtype"]]).astype(np.float32)
        arrays[name] = values.reshape(tensor["shape"])
    return arrays


def _check_card(
    document: Any, filename: str, field: str, kind: str, config: Mapping[str, float], tensors: bytes
) -> ExpertCard:
    try:
        card = parse_card(document, f"{CARD} of {filename!r}")
    except ArtefactError as error:
        raise BadInput(str(error), field=field) from error
    if card.kind != OTHER_METHOD and (card.kind, dict(card.config)) != (kind, dict(config)):
        raise BadInput(
            f"{filename!r} has a {CARD} that says {card.kind} {dict(card.config)} and an {CONFIG} that says {kind} "
            f"{dict(config)}; export the expert again",
            field=field,
        )
    if card.sha256 != sha256(tensors):
        raise BadInput(
            f"{filename!r} has a {TENSORS} that does not match the checksum of its card; export it again", field=field
        )
    return card
