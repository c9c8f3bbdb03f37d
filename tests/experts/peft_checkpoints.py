"""Checkpoints as people have them, made with plain PEFT on plain models; every tensor is away from where it began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model

from pituning.backbones.base import Backbone
from pituning.experts.kinds.base import task_type
from tests.backbones.tiny import Tiny


def write_checkpoint(
    config: PeftConfig, base: Path, tiny: Tiny, folder: Path, *, adapter: str = "default"
) -> PeftModel:
    """Writes a checkpoint and gives the model that wrote it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = tiny.plain.from_pretrained(base, dtype=torch.float32).eval()
        model = get_peft_model(plain, config, adapter_name=adapter)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad and "original_module" not in name:
                    parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model.eval()


def leaves(backbone: Backbone, *roles: str) -> list[str]:
    """The usual names of the maps with some roles, in the layers of the language model."""
    return sorted({block.module.rpartition(".")[2] for block in backbone.blocks if block.role in roles})


def pattern(backbone: Backbone, *roles: str) -> str:
    """A pattern for them, which does not hit a vision tower."""
    roots = sorted({block.module.partition(".layers.")[0] for block in backbone.blocks})
    return rf"({'|'.join(roots)})\.layers\..*\.({'|'.join(leaves(backbone, *roles))})".replace("model.", r"model\.")


def settings(backbone: Backbone, **given: Any) -> dict[str, Any]:
    """Of a LoRA on queries, values and feed-forward maps."""
    usual = {"r": 4, "lora_alpha": 8, "target_modules": pattern(backbone, "query", "value", "up", "down")}
    return {"task_type": task_type(backbone), **usual, **given}
