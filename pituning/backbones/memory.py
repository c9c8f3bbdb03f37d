"""How much memory the tuning of a backbone will need, and how much this machine has. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from pituning.backbones.card import text_config

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
BATCH, TOKENS, RANK, EXPERTS = 8, 128, 8, 5
"""What an estimate is for: examples in a batch, tokens of each, rank of the experts, and how many are mixed."""

PROGRAM = 600 * 1024**2
"""Bytes of Python and its libraries."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes by what they are for.

    Args:
        weights: of the frozen backbone.
        experts: values, gradients and the two moments of Adam, of all experts of a mixture.
        activations: what a batch leaves behind for its gradients.
        program: Python and its libraries.
    """

    weights: int
    experts: int
    activations: int
    program: int = PROGRAM

    @property
    def total(self) -> int:
        return self.weights + self.experts + self.activations + self.program


@dataclass(frozen=True)
class Machine:
    """Bytes of memory of this machine: all, and what is free now."""

    total: int
    available: int


def this_machine() -> Machine:
    """The memory of the machine that this process runs on; that of GPUs is not looked at."""
    memory = psutil.virtual_memory()
    return Machine(total=memory.total, available=memory.available)


def tuning_memory(
    config: Mapping[str, Any], parameters: int, *, dtype: str = "float32", batch: int = BATCH, tokens: int = TOKENS
) -> MemoryNeed:
    """An estimate of what tuning takes.

    It was fitted to two models that were measured (SmolLM2-135M: 4.4 GiB, Gemma 3 270M: 7.1 GiB, for 8 examples of 128
    tokens in float32 on a CPU) and is within a tenth of both; for other shapes expect a factor of up to two.

    With P parameters of b bytes, a language model of L layers, width d, inner width f and V words, and a batch of B
    examples of T tokens:

    - weights: P·b, once; they are frozen, so there are no gradients and no optimiser state for them;
    - experts: n·r·L·(8d + 3(d+f)) numbers, for LoRA of rank r on the four projections of attention and the three of
      the feed-forward part, each of 16 bytes (value, gradient and two moments of Adam in float32), n being mixed;
    - activations: B·T·(L·(16d + 8f)·b + 4·V·4) bytes: what norms, projections and products of each layer keep
      (attention keeps no T×T matrix), and logits, their logarithms and the gradients of both in float32;
    - program: 600 MiB.

    Images add their features to the T tokens; they are not counted apart.

    Args:
        config: the document in ``config.json``.
        parameters: P.
        dtype: in which the weights are held while tuning.
        batch: B.
        tokens: T, prompt and answer together.
    """
    size = BYTES[dtype]
    sizes = text_config(config)
    width = _first(sizes, "hidden_size", "d_model", "n_embd", "dim") or 1
    layers = _first(sizes, "num_hidden_layers", "n_layer", "num_layers", "encoder_layers") or 1
    layers += _first(sizes, "decoder_layers", "num_decoder_layers") or 0
    inner = _first(sizes, "intermediate_size", "d_ff", "encoder_ffn_dim", "n_inner") or 4 * width
    words = _first(sizes, "vocab_size") or _first(config, "vocab_size") or 0
    adapters = EXPERTS * RANK * layers * (8 * width + 3 * (width + inner))
    kept = batch * tokens * (layers * (16 * width + 8 * inner) * size + 4 * words * 4)
    return MemoryNeed(weights=parameters * size, experts=16 * adapters, activations=kept)


def _first(sizes: Mapping[str, Any], *keys: str) -> int:
    return next((sizes[key] for key in keys if type(sizes.get(key)) is int and sizes[key] > 0), 0)
