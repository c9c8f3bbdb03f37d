"""Random models of stock classes that see, with processors as tiny as they are; no torchvision takes part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import processors
from transformers import (
    CLIPImageProcessorPil,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Idefics3ImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SiglipImageProcessorPil,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    T5Gemma2Config,
    T5Gemma2ForConditionalGeneration,
)

from pituning.workspace.atomic import write_json
from tests.backbones.making import Tiny, save, tokenizer

TURN = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 192,
}  # fmt: skip
SIGLIP: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 4,
    "image_size": 16,
}  # fmt: skip
QWEN: dict[str, Any] = {
    "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "patch_size": 4, "out_hidden_size": 32,
}  # fmt: skip
QWEN_TOKENS = {
    "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
    "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
}  # fmt: skip


def seeing(
    model_class: Any, config_class: Any, images: Any, *, processor: dict[str, Any], tokens: dict[str, str],
    template: str | None, text: dict[str, Any], vision: dict[str, Any], more: tuple[str, ...] = (),
    named: tuple[str, ...] = (), family: str = "image_text", **given: Any,
) -> Tiny:  # fmt: skip
    """A tiny checkpoint.

    Args:
        images: its image processor.
        processor: what ``processor_config.json`` says.
        tokens: fields of the config, and the tokens whose ids they are.
        template: of a chat, or how an image is written in `TURN`.
        more: further special tokens.
        named: attributes of the tokenizer, in the order of ``tokens``, that the processor reads.
    """

    def make(directory: Path) -> None:
        called = dict(zip(named, tokens.values(), strict=True)) if named else {}
        words = tokenizer(chat=template is not None, more=[*tokens.values(), *more], **called)
        words.chat_template = None if template is None else TURN.replace("IMAGE", template)
        ids = {"vocab_size": len(words), "bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id,
               "pad_token_id": words.pad_token_id}  # fmt: skip
        config = config_class(
            text_config={**TEXT, **ids, **text},
            vision_config=vision,
            pad_token_id=words.pad_token_id,
            **{field: words.convert_tokens_to_ids(token) for field, token in tokens.items()},
            **given,
        )
        save(model_class, config, directory)
        words.save_pretrained(directory)
        images.save_pretrained(directory)
        write_json(directory / "processor_config.json", processor)

    name = config_class.model_type
    return Tiny(name, family, make, model_class)


def qwen(config_class: Any, model_class: Any, processor: str, text: dict[str, Any], vision: dict[str, Any]) -> Tiny:
    """A Qwen-VL: any number of patches, positions in three dimensions."""
    return seeing(
        model_class, config_class,
        Qwen2VLImageProcessorPil(patch_size=4, size={"shortest_edge": 64, "longest_edge": 576}),
        processor={"processor_class": processor}, tokens=QWEN_TOKENS,
        template="<|vision_start|><|image_pad|><|vision_end|>", text=text, vision={**QWEN, **vision},
        tie_word_embeddings=True,
    )  # fmt: skip


def paligemma(text: dict[str, Any]) -> Tiny:
    """A PaliGemma; its processor adds the tokens of places, for which there must be embeddings."""
    return seeing(
        PaliGemmaForConditionalGeneration, PaliGemmaConfig,
        SiglipImageProcessorPil(size={"height": 16, "width": 16}, image_seq_length=16),
        processor={"processor_class": "PaliGemmaProcessor"}, tokens={"image_token_index": "<image>"},
        named=("image_token",), template=None, text={**text, "vocab_size": 1600},
        vision={**SIGLIP, "vision_use_head": False}, projection_dim=32, family="paligemma",
    )  # fmt: skip


def t5gemma2(directory: Path) -> None:
    """Writes a T5Gemma 2; its tokenizer puts a token before each text, as Gemma's does."""
    special = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    words = tokenizer(chat=False, more=list(special.values()), **special)
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", words.bos_token_id)]
    )
    boi, eoi, image = words.convert_tokens_to_ids(list(special.values()))
    text = {
        **TEXT, "vocab_size": len(words), "head_dim": 8, "sliding_window": 96, "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"], "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id, "pad_token_id": words.convert_tokens_to_ids("<|im_start|>"),
    }  # fmt: skip
    vision = {**SIGLIP, "model_type": "siglip_vision_model", "vision_use_head": False}
    encoder = {
        "text_config": text, "vision_config": vision, "mm_tokens_per_image": 4, "boi_token_index": boi,
        "eoi_token_index": eoi,
    }  # fmt: skip
    config = T5Gemma2Config(encoder=encoder, decoder=text, image_token_index=image)
    save(T5Gemma2ForConditionalGeneration, config, directory)
    words.save_pretrained(directory)
    Gemma3ImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(directory)
    write_json(directory / "processor_config.json", {"processor_class": "Gemma3Processor", "image_seq_length": 4})


ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
IMAGE_TEXT = (
    # Tiles and a whole: five images of four tokens each.
    seeing(
        SmolVLMForConditionalGeneration, SmolVLMConfig,
        Idefics3ImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16}),
        processor={"processor_class": "SmolVLMProcessor", "image_seq_len": 4}, tokens={"image_token_id": "<image>"},
        more=("<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
              *(f"<row_{i}_col_{j}>" for i in (1, 2) for j in (1, 2))),
        template="<image>", text={"model_type": "llama"}, vision=SIGLIP, scale_factor=2,
    ),
    qwen(Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, "Qwen2_5_VLProcessor",
         {"rope_parameters": ROPE}, {"window_size": 16, "fullatt_block_indexes": [1]}),
    qwen(Qwen3VLConfig, Qwen3VLForConditionalGeneration, "Qwen3VLProcessor",
         {"rope_parameters": ROPE, "head_dim": 8}, {"deepstack_visual_indexes": [0], "num_position_embeddings": 36}),
    # Tokens of an image see each other; every other layer looks through a window.
    seeing(
        Gemma3ForConditionalGeneration, Gemma3Config, Gemma3ImageProcessorPil(size={"height": 16, "width": 16}),
        processor={"processor_class": "Gemma3Processor", "image_seq_length": 4},
        tokens={"boi_token_index": "<start_of_image>", "eoi_token_index": "<end_of_image>",
                "image_token_id": "<image_soft_token>"},
        named=("boi_token", "eoi_token", "image_token"), template="<start_of_image>",
        text={"head_dim": 8, "sliding_window": 160, "layer_types": ["sliding_attention", "full_attention"]},
        vision={**SIGLIP, "vision_use_head": False}, mm_tokens_per_image=4,
    ),
    seeing(
        LlavaForConditionalGeneration, LlavaConfig,
        CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        processor={"processor_class": "LlavaProcessor", "patch_size": 4, "vision_feature_select_strategy": "default",
                   "num_additional_image_tokens": 1},
        tokens={"image_token_index": "<image>"}, template=None, text={"model_type": "llama"},
        vision={**SIGLIP, "model_type": "clip_vision_model", "num_hidden_layers": 2}, vision_feature_layer=-2,
    ),
    paligemma({"model_type": "gemma2", "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 160}),
)  # fmt: skip
