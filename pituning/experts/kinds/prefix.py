"""Prefix tuning (Li and Liang, ACL 2021): learned keys and values in front of the decoder's self-attention.

Layers that attend within a sliding window see a prefix only from within it, as in PEFT: once prompt and prefix together
are longer than the window, padding between the two counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from peft import PeftConfig, PrefixTuningConfig
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.experts.kinds.base import ExpertKind, task_type
from pituning.experts.space import ExpertSpace, SpaceBuilder, TensorSlot
from pituning.experts.tape import Tape

TABLE = "prompt_embeddings"
"""The prefix's one tensor in a PEFT checkpoint."""
SPREAD = 0.2
"""Standard deviation of the starting keys and values."""


class Prefix(ExpertKind):
    """Keys and values of n virtual tokens in every layer."""

    gradients = "copies"

    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        attention = backbone.attention
        width = attention.head_width * attention.query_heads  # PEFT itself goes on to the heads of keys and values
        return PrefixTuningConfig(
            task_type=task_type(backbone),
            num_virtual_tokens=int(settings["tokens"]),
            num_layers=attention.table_layers,
            token_dim=width,
            num_attention_heads=attention.query_heads,
            num_transformer_submodules=2 if attention.encoder_decoder else 1,
            encoder_hidden_size=width,
        )

    def measure(self, backbone: Backbone, settings: Mapping[str, float]) -> ExpertSpace:
        attention = backbone.attention
        builder = SpaceBuilder(self.record.name, settings)
        shape = (int(settings["tokens"]), attention.width)
        for module, name in zip(attention.layers, attention.names, strict=True):
            part = module.rpartition(".")[2]
            slots = [TensorSlot(f"{TABLE}.{name}.{half}", shape, 0, module, half, half) for half in ("key", "value")]
            builder.add(f"{name}.{part}", name, slots)
        return builder.build()

    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([torch.randn(slot.size, generator=generator) * SPREAD for slot in space.slots()])

    def prepare(self, backbone: Backbone, encoded: EncodedExamples) -> EncodedExamples:
        """With the encoder's states: what runs on them is the same to rounding, and trains several times as fast."""
        return backbone.encoder_states(encoded)

    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> AbstractContextManager[None]:
        heads, dtype = backbone.attention.heads, backbone.dtype
        # Of each layer, since a model may be spread over several.
        devices = [next(backbone.module(layer).parameters()).device for layer in backbone.attention.layers]

        def past(size: int) -> list[tuple[Tensor, Tensor]]:
            halves = []
            for number, tensor in enumerate(tensors):
                tokens, width = tensor.shape[-2:]
                whole = tensor.to(device=devices[number // 2], dtype=dtype).expand(size, tokens, width)
                halves.append(whole.reshape(size, tokens, heads, width // heads).transpose(1, 2))
            return list(zip(halves[::2], halves[1::2], strict=True))

        return backbone.conditioned(past=past)

    def checkpoint(self, backbone: Backbone, space: ExpertSpace, values: Tensor) -> dict[str, Tensor]:
        attention, (tokens, width) = backbone.attention, next(space.slots()).shape
        layers = len(space.sites)
        table = values.new_zeros(attention.table_layers, 2, tokens, width)
        # Pairs that act on no layer stay zero.
        table[[attention.pair_of(layer) for layer in range(layers)]] = values.view(layers, 2, tokens, width)
        return {TABLE: table.permute(2, 0, 1, 3).reshape(tokens, -1)}

    def values_of(self, backbone: Backbone, space: ExpertSpace, checkpoint: Mapping[str, Tensor]) -> Tensor:
        attention, (tokens, width) = backbone.attention, next(space.slots()).shape
        table = checkpoint[TABLE].float().view(tokens, attention.table_layers, 2, width).permute(1, 2, 0, 3)
        return table[[attention.pair_of(layer) for layer in range(len(space.sites))]].reshape(-1)

    def checkpoint_shapes(self, backbone: Backbone, space: ExpertSpace) -> dict[str, tuple[int, ...]]:
        tokens, width = next(space.slots()).shape
        return {TABLE: (tokens, 2 * backbone.attention.table_layers * width)}
