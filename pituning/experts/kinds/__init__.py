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
        also: other methods whose checkpoints ``convert`` makes ones of this kind.
        settings_of: reads the settings from ``adapter_config.json``; `BadInput` says what cannot be used, and why.
        tensors: what a checkpoint holds: the name of each tensor, of every module it acts on unless ``of_modules`` is
            false, and the shapes of which it has one, in settings and sizes of the backbone: ``in`` and ``out`` of the
            module, ``width`` of embedded tokens, ``prefix`` for the keys and values of all layers, or a number.
        convert: where the function stands that converts a checkpoint of others to the form in which it is kept, a
            `pituning.experts.canonical.Convert`; None where there is one form only.
        resizable: whether experts of other sizes or on other modules can be mixed with the usual ones.
        mixable: whether its experts can be trained and mixed at all.
        sees: whether its experts can act in a backbone's vision tower, too.
        registers: the module to import before PEFT knows the method, where PEFT does not have it itself.
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
    also: tuple[str, ...] = ()
    settings_of: Callable[[Mapping[str, Any]], dict[str, float]]
    tensors: Mapping[str, Sequence[tuple[str | int, ...]]]
    of_modules: bool = True
    convert: str | None = None
    resizable: bool = False
    mixable: bool = True
    sees: bool = False
    registers: str | None = None
    path: str


class NotMixable(BadInput):
    """A PEFT checkpoint that does what no expert that can be mixed does; it is kept, asked and exported as it is."""


CHANGED_BASE = ("pissa", "corda", "olora", "lora_ga", "loftq")
"""How values of ``init_lora_weights`` begin that change the base weights before training."""

PLAIN_LORA = frozenset({
    "peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    "rank_pattern", "alpha_pattern", "use_rslora", "fan_in_fan_out", "init_lora_weights", "bias", "megatron_core",
    "qalora_group_size", "runtime_config", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
})  # fmt: skip
"""What of a LoRA's config leaves it a product B A beside a linear map."""

WHY_NOT_MIXED = {
    "use_dora": "DoRA sets the norm of each column of the changed weight, which no sum over experts has",
    "modules_to_save": "it replaces whole modules of the backbone",
    "lora_bias": "it has biases beside its products",
    "trainable_token_indices": "it replaces embeddings of tokens",
    "target_parameters": "it changes parameters of modules that are no linear maps",
    "alora_invocation_tokens": "it acts only after certain tokens",
}


def _lora_settings(document: Mapping[str, Any]) -> dict[str, float]:
    """Those of a plain LoRA; of others mixing the products B A would silently be wrong."""
    begun = str(document.get("init_lora_weights", True)).lower()
    if begun.startswith(CHANGED_BASE):
        fix = (
            "train it again with init_lora_weights=True"
            if begun.startswith("loftq")
            else "save it as a plain LoRA: model.save_pretrained(DIR, path_initial_model_for_weight_conversion=INITIAL)"
        )
        raise BadInput(f"init_lora_weights is {begun!r}: such a LoRA acts on base weights that it changed; {fix}")
    if document.get("layer_replication"):
        raise BadInput("layer_replication makes another model of the backbone; train it without")
    for key, value in document.items():
        if value and key not in PLAIN_LORA:
            raise NotMixable(f"{key}: {WHY_NOT_MIXED.get(key, 'what it does is more than a product B A')}")
    if document.get("bias", "none") != "none":
        raise NotMixable("bias: its biases replace the backbone's own")
    root = math.sqrt(document["r"]) if document.get("use_rslora") else document["r"]
    return {"rank": document["r"], "scale": document["lora_alpha"] / root}


def _ia3_settings(document: Mapping[str, Any]) -> dict[str, float]:
    if document.get("modules_to_save"):
        raise NotMixable(f"modules_to_save: {WHY_NOT_MIXED['modules_to_save']}")
    return {}


