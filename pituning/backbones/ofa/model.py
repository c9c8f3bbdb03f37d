"""OFA as a transformers model: saving, loading, tied embeddings and one forward pass over both halves."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import Seq2SeqLMOutput

from pituning.backbones.ofa.attention import OfaAttention
from pituning.backbones.ofa.config import OfaConfig, check_config
from pituning.backbones.ofa.decoder import OfaDecoder
from pituning.backbones.ofa.encoder import OfaEncoder, OfaEncoderOutput, refuse
from pituning.backbones.ofa.positions import RelativePositions, patch_positions
from pituning.backbones.ofa.resnet import FrozenBatchNorm2d
from pituning.errors import BadInput

COMPUTED = (
    r"\.num_batches_tracked$",
    r"^(encoder|decoder)\.(token|image)_rp_bucket$",
    r"^decoder\.image_position_idx$",
    r"^(encoder|decoder)\.version$",
)
"""Keys of published files (as patterns) that hold nothing learned: buffers that are computed here, and counters."""


class OfaForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """OFA: (optional image) + text in, logits of text out; key names are those of the published checkpoints.

    There is no dropout and batch norms are frozen, so that training mode and evaluation mode are the same.

    Raises:
        BadInput: the config describes an OFA that is not implemented.
    """

    config_class = OfaConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _no_split_modules = ("OfaEncoderLayer", "OfaDecoderLayer", "Bottleneck")
    _supports_sdpa = True
    _tied_weights_keys = {  # noqa: RUF012 (transformers reads it from the class)
        "decoder.embed_tokens.weight": "encoder.embed_tokens.weight",
        "decoder.output_projection.weight": "encoder.embed_tokens.weight",
    }
    _keys_to_ignore_on_load_unexpected = list(COMPUTED)  # noqa: RUF012

    def __init__(self, config: OfaConfig):
        check_config(config)
        super().__init__(config)
        self.encoder = OfaEncoder(config)
        self.decoder = OfaDecoder(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, RelativePositions):
            init.zeros_(module.weight)
        elif isinstance(module, OfaAttention):
            init.ones_(module.c_attn)
        elif isinstance(module, FrozenBatchNorm2d):
            for tensor in (module.weight, module.running_var):
                init.ones_(tensor)
            for tensor in (module.bias, module.running_mean):
                init.zeros_(tensor)
        else:
            super()._init_weights(module)

    def get_encoder(self, modality: str | None = None) -> OfaEncoder:
        return self.encoder

    def get_decoder(self) -> OfaDecoder:
        return self.decoder

    def get_input_embeddings(self) -> nn.Embedding:
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.encoder.embed_tokens = value
        self.decoder.embed_tokens = value

    def get_output_embeddings(self) -> nn.Linear:
        return self.decoder.output_projection

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.decoder.output_projection = value

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """(B, V, D) features of normalised pixels (B, 3, H, W), for `forward` with the `resnet.patch_grid` of H, W."""
        return self.encoder.image_features(pixel_values)

    def patch_positions(self, grid: tuple[int, int]) -> Tensor:
        """Position ids (V,) of the patches of a grid of (rows, columns); `BadInput` where there are too many."""
        return patch_positions(grid, size=self.config.image_bucket_size, device=self.device)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_outputs: OfaEncoderOutput | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = True,
        image_features: Tensor | None = None,
        image_grid: tuple[int, int] | None = None,
        prefix_length: int = 0,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput | tuple:
        """Logits (B, U, vocabulary) at each decoder position; what is padded at the end of a target changes nothing.

        Args:
            input_ids, attention_mask, pixel_values, inputs_embeds, image_features, image_grid: see
                `OfaEncoder.forward`; ``attention_mask`` (B, T) covers the text only. Not read when
                ``encoder_outputs`` are given.
            encoder_outputs: what `get_encoder` returned for these inputs.
            decoder_input_ids: (B, U), those after the tokens that ``past_key_values`` hold.
            decoder_inputs_embeds: (B, U, D) in place of ids.
            past_key_values: ``EncoderDecoderCache(DynamicCache(), DynamicCache())``; it is used and extended
                whenever it is given, and handed back.
            use_cache: true also makes a new cache when none is given.
            prefix_length: how many positions at the cache's start are virtual: see `OfaDecoder.forward`.

        Raises:
            BadInput: an argument is missing, of a wrong shape or not supported.
        """
        refuse(kwargs)
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids=input_ids,
                attention_mask=attention_mask,
                pixel_values=pixel_values,
                inputs_embeds=inputs_embeds,
                image_features=image_features,
                image_grid=image_grid,
            )
        elif getattr(encoder_outputs, "position_embedding", None) is None:
            raise BadInput(
                f"encoder_outputs is a {type(encoder_outputs).__name__} without position_embedding; "
                "give what get_encoder() returned"
            )
        cache = past_key_values
        if cache is None and use_cache:
            cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        if cache is not None and not isinstance(cache, EncoderDecoderCache):
            raise BadInput(f"past_key_values is a {type(cache).__name__}; give an EncoderDecoderCache")
        logits = self.decoder(
            encoder_outputs,
            input_ids=decoder_input_ids,
            inputs_embeds=decoder_inputs_embeds,
            cache=cache,
            prefix_length=prefix_length,
        )
        output = Seq2SeqLMOutput(
            logits=logits, past_key_values=cache, encoder_last_hidden_state=encoder_outputs.last_hidden_state
        )
        return output.to_tuple() if return_dict is False else output
