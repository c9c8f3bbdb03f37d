"""The optimisers, and the state of a training on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pituning.pretraining.config import PretrainConfig


def make_optimizers(parameters: dict[str, Tensor], config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms, biases and convolutions.

    Muon's step is scaled to AdamW's size (Liu et al. 2025, "Muon is scalable for LLM training"), so that both share
    one learning rate.
    """
    inner = [n for n, p in parameters.items() if p.ndim == 2 and not re.search(r"shared|embed|lm_head", n)]
    outer = [n for n in parameters if n not in set(inner)]
    return [
        torch.optim.AdamW(
            [parameters[n] for n in outer],
            config.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=config.weight_decay,
            fused=True,
        ),
        torch.optim.Muon(
            [parameters[n] for n in inner],
            config.learning_rate,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
    ]


def save_state(
    path: Path, step: int, parameters: dict[str, Tensor], optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Writes weights, optimiser states and the number of steps taken, under a temporary name first."""
    tensors = {f"model.{name}": p.detach().cpu().contiguous() for name, p in parameters.items()}
    for name, p in parameters.items():
        for optimizer in optimizers:
            for key, value in optimizer.state.get(p, {}).items():
                tensors[f"{key}.{name}"] = value.cpu().contiguous()
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"step": str(step)})
    temporary.replace(path)


def restore_state(path: Path, parameters: dict[str, Tensor], optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Loads what `save_state` wrote and returns its step; 0 when there is nothing."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
        kept = set(file.keys())
        for optimizer in optimizers:
            adam = isinstance(optimizer, torch.optim.AdamW)
            keys = ("exp_avg", "exp_avg_sq") if adam else ("momentum_buffer",)
            members = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for name, p in parameters.items():
                if id(p) in members and all(f"{key}.{name}" in kept for key in keys):
                    optimizer.state[p] = {key: file.get_tensor(f"{key}.{name}").to(p.device) for key in keys}
                    if adam:
                        # Its own count of steps: what joins later has taken fewer.
                        own = f"step.{name}"
                        taken = file.get_tensor(own) if own in kept else torch.tensor(float(step))
                        optimizer.state[p]["step"] = taken.to(p.device)
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(file.get_tensor(f"model.{name}"))
    return step