def _fourier_settings(document: Mapping[str, Any]) -> dict[str, float]:
    for key in ("modules_to_save", "n_frequency_pattern", "fan_in_fan_out"):
        if document.get(key):
            raise NotMixable(f"{key}: {WHY_NOT_MIXED.get(key, 'its maps are not all alike')}")
    if document.get("bias", "none") != "none":
        raise NotMixable("bias: its biases replace the backbone's own")
    if not document.get("random_loc_seed"):
        raise NotMixable("random_loc_seed: experts without a seed above 0 have no frequencies in common")
    return {"frequencies": document["n_frequency"], "scale": document["scaling"], "seed": document["random_loc_seed"]}


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
            sees=True,
            peft_type="LORA",
            settings_of=_lora_settings,
            tensors={"lora_A.weight": [("rank", "in")], "lora_B.weight": [("out", "rank")]},
            convert="pituning.experts.canonical:lora",
            resizable=True,
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
            resizable=True,
            registers="pituning.experts.bottleneck",
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
            convert="pituning.experts.canonical:prefix",
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
            also=("P_TUNING",),
            settings_of=lambda document: {"tokens": document["num_virtual_tokens"]},
            tensors={"prompt_embeddings": [("tokens", "width")]},
            of_modules=False,
            convert="pituning.experts.canonical:prompt",
            path="pituning.experts.kinds.prompt:Prompt",
        ),
        KindRecord(
            name="ia3",
            label="IA³",
            help="Learned scales of keys, values and feed-forward activations.",
            defaults={},
            rate=1e-1,
            steps=1200,
            shipped=True,
            peft_type="IA3",
            settings_of=_ia3_settings,
            tensors={"ia3_l": [("out", 1), (1, "in")]},
            resizable=True,
            path="pituning.experts.kinds.ia3:Ia3",
        ),
        KindRecord(
            name="fourier",
            label="FourierFT",
            help="A few learned frequencies of the updates of linear maps; a mixture has the size of one expert.",
            defaults={"frequencies": 128, "scale": 150.0, "seed": 777},
            whole=("frequencies", "seed"),
            rate=3e-1,
            steps=1200,
            peft_type="FOURIERFT",
            settings_of=_fourier_settings,
            tensors={"fourierft_spectrum": [("frequencies",)]},
            resizable=True,
            path="pituning.experts.kinds.fourier:Fourier",
        ),
        KindRecord(
            name="peft",
            label="Other PEFT method",
            help="Kept as it is: it can be asked and exported, but not trained or mixed.",
            defaults={},
            rate=0.0,
            steps=0,
            peft_type="",
            settings_of=lambda document: {},
            tensors={},
            mixable=False,
            path="pituning.experts.kinds.other:OtherMethod",
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


def kind_of_peft_type(peft_type: str) -> KindRecord:
    """The kind whose checkpoints say that method.

    Raises:
        NotMixable: there is none.
    """
    for record in KINDS.values():
        if peft_type in (record.peft_type, *record.also):
            return record
    known = ", ".join(record.peft_type for record in KINDS.values() if record.mixable)
    raise NotMixable(f"{peft_type}: sums of its parameters are no expert, as those of {known} are")


def in_order(names: Iterable[str]) -> list[str]:
    """Those of the kinds that are named, in the order of the registry: of a zoo's directories, for example."""
    named = set(names)
    return [kind for kind in KINDS if kind in named]


def shipped_kinds() -> tuple[str, ...]:
    """The kinds of which the embedded zoo has experts."""
    return tuple(record.name for record in KINDS.values() if record.shipped)


def mixable_kinds() -> tuple[str, ...]:
    """The kinds whose experts can be trained and mixed."""
    return tuple(record.name for record in KINDS.values() if record.mixable)


def check_mixable(kind: str) -> str:
    """The kind itself.

    Raises:
        BadInput: there is none of that name, or its experts can be neither trained nor mixed.
    """
    if not KINDS[kind].mixable:
        raise BadInput(
            f"{kind} experts are of other PEFT methods, which can be asked and exported but not trained or mixed; "
            f"choose {kind_words()}",
            field="kind",
        )
    return kind


def kind_words(*, everything: bool = False) -> str:
    """The names of the kinds for people: ``lora, bottleneck or prefix``; of those that can be mixed, or all."""
    *others, last = KINDS if everything else mixable_kinds()
    return f"{', '.join(others)} or {last}"
