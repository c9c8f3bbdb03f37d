"""The layers of encoder and decoder: pre-norm blocks with NormFormer's extra norms (Shleifer et al. 2021)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from transformers.cache_utils import EncoderDecoderCache

from pituning.backbones.ofa.attention import OfaAttention
from pituning.backbones.ofa.config import OfaConfig


class _Layer(nn.Module):
    """What both kinds of layer share: self attention, and a feed-forward block with a norm inside."""

    def __init__(self, config: OfaConfig, inner: int, layer: int):
        super().__init__()
        width = config.d_model
        self.self_attn = OfaAttention(config, layer)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.self_attn_mid_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.ffn_layer_norm = nn.LayerNorm(inner)
        self.fc2 = nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def _attend(self, x: Tensor, bias: Tensor, cache: EncoderDecoderCache | None = None) -> Tensor:
        gathered = self.self_attn(self.self_attn_layer_norm(x), bias, cache=cache)
        return x + self.self_attn_mid_layer_norm(gathered)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.ffn_layer_norm(functional.gelu(self.fc1(self.final_layer_norm(x)))))


class OfaEncoderLayer(_Layer):
    """(B, S, D) to (B, S, D); ``bias`` (B or 1, heads, S, S) is that of the self attention."""

    def __init__(self, config: OfaConfig, layer: int):
        super().__init__(config, config.encoder_ffn_dim, layer)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return self._feed_forward(self._attend(x, bias))


class OfaDecoderLayer(_Layer):
    """(B, U, D) to (B, U, D); between self attention and feed-forward block it attends to the encoder's states.

    ``self_bias`` is (1, heads, U, prefix + past + U), ``cross_bias`` (B or 1, heads, U, S), ``encoder_states``
    (B, S, D).
    """

    def __init__(self, config: OfaConfig, layer: int):
        super().__init__(config, config.decoder_ffn_dim, layer)
        self.cross_attn = OfaAttention(config, layer)
        self.cross_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.cross_attn_mid_layer_norm = nn.LayerNorm(config.d_model)

    def forward(
        self,
        x: Tensor,
        self_bias: Tensor,
        encoder_states: Tensor,
        cross_bias: Tensor,
        cache: EncoderDecoderCache | None,
    ) -> Tensor:
        x = self._attend(x, self_bias, cache)
        gathered = self.cross_attn(self.cross_attn_layer_norm(x), cross_bias, others=encoder_states, cache=cache)
        x = x + self.cross_attn_mid_layer_norm(gathered)
        return self._feed_forward(x)
