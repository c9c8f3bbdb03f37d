"""The kinds of experts: one torch-free record each. docs/architecture.md tells how to add one.

What a kind does stands in the class that its record names, a `pituning.experts.kinds.base.ExpertKind`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pituning.errors import BadInput
from pituning.registry import Registry


@dataclass(frozen=True, kw_only=True)
class KindRecord:
    """A kind of experts.

    Args:
        name: what programs call it.
        label: what people read.
        help: one sentence for people.
        defaults: the settings that make the shape of an expert; they are kept on its card.
        whole: the settings that must be whole numbers.
        rate: the learning rate that trains an expert of this kind well on the embedded backbone.
        steps: of training there, after which the score of an expert on all training data hardly rises.
        shipped: whether the embedded zoo has experts of it. `pituning zoo build` makes those, unless told otherwise.
        peft_type: the method's name in ``adapter_config.json``.
        settings_of: reads the settings from ``adapter_config.json``; `BadInput` says what cannot be used, and why.
        tensors: what a checkpoint holds: the name of each tensor, of every module it acts on unless ``of_modules`` is
            false, and the shapes of which it has one, in settings and sizes of the backbone: ``in`` and ``out`` of the
            module, ``width`` of embedded tokens, ``prefix`` for the keys and values of all layers, or a number.
        path: of its class.
    """

    name: str
    label: str
    help: str
    defaults: Mapping[str, float]
    whole: tuple[str, ...] = ()
    rate: float
    steps: int
    shipped: bool = False
    peft_type: str
    settings_of: Callable[[Mapping[str, Any]], dict[str, float]]
    tensors: Mapping[str, Sequence[tuple[str | int, ...]]]
    of_modules: bool = True
    path: str


def _lora_settings(document: Mapping[str, Any]) -> dict[str, float]:
    """Those of a plain LoRA; of others mixing the products B A would silently be wrong."""
    used = [key for key in NOT_PLAIN_LORA if document.get(key)]
    if document.get("bias", "none") != "none":
        used.append("bias")
    if used:
        raise BadInput(f"{', '.join(used)} is not supported; use a plain LoRA")
    return {"rank": document["r"], "scale": document["lora_alpha"] / document["r"]}


NOT_PLAIN_LORA = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")

KINDS: Registry[KindRecord] = Registry(
    "expert kind",
    [
        KindRecord(
            name="lora",
            label="LoRA",
            help="Low-rank updates of the attention and feed-forward maps.",
            # The product B A is multiplied by `scale` whatever the rank: a mixture of rank K r keeps the scale of its
            # parts.
            defaults={"rank": 4, "scale": 2.0},
            whole=("rank",),
            rate=5e-3,
            steps=600,
            shipped=True,
            peft_type="LORA",
            settings_of=_lora_settings,
            tensors={"lora_A.weight": [("rank", "in")], "lora_B.weight": [("out", "rank")]},
            path="pituning.experts.kinds.lora:Lora",
        ),
        KindRecord(
            name="bottleneck",
            label="Bottleneck",
            help="Small two-layer adapters after attention and feed-forward (Houlsby).",
            defaults={"size": 16},
            whole=("size",),
            rate=1e-2,
            steps=700,
            shipped=True,
            peft_type="BOTTLENECK",
            settings_of=lambda document: {"size": document["size"]},
            tensors={
                "bottleneck_down.weight": [("size", "out")],
                "bottleneck_down.bias": [("size",)],
                "bottleneck_up.weight": [("out", "size")],
                "bottleneck_up.bias": [("out",)],
            },
            path="pituning.experts.kinds.bottleneck:Bottleneck",
        ),
        KindRecord(
            name="prefix",
            label="Prefix",
            help="Learned keys and values in front of the decoder's attention.",
            defaults={"tokens": 30},
            whole=("tokens",),
            rate=1e-1,
            steps=1200,
            shipped=True,
            peft_type="PREFIX_TUNING",
            settings_of=lambda document: {"tokens": document["num_virtual_tokens"]},
            tensors={"prompt_embeddings": [("tokens", "prefix")]},
            of_modules=False,
            path="pituning.experts.kinds.prefix:Prefix",
        ),
        KindRecord(
            name="prompt",
            label="Soft prompt",
            help="Learned embeddings in front of the input (Lester).",
            defaults={"tokens": 20},
            whole=("tokens",),
            rate=5e-2,
            steps=1200,
            peft_type="PROMPT_TUNING",
            settings_of=lambda document: {"tokens": document["num_virtual_tokens"]},
            tensors={"prompt_embeddings": [("tokens", "width")]},
            of_modules=False,
            path="pituning.experts.kinds.prompt:Prompt",
        ),
        KindRecord(
            name="ia3",
            label="IA³",
            help="Learned scales of keys, values and feed-forward activations.",
            defaults={},
            rate=1e-1,
            steps=1200,
            peft_type="IA3",
            settings_of=lambda document: {},
            tensors={"ia3_l": [("out", 1), (1, "in")]},
            path="pituning.experts.kinds.ia3:Ia3",
        ),
    ],
    group="pituning.kinds",
    field="kind",
)


def full_settings(kind: str, settings: Mapping[str, float] | None = None) -> dict[str, float]:
    """The kind's defaults with ``settings`` over them.

    Raises:
        BadInput: for an unknown kind, an unknown key or a size below 1.
    """
    record = KINDS[kind]
    merged = dict(record.defaults)
    for key, value in (settings or {}).items():
        if key not in merged:
            raise BadInput(f"{kind} has no setting {key!r}; it has {', '.join(merged)}")
        usable = isinstance(value, int | float) and math.isfinite(value) and value > 0
        if not usable or (key in record.whole and int(value) != value):
            raise BadInput(f"{kind} setting {key} is {value!r}; give a number above 0, whole where it is a size")
        merged[key] = value
    return merged


def kind_of_peft_type(peft_type: str) -> KindRecord | None:
    """The kind whose checkpoints say that method, or None."""
    return next((record for record in KINDS.values() if record.peft_type == peft_type), None)


def in_order(names: Iterable[str]) -> list[str]:
    """Those of the kinds that are named, in the order of the registry: of a zoo's directories, for example."""
    named = set(names)
    return [kind for kind in KINDS if kind in named]


def shipped_kinds() -> tuple[str, ...]:
    """The kinds of which the embedded zoo has experts."""
    return tuple(record.name for record in KINDS.values() if record.shipped)


def kind_words() -> str:
    """The names of all kinds, for people: ``lora, bottleneck or prefix``."""
    *others, last = KINDS
    return f"{', '.join(others)} or {last}"
