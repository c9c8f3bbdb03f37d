"""Multi-head attention with a given bias on its scores and a learned scale for each head's output."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.cache_utils import EncoderDecoderCache

from pituning.backbones.ofa.config import OfaConfig


def score_scale(config: OfaConfig) -> float:
    """The factor of all products of queries and keys, of contents and of positions alike."""
    return (config.attn_scale_factor * (config.d_model // config.encoder_attention_heads)) ** -0.5


def mask_bias(bias: Tensor, visible: Tensor) -> Tensor:
    """``bias`` with the lowest finite number where ``visible``, which broadcasts against it, is false.

    Finite, because a query that sees nothing would become NaN and spoil gradients even where it is not used.
    """
    return torch.where(visible, bias, torch.finfo(bias.dtype).min)


class OfaAttention(nn.Module):
    """Attention of states (B, Q, D) to themselves or to others; NormFormer's scale per head (Shleifer et al. 2021).

    Args:
        layer: index of the layer in caches.
    """

    def __init__(self, config: OfaConfig, layer: int):
        super().__init__()
        width = config.d_model
        self.layer = layer
        self.heads = config.encoder_attention_heads
        self.scale = score_scale(config)
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.c_attn = nn.Parameter(torch.ones(self.heads))

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) as (B, heads, T, D / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self,
        states: Tensor,
        bias: Tensor,
        *,
        others: Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
    ) -> Tensor:
        """What each state (B, Q, D) gathers, as (B, Q, D).

        Args:
            bias: (B or 1, heads, Q, K), positions and masks.
            others: (B, K, D) to attend to; without them the states themselves and what the cache holds.
            cache: takes up the keys and values; those of ``others`` are computed at the first call only.
        """
        queries = self._split(self.q_proj(states))
        if others is None:
            keys, values = self._split(self.k_proj(states)), self._split(self.v_proj(states))
            if cache is not None:
                keys, values = cache.self_attention_cache.update(keys, values, self.layer)
        elif cache is not None and cache.is_updated.get(self.layer):
            stored = cache.cross_attention_cache.layers[self.layer]
            keys, values = stored.keys, stored.values
        else:
            keys, values = self._split(self.k_proj(others)), self._split(self.v_proj(others))
            if cache is not None:
                keys, values = cache.cross_attention_cache.update(keys, values, self.layer)
                cache.is_updated[self.layer] = True
        bias = bias.expand(len(states), -1, -1, -1)
        gathered = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=self.scale)
        gathered = gathered * self.c_attn[:, None, None]  # (B, heads, Q, D / heads)
        return self.out_proj(gathered.transpose(1, 2).flatten(2))
