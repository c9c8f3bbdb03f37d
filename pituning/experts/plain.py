"""Plain PEFT on a backbone's own weights, without changing or copying them: what experts are checked against."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import (
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from torch import Tensor, nn

import pituning.experts.bottleneck  # noqa: F401 (registers the method with PEFT)
from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.errors import BadInput, PiTuningError, RunFailed
from pituning.experts.canonical import ROOT
from pituning.experts.card import CONFIG
from pituning.tasks.base import Example, Task
from pituning.tasks.disc import COLOURS, Disc

TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-3}
"""How far logits may differ where they are equal but for rounding, relative to the largest; by the backbone's dtype."""

PROMPTS = ("is it good?", "which of these words is a colour: red, seven or slowly?", "one two three four five")


def twin(backbone: Backbone, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A model that shares all weights of the backbone's but has modules of its own, to inject into.

    Args:
        tensors: of a checkpoint. Weights of the model that it replaces, such as biases, are copied.
    """
    replaced = {name.removeprefix(ROOT).replace(".base_layer.", ".") for name in tensors}
    model = backbone.model
    named = list(model.named_parameters(remove_duplicate=False))
    own = {id(tensor) for name, tensor in named if name in replaced}
    shared = {id(tensor): tensor for _, tensor in named if id(tensor) not in own}
    shared |= {id(tensor): tensor for tensor in model.buffers()}
    made = copy.deepcopy(model, memo=shared)
    assert isinstance(made, nn.Module)
    return made


def plain_model(backbone: Backbone, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> PeftModel:
    """What PEFT makes of a checkpoint, in evaluation mode.

    Args:
        document: ``adapter_config.json``.
        tensors: by the names that they have in the file.

    Raises:
        BadInput: PEFT cannot load it, or it holds other tensors than PEFT wants; to stand after the checkpoint's name.
    """
    method = document.get("peft_type")
    before = {name: (tensor, tensor.data_ptr(), tensor._version) for name, tensor in backbone.model.named_parameters()}
    # PEFT draws from the global generator, and calls what transformers 5 deprecates.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = get_peft_model(twin(backbone, tensors), config_of(document))
            loaded = set_peft_model_state_dict(model, dict(tensors))
            wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
        except PiTuningError:
            raise
        except Exception as error:  # PEFT and PyTorch have many kinds for a checkpoint that does not fit
            reason = " ".join((str(error) or type(error).__name__).split())[:300]
            raise BadInput(f"is a {method} checkpoint that PEFT cannot load on this backbone: {reason}") from error
    for name, (tensor, place, version) in before.items():
        if (tensor.data_ptr(), tensor._version) != (place, version):
            raise RunFailed(f"PEFT wrote over {name!r} of backbone {backbone.name!r} itself; load it again")
    foreign = sorted(set(loaded.unexpected_keys) - wanted)  # PEFT names embeddings that it has put in place, too
    if foreign:
        raise BadInput(f"has the tensor {first_of(foreign)}, which PEFT finds no place for in this backbone")
    missing = sorted(wanted - set(tensors))
    if missing:
        raise BadInput(f"lacks the tensor {first_of(missing)}, which its config asks for")
    return model.eval()


def first_of(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - 1
    return f"{names[0]!r}{f' and {more} more' if more else ''}"


def config_of(document: Mapping[str, Any]) -> PeftConfig:
    """The config in an ``adapter_config.json``, for inference, without the path of any machine."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {**document, "base_model_name_or_path": None, "inference_mode": True}
        (Path(folder) / CONFIG).write_text(json.dumps(settings), encoding="utf-8")
        config = PeftConfig.from_pretrained(folder)
    config.inference_mode = True
    return config


def plain_logits(plain: nn.Module, backbone: Backbone, batch: Batch) -> Tensor:
    """(1, U, V) of a batch of one without padding, as anybody would ask PEFT for them.

    Args:
        plain: the backbone's model, or another of the same weights, perhaps in PEFT.
    """
    ones = torch.ones_like(batch.input_ids)
    config = plain.active_peft_config if isinstance(plain, PeftModel) else None
    prefix_arguments = (
        backbone.beside_prefix(config.num_virtual_tokens) if isinstance(config, PrefixTuningConfig) else {}
    )
    if backbone.attention.encoder_decoder:
        return plain(
            input_ids=batch.input_ids,
            attention_mask=ones,
            decoder_input_ids=batch.decoder_input_ids,
            **({} if batch.pixel_values is None else {"pixel_values": batch.pixel_values}),
            **prefix_arguments,
        ).logits
    ids, answers = torch.cat([batch.input_ids, batch.labels[:, :-1]], dim=1), batch.labels.shape[1]
    # No `logits_to_keep`: what stands in front makes more logits than there are tokens.
    beside = {**backbone.beside_ids(ids, answers - 1), **backbone.beside_pictures(batch, answers - 1)}
    return plain(input_ids=ids, attention_mask=torch.ones_like(ids), **beside).logits[:, -answers:]


def few_prompts(backbone: Backbone, *, pictures: bool = False) -> EncodedExamples:
    """A few questions, of texts or of pictures."""
    images = [Disc(colour, 0.3 + 0.2 * number) if pictures else None for number, colour in enumerate(COLOURS)]
    examples = [
        Example(uid=f"check/train/{number}", text=text, answer="yes", image=image)
        for number, (text, image) in enumerate(zip(PROMPTS, images, strict=True))
    ]
    task = Task(
        name="check", title="", instruction="", modality="vision-language" if pictures else "language",
        metric="accuracy", labels=("yes", "no"), splits={"train": examples},
    )  # fmt: skip
    return backbone.encode(task, examples, keep_pixels=pictures)


def modules_that_run(plain: PeftModel, backbone: Backbone, batch: Batch) -> set[str]:
    """The names of the modules that take part when an answer is made."""
    ran: set[str] = set()
    handles = []
    for name, module in plain.get_base_model().named_modules():
        handles.append(module.register_forward_hook(lambda *_, name=name: ran.add(name)))
    try:
        with torch.no_grad():
            plain_logits(plain, backbone, batch)
    finally:
        for handle in handles:
            handle.remove()
    return ran
