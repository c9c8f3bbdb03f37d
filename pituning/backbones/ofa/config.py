"""The sizes of an OFA, in the field names of the published ``config.json`` files."""

# No postponed annotations here: `strict` checks fields against their types, and passes over types that are strings.

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PretrainedConfig

from pituning.errors import BadInput

RESNET_BLOCKS = {"resnet50": (3, 4, 6), "resnet101": (3, 4, 23), "resnet152": (3, 8, 36)}
"""Bottleneck blocks of the three stages that OFA keeps of a ResNet; its fourth stage is absent."""

FIXED = {
    "activation_function": "gelu",
    "add_type_embedding": True,
    "code_layernorm_embedding": True,
    "decoder_normalize_before": True,
    "encoder_normalize_before": True,
    "entangle_position_embedding": False,
    "layernorm_embedding": True,
    "normformer": True,
    "patch_layernorm_embedding": True,
    "scale_embedding": False,
    "share_decoder_input_output_embed": True,
    "tie_word_embeddings": True,
    "use_ofasys": False,
}
"""Switches of the training code that every published OFA has at these values; only these are implemented."""

TRAINING_ONLY = ("resnet_model_path", "forced_eos_token_id")
"""Fields of published files that say nothing about the model: a path of its authors, a default of generation."""


@strict
class OfaConfig(PretrainedConfig):
    """Sizes of an OFA; the defaults are those of OFA-medium.

    Dropout and drop-path rates of published files are kept as they are but not used: the backbone is frozen.

    Args:
        encoder_ffn_dim, decoder_ffn_dim: width between the two linear layers of a feed-forward block.
        max_position_embeddings: most text tokens; the tables hold two rows more.
        resnet_type: a key of `RESNET_BLOCKS`.
        token_bucket_size: half the number of buckets of relative text positions.
        image_bucket_size: side of the grid of patch positions; a patch is 16 pixels wide.
        attn_scale_factor: scores are scaled by (attn_scale_factor · head width)^-½, since content and position
            each contribute a product.
    """

    model_type = "ofa"
    keys_to_ignore_at_inference = ("past_key_values",)
    attribute_map = {  # noqa: RUF012 (transformers reads it from the class)
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
    }

    vocab_size: int = 59457
    max_position_embeddings: int = 1024
    d_model: int = 512
    encoder_layers: int = 4
    encoder_ffn_dim: int = 2048
    encoder_attention_heads: int = 8
    decoder_layers: int = 4
    decoder_ffn_dim: int = 2048
    decoder_attention_heads: int = 8
    resnet_type: str = "resnet101"
    token_bucket_size: int = 256
    image_bucket_size: int = 42
    attn_scale_factor: float | int = 2.0
    init_std: float = 0.02
    use_cache: bool = True
    pad_token_id: int = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    decoder_start_token_id: int | None = 0
    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        for name in TRAINING_ONLY:
            kwargs.pop(name, None)
        super().__post_init__(**kwargs)


def check_config(config: OfaConfig) -> None:
    """Raises BadInput, naming the field, for an OFA that `pituning.backbones.ofa` does not implement."""
    for name, value in FIXED.items():
        given = getattr(config, name, value)
        if given != value:
            raise BadInput(f"OFA config: {name} is {given!r}; only {value!r}, as in the published models, can be run")
    if config.resnet_type not in RESNET_BLOCKS:
        raise BadInput(f"OFA config: resnet_type is {config.resnet_type!r}; choose one of {', '.join(RESNET_BLOCKS)}")
    for side in ("encoder", "decoder"):
        heads = getattr(config, f"{side}_attention_heads")
        if heads < 1 or config.d_model % heads:
            raise BadInput(
                f"OFA config: {side}_attention_heads is {heads}, which does not divide d_model {config.d_model}; "
                "choose a divisor"
            )
    if config.encoder_attention_heads != config.decoder_attention_heads:
        raise BadInput(
            f"OFA config: {config.encoder_attention_heads} attention heads in the encoder but "
            f"{config.decoder_attention_heads} in the decoder; give both the same number"
        )
