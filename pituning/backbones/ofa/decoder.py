"""The decoder: all tokens at once under teacher forcing, or step by step with a cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.cache_utils import EncoderDecoderCache

from pituning.backbones.ofa.attention import mask_bias, score_scale
from pituning.backbones.ofa.config import OfaConfig
from pituning.backbones.ofa.encoder import OfaEncoderOutput
from pituning.backbones.ofa.layers import OfaDecoderLayer
from pituning.backbones.ofa.positions import (
    RelativePositions,
    absolute_bias,
    image_bucket_count,
    text_bucket_count,
    text_buckets,
)
from pituning.errors import BadInput


class OfaDecoder(nn.Module):
    """Decodes text. Image codes as targets are not implemented: their tensors are loaded and saved, but not used."""

    def __init__(self, config: OfaConfig):
        super().__init__()
        width, heads, layers = config.d_model, config.decoder_attention_heads, config.decoder_layers
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.layernorm_embedding = nn.LayerNorm(width)
        self.embed_positions = nn.Embedding(config.max_position_embeddings + 2, width)
        self.pos_ln = nn.LayerNorm(width)
        self.self_pos_q_linear = nn.Linear(width, width)
        self.self_pos_k_linear = nn.Linear(width, width)
        self.cross_pos_q_linear = nn.Linear(width, width)
        self.cross_pos_k_linear = nn.Linear(width, width)
        self.layers = nn.ModuleList(OfaDecoderLayer(config, layer) for layer in range(layers))
        self.layer_norm = nn.LayerNorm(width)
        self.output_projection = nn.Linear(width, config.vocab_size, bias=False)
        self.token_rel_pos_table_list = nn.ModuleList(
            RelativePositions(text_bucket_count(config.token_bucket_size), heads) for _ in range(layers)
        )
        # Only image codes would use these.
        self.code_layernorm_embedding = nn.LayerNorm(width)
        self.embed_image_positions = nn.Embedding(config.image_bucket_size**2 + 1, width)
        self.image_pos_ln = nn.LayerNorm(width)
        self.image_rel_pos_table_list = nn.ModuleList(
            RelativePositions(image_bucket_count(config.image_bucket_size), heads) for _ in range(layers)
        )

    def forward(
        self,
        encoded: OfaEncoderOutput,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
        prefix_length: int = 0,
    ) -> Tensor:
        """Logits (B, U, vocabulary) of tokens that are given as ids (B, U) or embedded (B, U, D).

        Args:
            cache: holds ``prefix_length`` virtual positions, then the tokens before these; takes these up.
            prefix_length: how many of the cached positions are virtual. They have no position, hence no bias, and
                all tokens see them; the first real token has position 0.

        Raises:
            BadInput: inputs are missing or given twice, the cache is shorter than its prefix, or there are more
                tokens than positions.
        """
        if (input_ids is None) == (inputs_embeds is None):
            given = "neither" if input_ids is None else "both"
            raise BadInput(f"{given} of decoder_input_ids and decoder_inputs_embeds given; give one of them")
        embedded = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        held = cache.get_seq_length() if cache is not None else 0
        if not 0 <= prefix_length <= held:
            raise BadInput(f"prefix_length is {prefix_length}, but the cache holds {held} positions; give 0 to {held}")
        past = held - prefix_length
        total, longest = past + embedded.shape[1], self.config.max_position_embeddings
        if total > longest:
            raise BadInput(f"{total} decoder tokens: OFA has positions for {longest}; decode fewer")

        places = torch.arange(total, device=embedded.device)
        positions = self.pos_ln(self.embed_positions(places))[None]  # (1, past + U, D)
        heads, scale = self.config.decoder_attention_heads, score_scale(self.config)
        self_bias = absolute_bias(
            self.self_pos_q_linear(positions[:, past:]), self.self_pos_k_linear(positions), heads=heads, scale=scale
        )
        self_bias = mask_bias(self_bias, places[past:, None] >= places[None, :])  # (1, heads, U, past + U)
        assert encoded.position_embedding is not None
        assert encoded.attention_mask is not None
        cross_bias = absolute_bias(
            self.cross_pos_q_linear(positions[:, past:]),
            self.cross_pos_k_linear(encoded.position_embedding[:1]),  # the same for each example
            heads=heads,
            scale=scale,
        )
        if not encoded.attention_mask.all():
            cross_bias = mask_bias(cross_bias, encoded.attention_mask[:, None, None, :].bool())
        buckets = text_buckets(places[past:], places, size=self.config.token_bucket_size, longest=longest)

        x = self.layernorm_embedding(embedded)
        for layer, table in zip(self.layers, self.token_rel_pos_table_list, strict=True):
            bias = nn.functional.pad(self_bias + table(buckets), (prefix_length, 0))
            x = layer(x, bias, encoded.last_hidden_state, cross_bias, cache)
        return self.output_projection(self.layer_norm(x))
