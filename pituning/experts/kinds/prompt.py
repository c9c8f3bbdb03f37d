"""Soft prompts (Lester et al., EMNLP 2021): learned embeddings in front of the input, of an encoder where there is one.

Encoders with a table of positions have no room for both a prompt of the full length and the embeddings; the end of the
text gives way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from peft import PeftConfig, PromptTuningConfig
from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.blocks import ROLES
from pituning.errors import BadInput
from pituning.experts.kinds.base import ExpertKind, task_type
from pituning.experts.space import ExpertSpace, SpaceBuilder, TensorSlot
from pituning.experts.tape import Tape

TABLE = "prompt_embeddings"
"""The prompt's one tensor in a PEFT checkpoint."""


class Prompt(ExpertKind):
    """Embeddings of n virtual tokens."""

    gradients = "copies"

    def config_for(self, backbone: Backbone, settings: Mapping[str, float], modules: Sequence[str]) -> PeftConfig:
        attention = backbone.attention
        return PromptTuningConfig(
            task_type=task_type(backbone),
            num_virtual_tokens=int(settings["tokens"]),
            num_layers=len(attention.layers),
            token_dim=backbone.width,
            num_attention_heads=attention.query_heads,
            # PEFT puts the first n rows in front of the encoder; with 2 it would keep n more that do nothing.
            num_transformer_submodules=1,
        )

    def measure(self, backbone: Backbone, settings: Mapping[str, float]) -> ExpertSpace:
        tokens = int(settings["tokens"])
        if tokens > backbone.max_tokens // 2:
            raise BadInput(
                f"prompt setting tokens is {tokens}; backbone {backbone.name!r} takes {backbone.max_tokens} tokens in "
                f"all, choose at most {backbone.max_tokens // 2}",
                field="tokens",
            )
        embeddings = backbone.model.get_input_embeddings()
        module = next(path for path, candidate in backbone.model.named_modules() if candidate is embeddings)
        layer = next(block.layer for block in backbone.blocks if block.role in ROLES)  # where it enters
        builder = SpaceBuilder(self.record.name, settings)
        builder.add(
            f"{layer}.input", layer, [TensorSlot(TABLE, (tokens, backbone.width), 0, module, "embeddings", "input")]
        )
        return builder.build()

    def initial(self, backbone: Backbone, space: ExpertSpace, seed: int) -> Tensor:
        """Embeddings of random ordinary tokens, which train better than random numbers (Lester et al., section 3.2)."""
        generator = torch.Generator().manual_seed(seed)
        embeddings = backbone.model.get_input_embeddings()
        special = set(backbone.tokenizer.all_special_ids)
        known = min(len(backbone.tokenizer), embeddings.weight.shape[0])
        ordinary = torch.tensor([token for token in range(known) if token not in special])
        drawn = ordinary[torch.randint(len(ordinary), (int(space.config["tokens"]),), generator=generator)]
        with torch.no_grad():
            return embeddings(drawn.to(backbone.device)).float().cpu().flatten()

    def attach(
        self, backbone: Backbone, space: ExpertSpace, tensors: Sequence[Tensor], tape: Tape | None = None
    ) -> AbstractContextManager[None]:
        return backbone.conditioned(prompt=lambda size: tensors[0].expand(size, *tensors[0].shape[-2:]))
