"""Whether a PEFT checkpoint belongs to a backbone, and the form in which it is then kept. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from safetensors.numpy import save

from pituning.backbones.places import Block, Places
from pituning.errors import BadInput
from pituning.experts.canonical import ROOT as CHECKPOINT_ROOT
from pituning.experts.card import CONFIG
from pituning.experts.checkpoint import OTHER_METHOD, Checkpoint, arrays
from pituning.experts.kinds import KINDS, KindRecord, full_settings
from pituning.registry import load

SIZES = 4
"""None of an expert's tensors has more than so many times the numbers of the map that it changes."""

_ELSEWHERE = ("lora_embedding_A", "lora_embedding_B", "weight", "bias")


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
        done = load(record.convert)(checkpoint.document, arrays(checkpoint.tensors), places)
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
    ends, placed = (*record.tensors, *_ELSEWHERE), places.of(sees=record.sees)
    outside: dict[str, None] = {}
    for name in checkpoint.shapes:
        path = name.removeprefix(CHECKPOINT_ROOT)
        end = next((end for end in ends if path.endswith(f".{end}")), None)
        module = path.rpartition(".")[0] if end is None else path.removesuffix(f".{end}")
        module = module.removesuffix(".base_layer")
        if module not in placed:
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
        placed = places.of(sees=record.sees)
        for name in shapes:
            path = name.removeprefix(CHECKPOINT_ROOT)
            tensor = next((tensor for tensor in record.tensors if path.endswith(f".{tensor}")), None)
            block = None if tensor is None else placed.get(path.removesuffix(f".{tensor}"))
            if block is None:
                raise BadInput(f"has the tensor {name!r}, which has no place here; {no_expert}")
            modules[block.module] = block
        _check_size(record, settings, modules.values())
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


def _check_size(record: KindRecord, settings: Mapping[str, float], blocks: Collection[Block]) -> None:
    """Nothing when none of an expert's tensors is far larger than the map that it changes."""
    for name in record.whole:
        most = min((_most(name, allowed, settings, blocks) for allowed in record.tensors.values()), default=math.inf)
        if settings[name] > most:
            raise BadInput(
                f"says {name} {settings[name]:,.0f}, and the maps that it changes have room for {most}; save it with a "
                f"{name} of at most {most}"
            )


def _most(
    name: str, allowed: Sequence[Sequence[str | int]], settings: Mapping[str, float], blocks: Collection[Block]
) -> float:
    """The largest size ``name`` with which a tensor has at most `SIZES` times as many numbers as its map has."""
    rooms = [
        SIZES * block.d_in * block.d_out // math.prod(_sized([dim for dim in dims if dim != name], sizes))
        for block in blocks
        for sizes in ({**settings, "in": block.d_in, "out": block.d_out},)
        for dims in allowed
        if name in dims
    ]
    return max(rooms, default=math.inf)


def _sized(dims: Sequence[str | int], sizes: Mapping[str, float]) -> tuple[int, ...]:
    """A shape in numbers, of settings and sizes by their name."""
    return tuple(dim if isinstance(dim, int) else int(sizes[dim]) for dim in dims)
