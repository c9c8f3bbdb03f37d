"""The encoder over the patches of an image, if there is one, and then the tokens of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from pituning.backbones.ofa.attention import mask_bias, score_scale
from pituning.backbones.ofa.config import OfaConfig
from pituning.backbones.ofa.layers import OfaEncoderLayer
from pituning.backbones.ofa.positions import (
    RelativePositions,
    absolute_bias,
    image_bucket_count,
    patch_buckets,
    patch_positions,
    text_bucket_count,
    text_buckets,
)
from pituning.backbones.ofa.resnet import CHANNELS, ResNet, patch_grid
from pituning.errors import BadInput

TEXT, IMAGE = 0, 1
"""Rows of the type embedding."""


@dataclass
class OfaEncoderOutput(ModelOutput):
    """What the decoder needs of the encoder, for S = V patches, then T text tokens.

    Args:
        last_hidden_state: (B, S, D) states.
        attention_mask: (B, S) true where there is a patch or a token that may be seen.
        position_embedding: (B, S, D) normalised position embeddings, the same for each example.
    """

    last_hidden_state: Tensor | None = None
    attention_mask: Tensor | None = None
    position_embedding: Tensor | None = None


class OfaEncoder(nn.Module):
    """Embeds text and image, and runs the layers over both. All of an image's patches are always seen."""

    main_input_name = "input_ids"  # `generate` asks

    def __init__(self, config: OfaConfig):
        super().__init__()
        width, heads, layers = config.d_model, config.encoder_attention_heads, config.encoder_layers
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.type_embedding = nn.Embedding(2, width)
        self.layernorm_embedding = nn.LayerNorm(width)
        self.embed_images = ResNet(config.resnet_type)
        self.image_proj = nn.Linear(CHANNELS, width)
        self.patch_layernorm_embedding = nn.LayerNorm(width)
        self.embed_positions = nn.Embedding(config.max_position_embeddings + 2, width)
        self.embed_image_positions = nn.Embedding(config.image_bucket_size**2 + 1, width)
        self.pos_ln = nn.LayerNorm(width)
        self.image_pos_ln = nn.LayerNorm(width)
        self.pos_q_linear = nn.Linear(width, width)
        self.pos_k_linear = nn.Linear(width, width)
        self.layers = nn.ModuleList(OfaEncoderLayer(config, layer) for layer in range(layers))
        self.layer_norm = nn.LayerNorm(width)
        self.token_rel_pos_table_list = nn.ModuleList(
            RelativePositions(text_bucket_count(config.token_bucket_size), heads) for _ in range(layers)
        )
        self.image_rel_pos_table_list = nn.ModuleList(
            RelativePositions(image_bucket_count(config.image_bucket_size), heads) for _ in range(layers)
        )

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """(B, V, D) projected features, row by row, of normalised pixels (B, 3, H, W).

        Raises:
            BadInput: the pixels have another shape.
        """
        if pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
            raise BadInput(f"pixel_values have the shape {tuple(pixel_values.shape)}; give (B, 3, H, W)")
        features = self.embed_images(pixel_values.to(self.image_proj.weight.dtype))
        return self.image_proj(features.flatten(2).transpose(1, 2))

    def position_embedding(self, tokens: int, grid: tuple[int, int] | None = None) -> Tensor:
        """(1, V + T, D) normalised position embeddings of an image of ``grid`` patches, if any, and T text tokens.

        Raises:
            BadInput: there are more tokens or patches than positions.
        """
        longest, device = self.config.max_position_embeddings, self.pos_ln.weight.device
        if tokens > longest:
            raise BadInput(f"text of {tokens} tokens: OFA has positions for {longest}; shorten it")
        positions = self.pos_ln(self.embed_positions(torch.arange(tokens, device=device)))
        if grid is not None:
            patches = patch_positions(grid, size=self.config.image_bucket_size, device=device)
            positions = torch.cat([self.image_pos_ln(self.embed_image_positions(patches)), positions])
        return positions[None]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_features: Tensor | None = None,
        image_grid: tuple[int, int] | None = None,
        return_dict: bool | None = True,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> OfaEncoderOutput:
        """Encodes texts, given as ids or embedded, with one image each, given as pixels or as features, or none.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T), of the text alone; by default all tokens but padding, of embedded texts all.
            pixel_values: (B, 3, H, W), normalised.
            inputs_embeds: (B, T, D), as `embed_tokens` gives them, in place of ids; soft prompts enter here.
            image_features: (B, V, D) from the method of this name, in place of pixels.
            image_grid: (rows, columns) of those features, V = rows · columns.
            return_dict, output_attentions, output_hidden_states: accepted unset for `generate`, which names them;
                the result is an `OfaEncoderOutput` always.

        Raises:
            BadInput: inputs are missing, given twice, or of shapes that do not fit together.
        """
        refuse({"output_attentions": output_attentions, "output_hidden_states": output_hidden_states})
        embedded, mask = self._text(input_ids, inputs_embeds, attention_mask)
        size, tokens = embedded.shape[:2]
        if pixel_values is not None:
            if image_features is not None:
                raise BadInput("both pixel_values and image_features are given; give one of them")
            image_features, image_grid = self.image_features(pixel_values), patch_grid(*pixel_values.shape[-2:])
        x = self.layernorm_embedding(embedded + self.type_embedding.weight[TEXT])
        if image_features is not None:
            _check_features(image_features, image_grid, size)
            patches = self.patch_layernorm_embedding(image_features.to(x.dtype) + self.type_embedding.weight[IMAGE])
            x = torch.cat([patches, x], dim=1)  # (B, S, D)
            mask = torch.cat([mask.new_ones(patches.shape[:2]), mask], dim=1)
        else:
            image_grid = None
        x = x * mask[..., None].to(x.dtype)
        positions = self.position_embedding(tokens, image_grid)
        x = self._layers(x, mask, positions, tokens, image_grid)
        return OfaEncoderOutput(
            last_hidden_state=x, attention_mask=mask, position_embedding=positions.expand(size, -1, -1)
        )

    def _text(
        self, input_ids: Tensor | None, inputs_embeds: Tensor | None, attention_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Embedded tokens (B, T, D) and which of them are seen (B, T)."""
        if (input_ids is None) == (inputs_embeds is None):
            given = "neither input_ids nor inputs_embeds is" if input_ids is None else "input_ids and inputs_embeds are"
            raise BadInput(f"{given} given to OFA's encoder; give one of them")
        if input_ids is not None:
            embedded = self.embed_tokens(input_ids)
            mask = input_ids.ne(self.config.pad_token_id)
        else:
            assert inputs_embeds is not None
            embedded = inputs_embeds
            mask = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
        if attention_mask is not None:
            if attention_mask.shape != mask.shape:
                raise BadInput(
                    f"attention_mask has the shape {tuple(attention_mask.shape)} but the text {tuple(mask.shape)}; "
                    "mask text tokens only, patches are always seen"
                )
            mask = attention_mask.bool()
        return embedded, mask

    def _layers(self, x: Tensor, mask: Tensor, positions: Tensor, tokens: int, grid: tuple[int, int] | None) -> Tensor:
        size, device = self.config.image_bucket_size, x.device
        patches = x.shape[1] - tokens
        shared = absolute_bias(  # (1, heads, S, S)
            self.pos_q_linear(positions),
            self.pos_k_linear(positions),
            heads=self.config.encoder_attention_heads,
            scale=score_scale(self.config),
        )
        if not mask.all():  # without padding one bias serves the whole batch
            shared = mask_bias(shared, mask[:, None, None, :])
        place = torch.arange(tokens, device=device)
        text = text_buckets(
            place, place, size=self.config.token_bucket_size, longest=self.config.max_position_embeddings
        )
        image = patch_buckets(patch_positions(grid, size=size, device=device), size=size) if grid else None
        tables = zip(self.layers, self.token_rel_pos_table_list, self.image_rel_pos_table_list, strict=True)
        for layer, text_table, image_table in tables:
            bias = shared.clone()
            bias[..., patches:, patches:] += text_table(text)
            if image is not None:
                bias[..., :patches, :patches] += image_table(image)
            x = layer(x, bias)
        return self.layer_norm(x)


def refuse(arguments: dict[str, Any]) -> None:
    """Raises BadInput for an argument that would be dropped silently; PEFT and transformers pass unset ones."""
    for name, value in arguments.items():
        if isinstance(value, Tensor) or (value is not None and value is not False):
            raise BadInput(f"OFA's forward takes no {name!r}; leave it out (losses are taken from the logits)")


def _check_features(features: Tensor, grid: tuple[int, int] | None, size: int) -> None:
    """Raises BadInput unless features (B, V, D) belong to ``size`` texts and fill the grid."""
    if grid is None:
        raise BadInput("image_features are given without image_grid; give (rows, columns) of the patches")
    rows, columns = grid
    if features.ndim != 3 or features.shape[0] != size or features.shape[1] != rows * columns:
        raise BadInput(
            f"image_features have the shape {tuple(features.shape)}; {size} texts with {rows} x {columns} patches "
            f"need ({size}, {rows * columns}, D)"
        )
