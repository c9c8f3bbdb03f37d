"""The families of foundation models that can be backbones. Torch-free; docs/architecture.md tells how to add one.

A checkpoint's ``config.json`` decides: by its ``model_type`` where a family names it, else by how the name of its
architecture ends, which takes in every model of a stock transformers class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pituning.errors import ArtefactError
from pituning.registry import Registry

VISION, LANGUAGE, VISION_LANGUAGE = "vision", "language", "vision-language"


@dataclass(frozen=True, kw_only=True)
class FamilyRecord:
    """A family of checkpoints that one class runs.

    Args:
        name: what programs call it.
        label: what people read.
        help: one sentence for people.
        model_types: values of ``model_type`` in ``config.json``.
        architectures: how the name of a class in ``architectures`` ends, for families of stock classes.
        needs: what ``config.json`` must hold for that.
        modalities: of the tasks that it can do.
        without: kinds of experts that it cannot have, each with the reason.
        examples: ids on the hub of checkpoints that people may know.
        path: of its class, a `pituning.backbones.base.Backbone`.
    """

    name: str
    label: str
    help: str
    model_types: tuple[str, ...]
    architectures: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    modalities: tuple[str, ...]
    without: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    path: str


FAMILIES: Registry[FamilyRecord] = Registry(
    "backbone family",
    [
        FamilyRecord(
            name="florence2",
            label="Florence-2",
            help="Image encoder and BART-like encoder-decoder; the embedded backbone is one.",
            model_types=("florence2",),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            examples=("florence-community/Florence-2-base",),
            path="pituning.backbones.florence2:Florence2Backbone",
        ),
        FamilyRecord(
            name="causal",
            label="Decoder-only text",
            help="Any decoder-only language model with a stock class: Gemma 3, Qwen 3, Llama, SmolLM and others.",
            model_types=(
                "gemma", "gemma2", "gemma3_text", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3",
            ),
            architectures=("ForCausalLM",),
            modalities=(LANGUAGE,),
            examples=("HuggingFaceTB/SmolLM2-135M-Instruct", "google/gemma-3-270m-it", "Qwen/Qwen3-0.6B"),
            path="pituning.backbones.causal:CausalBackbone",
        ),
        FamilyRecord(
            name="t5",
            label="T5",
            help="Encoder-decoders with relative positions, text to text: T5, Flan-T5, mT5 and UMT5.",
            model_types=("t5", "mt5", "umt5"),
            modalities=(LANGUAGE,),
            examples=("google/flan-t5-base", "google/mt5-base"),
            path="pituning.backbones.t5:T5Backbone",
        ),
        FamilyRecord(
            name="ofa",
            label="OFA",
            help="The paper's backbone: ResNet and encoder-decoder, in five sizes; its weights are converted once.",
            model_types=("ofa",),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            examples=("OFA-Sys/ofa-base",),
            path="pituning.backbones.ofa_backbone:OfaBackbone",
        ),
        FamilyRecord(
            name="t5gemma2",
            label="T5Gemma 2",
            help="Gemma 3 as an encoder-decoder that sees.",
            model_types=("t5gemma2",),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            without={
                "prefix": "PEFT takes it for a Gemma 2 and makes keys and values of one part, where its decoder has two"
            },
            examples=("google/t5gemma-2-270m-270m",),
            path="pituning.backbones.t5gemma2:T5Gemma2Backbone",
        ),
        FamilyRecord(
            name="image_text",
            label="Decoder-only image and text",
            help="Decoder-only models that see, by their own processor: SmolVLM, Qwen-VL, Gemma 3, LLaVA and others.",
            model_types=("gemma3", "idefics3", "llava", "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "smolvlm"),
            architectures=("ForConditionalGeneration",),
            needs=("vision_config",),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            examples=("HuggingFaceTB/SmolVLM-256M-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct", "google/gemma-3-4b-it"),
            path="pituning.backbones.image_text:ImageTextBackbone",
        ),
        FamilyRecord(
            name="paligemma",
            label="PaliGemma",
            help="Gemma that sees and reads its prompt in both directions: PaliGemma and PaliGemma 2.",
            model_types=("paligemma",),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            without=dict.fromkeys(
                ("prefix", "prompt"),
                "PEFT does not tell the model where the answer begins, so that what an answer sees hangs on padding",
            ),
            examples=("google/paligemma2-3b-mix-224", "google/paligemma-3b-mix-224"),
            path="pituning.backbones.paligemma:PaliGemmaBackbone",
        ),
        FamilyRecord(
            name="composed",
            label="Composed of parts",
            help="A frozen vision encoder and a frozen decoder-only text model, joined by a projector of our own.",
            model_types=("composed",),
            modalities=(VISION, LANGUAGE, VISION_LANGUAGE),
            examples=("smolvision",),
            path="pituning.backbones.composed.backbone:ComposedBackbone",
        ),
    ],
    group="pituning.backbones",
)  # fmt: skip


def family_of(config: Mapping[str, Any], where: str) -> FamilyRecord:
    """The family that runs a checkpoint.

    Args:
        config: the document in its ``config.json``.
        where: what the checkpoint is called, for messages.

    Raises:
        ArtefactError: no family does; the message names the nearest supported model types.
    """
    model_type, classes = config.get("model_type"), config.get("architectures") or []
    for record in FAMILIES.values():
        if model_type in record.model_types:
            return record
    for record in FAMILIES.values():
        stock = any(str(name).endswith(record.architectures) for name in classes if record.architectures)
        if stock and all(key in config for key in record.needs):
            return record
    known = sorted({name for record in FAMILIES.values() for name in record.model_types})
    close = get_close_matches(str(model_type), known, n=3, cutoff=0.4) or known
    named = ", ".join(map(str, classes)) or "no architecture named"
    raise ArtefactError(
        f"backbone {where} is a {model_type!r} model ({named}), which no family runs; "
        f"nearest that can be loaded: {', '.join(close)}"
    )
