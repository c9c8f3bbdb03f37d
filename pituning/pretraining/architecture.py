"""The embedded backbone's architecture: a stock Florence-2 with a small config, and its byte-level BPE tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    CLIPImageProcessorPil,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2VisionConfig,
    PreTrainedTokenizerFast,
)

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<image>", "<mask>")
LOCATIONS = 48
"""Boxes are four of the tokens ``<loc_0>`` to ``<loc_47>``: x1 y1 x2 y2 on a grid of 48 x 48."""


def location_token(cell: int) -> str:
    """The token of one grid line, 0 to 47."""
    return f"<loc_{cell}>"


def train_tokenizer(texts: Iterable[str], *, vocab_size: int = 1200) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: any text can be encoded, and words of ``texts`` are short.

    Args:
        texts: the corpus to learn merges from.
        vocab_size: number of tokens before the location tokens are added, at least 262 (bytes and specials).
    """
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    # A prefix space makes a word the same tokens wherever it stands: at the start of an answer or inside a prompt.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin, end = tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", begin), ("</s>", end)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        additional_special_tokens=["<image>"],
        clean_up_tokenization_spaces=False,
    )
    # Not "special", so that decoding with skip_special_tokens keeps the boxes.
    fast.add_tokens([location_token(cell) for cell in range(LOCATIONS)])
    return fast


def build_model(
    tokenizer: PreTrainedTokenizerFast,
    *,
    d_model: int = 128,
    layers: int = 3,
    ffn_dim: int | None = None,
    heads: int = 4,
    vision_dims: Sequence[int] = (64, 128),
    vision_depths: Sequence[int] = (1, 1),
    image_size: int = 48,
    max_positions: int = 256,
    dropout: float = 0.0,
    seed: int = 0,
) -> Florence2ForConditionalGeneration:
    """A randomly initialised Florence-2 of the given size.

    An image becomes (image_size / 8)² tokens and one pooled token (Florence-2, Xiao et al. 2024).

    Args:
        d_model: width of the language model.
        layers: encoder layers, and as many decoder layers.
        vision_dims: width of the two DaViT stages; strides are 4 and 2 pixels.
        seed: of the initial weights; the global generator is left as it was.
    """
    side = image_size // 8
    vision = Florence2VisionConfig(
        depths=list(vision_depths),
        patch_size=[7, 3],
        patch_stride=[4, 2],
        patch_padding=[3, 1],
        patch_prenorm=[False, True],
        embed_dim=list(vision_dims),
        num_heads=[max(1, dim // 32) for dim in vision_dims],
        num_groups=[max(1, dim // 32) for dim in vision_dims],
        window_size=side,
        projection_dim=d_model,
        max_position_embeddings=side,
        drop_path_rate=0.0,
    )
    text = BartConfig(
        vocab_size=len(tokenizer),
        d_model=d_model,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=ffn_dim or 4 * d_model,
        decoder_ffn_dim=ffn_dim or 4 * d_model,
        max_position_embeddings=max_positions,
        dropout=dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=tokenizer.eos_token_id,
    )
    config = Florence2Config(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Florence2ForConditionalGeneration(config)
    return model.float()


def image_processor(image_size: int = 48) -> CLIPImageProcessorPil:
    """RGB, ``image_size`` x ``image_size``, scaled to -1 to 1."""
    return CLIPImageProcessorPil(
        do_resize=True,
        size={"height": image_size, "width": image_size},
        do_center_crop=False,
        do_rescale=True,
        do_normalize=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        do_convert_rgb=True,
    )


def save_backbone(
    model: Florence2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    directory: Path,
    *,
    image_size: int,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes a checkpoint that `from_pretrained` loads: model (in ``dtype``), tokenizer and image processor."""
    saved = {name: tensor.to("cpu", dtype) for name, tensor in model.state_dict().items()}
    model.save_pretrained(directory, state_dict=saved)
    tokenizer.save_pretrained(directory)
    image_processor(image_size).save_pretrained(directory)


def save_untrained(backbone: Path, directory: Path, *, seed: int) -> None:
    """Writes ``backbone`` with its weights drawn anew, as they were before pretraining: tokenizer and config stay."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(backbone, local_files_only=True)
    config = Florence2Config.from_pretrained(backbone, local_files_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Florence2ForConditionalGeneration(config).float()
    processor = CLIPImageProcessorPil.from_pretrained(backbone, local_files_only=True)
    save_backbone(model, tokenizer, directory, image_size=processor.size["height"])
