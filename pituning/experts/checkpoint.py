"""PEFT checkpoints without torch: read from a zip that somebody uploads, checked, kept, and packed again."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from pituning.backbones.places import Block, Places
from pituning.errors import ArtefactError, BadInput
from pituning.experts.canonical import ROOT as CHECKPOINT_ROOT
from pituning.experts.canonical import Tensors
from pituning.experts.card import CARD, CONFIG, IMPORTED, TENSORS, ExpertCard, parse_card, read_card, write_card
from pituning.experts.kinds import KINDS, NotMixable, full_settings, kind_of_peft_type
from pituning.experts.readme import FILE as README
from pituning.experts.readme import readme
from pituning.registry import load
from pituning.workspace.atomic import atomic_directory, sha256, sha256_file, write_bytes, write_json
from pituning.workspace.layout import check_name
from pituning.workspace.zips import bad_file, open_zip
from pituning.workspace.zoo import Zoo

NOT_MIXED = "not_mixed"
"""The setting of a card's spec that says why an expert cannot be mixed."""
CONVERTED, ORIGINAL = "converted", "adapter_config"
"""The settings of a card's spec that say what was done to a checkpoint, and what its config was."""
CHECKED = "checked"
"""The setting of a card's spec that says against which version of PEFT an imported expert's outputs were checked."""
OTHER_METHOD = "peft"
"""The kind of what cannot be mixed."""
_ELSEWHERE = ("lora_embedding_A", "lora_embedding_B", "weight", "bias")
CONVERT_PICKLE = (
    'python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('adapter_model.bin', weights_only=True), 'adapter_model.safetensors')\""
)

MAX_JSON_BYTES = 2**20
MAX_TENSOR_BYTES = 256 * 2**20
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_BF16_EXPONENT = 0x7F80
_PACKED = (1980, 1, 1, 0, 0, 0)


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


def read_directory(directory: Path) -> Checkpoint:
    """The checkpoint in a directory, or in the one folder below it that has one.

    Raises:
        BadInput: there is none, a file is damaged, or the method is not supported.
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


def check_fit(
    checkpoint: Checkpoint, places: Places, fingerprint: str, *, modules: Collection[str] | None = None
) -> Checkpoint:
    """A checkpoint that belongs to a backbone, by its card where it has one and by its tensors, in the form in which it
    is kept.

    Args:
        places: the backbone's.
        fingerprint: the backbone's.
        modules: the names of all modules of the model, where that is loaded: a checkpoint that acts on others than
            those of ``places`` is then one that cannot be mixed, and is an error otherwise.

    Raises:
        BadInput: it was made on another backbone, or its tensors have other names or shapes.
    """
    card = checkpoint.card
    if card is not None and card.fingerprint != fingerprint:
        raise checkpoint.bad(
            f"was made on backbone {card.backbone!r} ({card.fingerprint[:12]}), here is {fingerprint[:12]}; import an "
            "expert of this backbone"
        )
    try:
        if checkpoint.kind == OTHER_METHOD:
            if modules is None:
                _check_modules(checkpoint.shapes, places)
            return checkpoint
        outside = _outside(checkpoint, places)
        if outside and modules is not None and all(module and module in modules for module in outside):
            return checkpoint.unmixed(f"acts on {outside[0]}, where experts that can be mixed have no place")
        fitted = _converted(checkpoint, places) if card is None else checkpoint
        try:
            check_tensors(fitted.kind, fitted.config, fitted.shapes, places)
        except BadInput as error:
            hint = _about_targets(checkpoint, outside)
            raise BadInput(f"{error}{hint}") from error
        return fitted
    except BadInput as error:
        raise checkpoint.bad(str(error)) from error


def _converted(checkpoint: Checkpoint, places: Places) -> Checkpoint:
    """The checkpoint in the form in which it is kept."""
    record = KINDS[checkpoint.kind]
    if record.convert is None:
        return checkpoint
    try:
        done = load(record.convert)(checkpoint.document, _arrays(checkpoint.tensors), places)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise BadInput(f"has a {CONFIG} that cannot be followed ({error}); save the expert again") from error
    if done is None:
        return checkpoint
    return replace(
        checkpoint,
        config=full_settings(record.name, record.settings_of(done.document)),
        document=done.document,
        tensors=save(dict(done.tensors), {"format": "pt"}),
        shapes={name: tuple(tensor.shape) for name, tensor in done.tensors.items()},
        original=checkpoint.document,
        converted=done.what,
    )


def _outside(checkpoint: Checkpoint, places: Places) -> list[str]:
    """The modules that it acts on and that are no places of experts."""
    record = KINDS[checkpoint.kind]
    if not record.of_modules:
        return []
    ends = (*record.tensors, *_ELSEWHERE)
    outside: dict[str, None] = {}
    for name in checkpoint.shapes:
        path = name.removeprefix(CHECKPOINT_ROOT)
        end = next((end for end in ends if path.endswith(f".{end}")), None)
        module = path.rpartition(".")[0] if end is None else path.removesuffix(f".{end}")
        module = module.removesuffix(".base_layer")
        if module not in places.by_module:
            outside[module] = None
    return list(outside)


def _about_targets(checkpoint: Checkpoint, outside: Sequence[str]) -> str:
    """What to do about a checkpoint that acts on some places of experts and on other modules, too."""
    targets = checkpoint.document.get("target_modules")
    if not outside or len(outside) == len({name.rpartition(".lora_")[0] for name in checkpoint.shapes}):
        return ""
    named = ", ".join(map(str, targets)) if isinstance(targets, list) else str(targets)
    return (
        f"; its target_modules ({named[:80]}) also name {outside[0]!r}, which is outside the language model's layers: "
        "train it with a pattern that names those alone"
    )


def _check_modules(shapes: Mapping[str, tuple[int, ...]], places: Places) -> None:
    """Nothing when each tensor belongs to a place of experts: all that can be told without the model itself."""
    for name in shapes:
        path = name.removeprefix(CHECKPOINT_ROOT)
        parts = path.split(".")
        if not any(".".join(parts[:count]) in places.by_module for count in range(1, len(parts))):
            raise BadInput(
                f"has the tensor {name!r}, which cannot be checked without the model; import it on the command line: "
                "pituning experts import DIR --task TASK"
            )


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
    with atomic_directory(zoo.new_expert_dir(checkpoint.kind, name)) as folder:
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
        members = {name: (directory / name).read_bytes() for name in (CONFIG, TENSORS, CARD)}
        for name, data in {**members, README: readme(card).encode()}.items():
            info = zipfile.ZipInfo(f"{card.name}/{name}", _PACKED)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return packed.getvalue()


def _parse(data: bytes, filename: str, member: str, field: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{filename!r} has a {member} that is not JSON ({error}); save the expert again", field=field
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


def _arrays(data: bytes) -> Tensors:
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
