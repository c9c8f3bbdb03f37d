"""An imported expert is compared with what plain PEFT makes of the same checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pituning.errors import BadInput
from pituning.experts.card import library_versions
from pituning.experts.model import ExpertModel
from pituning.experts.plain import TOLERANCE, few_prompts, first_of, modules_that_run, plain_logits, plain_model


def check_against_peft(
    model: ExpertModel, values: Tensor, document: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> float:
    """The largest difference of logits to plain PEFT with a checkpoint, on a few prompts, relative to the largest.

    Args:
        values: (P,) the expert that was made of it.
        document: ``adapter_config.json``.
        tensors: by the names that they have in the file.

    Raises:
        BadInput: PEFT cannot load it, it acts on what takes no part in answers, or the difference is larger than
            rounding explains; to stand after the checkpoint's name.
    """
    backbone = model.backbone
    plain = plain_model(backbone, document, {name: tensor.to(backbone.device) for name, tensor in tensors.items()})
    prompts = few_prompts(backbone)
    batches = [prompts.batch([row]) for row in range(len(prompts))]
    ran = modules_that_run(plain, backbone, batches[0])
    idle = [
        module for module in getattr(plain, "targeted_module_names", ()) if module not in ran | backbone.picture_modules
    ]
    if idle:
        raise BadInput(
            f"acts on {first_of(idle)}, which takes no part when an answer is made; train it with a target_modules "
            "pattern that names modules of the language model, or linear maps of what sees pictures"
        )
    if model.sees:
        seen = few_prompts(backbone, pictures=True)
        batches += [seen.batch([row]) for row in range(len(seen))]
    worst = 0.0
    with torch.no_grad():
        for batch in batches:
            theirs = plain_logits(plain, backbone, batch)
            with model.using(values):
                ours = backbone.logits(batch)
            worst = max(worst, float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-12)))
    if not worst <= TOLERANCE[backbone.dtype]:
        raise BadInput(
            f"does not do here what it does in plain PEFT: logits differ by {worst:.1e} of the largest; it cannot be "
            "used, please report this"
        )
    return worst


def peft_version() -> str:
    """The version of PEFT with which experts are compared."""
    return f"peft {library_versions()['peft']}"
