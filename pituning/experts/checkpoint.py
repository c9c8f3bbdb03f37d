"""PEFT checkpoints without torch: read from a zip that somebody brings, checked, kept, and packed again."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from pituning.backbones.places import Block, Places
from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import CARD, CONFIG, TENSORS, ExpertCard, parse_card, read_card, write_card
from pituning.experts.kinds import KINDS, full_settings, kind_of_peft_type
from pituning.workspace.atomic import atomic_directory, sha256, sha256_file, write_bytes, write_json
from pituning.workspace.layout import check_name
from pituning.workspace.zips import bad_file, open_zip
from pituning.workspace.zoo import Zoo

CHECKPOINT_ROOT = "base_model.model."
"""What PEFT puts before a module's name in a checkpoint."""

IMPORTED = "imported"
"""The setting of a card's spec that says from which file or directory the expert was brought."""

MAX_JSON_BYTES = 2**20
MAX_TENSOR_BYTES = 256 * 2**20
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_BF16_EXPONENT = 0x7F80
_PACKED = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A PEFT checkpoint in memory, whole and of a kind that can be used here.

    Args:
        filename: of the zip.
        config: the kind's settings, which make the shapes.
        document: ``adapter_config.json``.
        shapes: of the tensors by name.
        card: of an exported expert, or None.
    """

    filename: str
    kind: str
    config: Mapping[str, float]
    document: Mapping[str, Any]
    tensors: bytes = field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    card: ExpertCard | None

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())


def peft_settings(document: Any, path: str, *, field: str) -> tuple[str, dict[str, float]]:
    """Kind and settings of a PEFT checkpoint, from its ``adapter_config.json``.

    Args:
        path: where that stood.
        field: what to blame.

    Raises:
        BadInput: it is no PEFT config, or of a method that is not supported.
    """
    try:
        record = kind_of_peft_type(document["peft_type"])
        if record is None:
            known = ", ".join(each.peft_type for each in KINDS.values())
            raise BadInput(
                f"{path}: PEFT method {document['peft_type']!r} is not supported; it can be {known}", field=field
            )
        return record.name, full_settings(record.name, record.settings_of(document))
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
                    f"holds the pickle {path!r}, which could run anything; leave it out and save as safetensors",
                )
        folders = [PurePosixPath(path).parent for path in archive.members if PurePosixPath(path).name == CONFIG]
        if len(folders) != 1:
            found = f"{len(folders)} files {CONFIG}" if folders else f"no {CONFIG}"
            raise bad_file(filename, f"has {found}; put exactly one PEFT checkpoint into it")
        places = {name: str(folders[0] / name) for name in (CONFIG, TENSORS, CARD)}
        if places[TENSORS] not in archive.members:
            raise bad_file(filename, f"has no {TENSORS} beside its {CONFIG}; save the expert as safetensors")
        document = _parse(archive.read(places[CONFIG], MAX_JSON_BYTES), filename, CONFIG)
        tensors = archive.read(places[TENSORS], MAX_TENSOR_BYTES)
        about = archive.read(places[CARD], MAX_JSON_BYTES) if places[CARD] in archive.members else None
    kind, config = peft_settings(document, f"{CONFIG} of {filename!r}", field="file")
    shapes = _check_tensors(tensors, filename)
    card = None if about is None else _check_card(_parse(about, filename, CARD), filename, kind, config, tensors)
    return Checkpoint(
        filename=filename, kind=kind, config=config, document=document, tensors=tensors, shapes=shapes, card=card
    )


def check_fit(checkpoint: Checkpoint, places: Places, fingerprint: str) -> None:
    """Nothing when a checkpoint belongs to a backbone: by its card where it has one, and by its tensors.

    Args:
        places: the backbone's.
        fingerprint: the backbone's.

    Raises:
        BadInput: it was made on another backbone, or its tensors have other names or shapes.
    """
    card = checkpoint.card
    if card is not None and card.fingerprint != fingerprint:
        raise bad_file(
            checkpoint.filename,
            f"was made on backbone {card.backbone!r} ({card.fingerprint[:12]}), here is {fingerprint[:12]}; bring an "
            "expert of this backbone",
        )
    try:
        check_tensors(checkpoint.kind, checkpoint.config, checkpoint.shapes, places)
    except BadInput as error:
        raise bad_file(checkpoint.filename, str(error)) from error


def check_tensors(
    kind: str, settings: Mapping[str, float], shapes: Mapping[str, tuple[int, ...]], places: Places
) -> None:
    """Nothing when tensors are those of an expert of a kind on some modules of a backbone.

    Raises:
        BadInput: what is wrong with them, to stand after the name of the file.
    """
    record = KINDS[kind]
    no_expert = f"it is no {kind} expert of this backbone"
    expected: dict[str, list[tuple[int, ...]]] = {}
    if record.of_modules:
        modules: dict[str, Block] = {}
        for name in shapes:
            path = name.removeprefix(CHECKPOINT_ROOT)
            tensor = next((tensor for tensor in record.tensors if path.endswith(f".{tensor}")), None)
            block = None if tensor is None else places.by_module.get(path.removesuffix(f".{tensor}"))
            if block is None:
                raise BadInput(f"has the tensor {name!r}, which has no place here; {no_expert}")
            modules[block.module] = block
        for module, block in modules.items():
            sizes = {**settings, "in": block.d_in, "out": block.d_out}
            for tensor, allowed in record.tensors.items():
                expected[f"{CHECKPOINT_ROOT}{module}.{tensor}"] = [_sized(dims, sizes) for dims in allowed]
    else:
        prefix = 2 * places.attention.table_layers * places.attention.width
        whole = {**settings, "width": places.width, "prefix": prefix}
        expected = {tensor: [_sized(dims, whole) for dims in allowed] for tensor, allowed in record.tensors.items()}
    foreign, missing = sorted(set(shapes) - set(expected)), sorted(set(expected) - set(shapes))
    if foreign or missing or not shapes:
        what = f"has the unknown tensor {foreign[0]!r}" if foreign else f"lacks the tensor {missing[0]!r}"
        more = len(foreign) + len(missing) - 1
        raise BadInput(f"{what}{f', and {more} more differ' if more else ''}; {no_expert}")
    for name, wanted in expected.items():
        if tuple(shapes[name]) not in wanted:
            either = " or ".join(map(str, wanted))
            raise BadInput(
                f"has the tensor {name!r} with shape {shapes[name]}, this backbone wants {either}; {no_expert}"
            )


def _sized(dims: tuple[str | int, ...], sizes: Mapping[str, float]) -> tuple[int, ...]:
    """A shape in numbers, of settings and sizes by their name."""
    return tuple(dim if isinstance(dim, int) else int(sizes[dim]) for dim in dims)


def keep_checkpoint(checkpoint: Checkpoint, zoo: Zoo, *, name: str, task: str, fingerprint: str) -> ExpertCard:
    """Puts a checkpoint that fits into a zoo as expert ``name`` of ``task``, whole or not at all.

    Args:
        fingerprint: of the zoo's backbone.

    Raises:
        BadInput: the name cannot be used or is taken.
        ArtefactError: the disk is full or not writable.
    """
    check_new_name(zoo, checkpoint.kind, name)
    made = checkpoint.card or ExpertCard(
        name=name,
        kind=checkpoint.kind,
        task=task,
        config=checkpoint.config,
        backbone=zoo.backbone,
        fingerprint=fingerprint,
    )
    card = replace(
        made, name=name, task=task, backbone=zoo.backbone, sha256=sha256(checkpoint.tensors),
        spec={**made.spec, IMPORTED: checkpoint.filename},
    )  # fmt: skip
    with atomic_directory(zoo.new_expert_dir(checkpoint.kind, name)) as folder:
        write_bytes(folder / TENSORS, checkpoint.tensors)
        write_json(folder / CONFIG, dict(checkpoint.document))
        write_card(card, folder)
    return card


def check_new_name(zoo: Zoo, kind: str, name: str) -> None:
    """Nothing when a new expert may have that name.

    Raises:
        BadInput: it cannot be used, or is taken.
    """
    check_name(name, what="name")
    if name in zoo.all_expert_dirs(kind):
        raise BadInput(f"there is already a {kind} expert {name!r}; choose another name", field="name")


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
        for name in (CONFIG, TENSORS, CARD):
            info = zipfile.ZipInfo(f"{card.name}/{name}", _PACKED)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, (directory / name).read_bytes())
    return packed.getvalue()


def _parse(data: bytes, filename: str, member: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_file(filename, f"has a {member} that is not JSON ({error}); save the expert again") from error


def _check_tensors(data: bytes, filename: str) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors that are whole and finite."""
    try:
        found = deserialize(data)
    except (SafetensorError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise bad_file(
            filename, f"has a {TENSORS} that is not a whole safetensors file ({reason}); copy or make it again"
        ) from error
    for name, tensor in found:
        if not _finite(tensor["dtype"], tensor["data"]):
            raise bad_file(filename, f"has values that are not finite numbers in {name!r}; make the expert again")
    return {name: tuple(tensor["shape"]) for name, tensor in found}


def _finite(dtype: str, data: bytes) -> bool:
    if dtype == "BF16":
        return bool(((np.frombuffer(data, "<u2") & _BF16_EXPONENT) != _BF16_EXPONENT).all())
    return dtype in _FLOATS and bool(np.isfinite(np.frombuffer(data, _FLOATS[dtype])).all())


def _check_card(document: Any, filename: str, kind: str, config: Mapping[str, float], tensors: bytes) -> ExpertCard:
    try:
        card = parse_card(document, f"{CARD} of {filename!r}")
    except ArtefactError as error:
        raise BadInput(str(error), field="file") from error
    if (card.kind, dict(card.config)) != (kind, dict(config)):
        raise bad_file(
            filename,
            f"has a {CARD} that says {card.kind} {dict(card.config)} and an {CONFIG} that says {kind} {dict(config)}; "
            "export the expert again",
        )
    if card.sha256 != sha256(tensors):
        raise bad_file(filename, f"has a {TENSORS} that does not match the checksum of its card; export it again")
    return card
