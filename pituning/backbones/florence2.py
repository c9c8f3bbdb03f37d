"""Florence-2 (Xiao et al. 2024): a DaViT image encoder in front of a BART-like encoder-decoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast
from transformers.cache_utils import EncoderDecoderCache

from pituning.backbones.base import AttentionShape, Backbone
from pituning.backbones.blocks import Block, find_blocks
from pituning.backbones.encoded import EncodedExamples
from pituning.backbones.encoder_decoder import EncoderDecoderBackbone
from pituning.backbones.families import FAMILIES
from pituning.backbones.inputs import all_or_no_images, cut
from pituning.backbones.loading import from_pretrained
from pituning.errors import ArtefactError
from pituning.progress import Reporter, Silent
from pituning.tasks.base import Example, Task

IMAGE_BATCH = 64
LANGUAGE_MODEL = "model.language_model"
STACKS = {stack: f"{LANGUAGE_MODEL}.{stack}.layers" for stack in ("encoder", "decoder")}


class Florence2Backbone(EncoderDecoderBackbone):
    """A Florence-2, run past the wrappers that cost time per call.

    Args:
        image_size: side of the input images, in pixels.
        image_mean, image_std: of each channel, of values between 0 and 1.
    """

    record = FAMILIES["florence2"]

    def __init__(
        self,
        model: Florence2ForConditionalGeneration,
        tokenizer: PreTrainedTokenizerFast,
        *,
        name: str,
        fingerprint: str,
        image_size: int,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        device: torch.device | str = "cpu",
    ):
        super().__init__(model, tokenizer, name=name, fingerprint=fingerprint, device=device)
        self.image_size, self.image_mean, self.image_std = image_size, tuple(image_mean), tuple(image_std)
        self.language_model: Any = model.model.language_model
        text = model.config.text_config
        self.start_token: int = text.decoder_start_token_id
        self.end_token: int = text.eos_token_id
        self.pad_token: int = text.pad_token_id
        self.begin_token: int = text.bos_token_id
        self.image_token: int = model.config.image_token_id
        self.max_tokens: int = text.max_position_embeddings

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        settings = json.loads((path / "preprocessor_config.json").read_text(encoding="utf-8"))
        return cls(
            from_pretrained(Florence2ForConditionalGeneration, path, dtype),
            PreTrainedTokenizerFast.from_pretrained(path, local_files_only=True),
            name=name,
            fingerprint=fingerprint,
            image_size=_image_size(settings, path),
            image_mean=settings.get("image_mean", (0.5, 0.5, 0.5)),
            image_std=settings.get("image_std", (0.5, 0.5, 0.5)),
            device=device,
        )

    def find_blocks(self) -> tuple[Block, ...]:
        return find_blocks(self.model, STACKS)

    def find_attention(self) -> AttentionShape:
        text = self.model.config.text_config
        layers = range(text.decoder_layers)
        return AttentionShape(
            layers=tuple(f"{STACKS['decoder']}.{layer}.self_attn" for layer in layers),
            names=tuple(f"decoder.{layer}" for layer in layers),
            heads=text.decoder_attention_heads,
            head_width=text.d_model // text.decoder_attention_heads,
            query_heads=text.decoder_attention_heads,
            encoder_decoder=True,
        )

    @property
    def trained_part(self) -> str:
        return f"{LANGUAGE_MODEL}."

    def encode(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        keep_pixels: bool = False,
        reporter: Reporter | None = None,
    ) -> EncodedExamples:
        reporter = reporter or Silent()
        examples = list(examples)
        with_image = all_or_no_images(task, examples)
        features, pixels = self._images(examples, keep_pixels, reporter) if with_image else (None, None)
        tokens = features.shape[1] if features is not None else 0
        room = self.max_tokens - tokens - 2
        head = [self.begin_token] + [self.image_token] * tokens
        prompt_ids = cut(self.token_ids([task.prompt(example) for example in examples]), room, reporter)
        answer_ids = self.token_ids([example.answer for example in examples])
        answer_room = self.max_tokens - self.answer_room
        return EncodedExamples(
            prompts=[np.array([*head, *ids, self.end_token], dtype=np.int64) for ids in prompt_ids],
            answers=[np.array([*ids[:answer_room], self.end_token], dtype=np.int64) for ids in answer_ids],
            backbone=self,
            features=features,
            pixels=pixels,
        )

    def embed(self, encoded: EncodedExamples, rows: Sequence[int], input_ids: Tensor) -> Tensor:
        embeds: Tensor = self.model.get_input_embeddings()(input_ids)
        if encoded.features is not None:
            # Placeholders stand right after <s>, so the features are one slice.
            embeds[:, 1 : 1 + encoded.features.shape[1]] = encoded.features[list(rows)].to(self.device)
        return embeds

    def pixel_values(self, encoded: EncodedExamples, rows: Sequence[int]) -> Tensor | None:
        return None if encoded.pixels is None else self._normalised(encoded.pixels[list(rows)].to(self.device))

    def encode_states(self, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
        return self.language_model.encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask)[0]

    def decode(
        self, states: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, cache: EncoderDecoderCache | None
    ) -> Tensor:
        hidden = self.language_model.decoder(
            input_ids=decoder_input_ids,
            encoder_hidden_states=states,
            encoder_attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )[0]
        return self.model.lm_head(hidden)

    def full_logits(self, batch: Any) -> Tensor:
        return self.model(
            input_ids=batch.input_ids,
            pixel_values=batch.pixel_values,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
            use_cache=False,
        ).logits

    def image_features(self, pixels: Tensor) -> Tensor:
        """(N, V, D) features, on the CPU, of pixels (N, H, W, 3) given as bytes."""
        with torch.no_grad():
            return self.model.get_image_features(self._normalised(pixels.to(self.device))).pooler_output.cpu()

    def seen_anew(self, encoded: EncodedExamples) -> EncodedExamples:
        if encoded.pixels is None:
            return encoded.without_states()
        chunks = torch.split(encoded.pixels, IMAGE_BATCH)
        return replace(encoded, states=None, features=torch.cat([self.image_features(chunk) for chunk in chunks]))

    def _normalised(self, pixels: Tensor) -> Tensor:
        return normalise(pixels, self.image_mean, self.image_std).to(self.dtype)

    def _images(
        self, examples: Sequence[Example], keep_pixels: bool, reporter: Reporter
    ) -> tuple[Tensor, Tensor | None]:
        """Features (N, V, D), and pixels (N, H, W, 3) as bytes if they are kept."""
        reporter.phase("encode images", len(examples))
        features: list[Tensor] = []
        kept: list[Tensor] = []
        for begin in range(0, len(examples), IMAGE_BATCH):
            chunk = examples[begin : begin + IMAGE_BATCH]
            pixels = torch.from_numpy(np.stack([self._pixels(example) for example in chunk]))
            features.append(self.image_features(pixels))
            if keep_pixels:
                kept.append(pixels)
            reporter.advance(len(chunk))
        return torch.cat(features), torch.cat(kept) if keep_pixels else None

    def _pixels(self, example: Example) -> np.ndarray:
        assert example.image is not None
        image = example.image.render(self.image_size).convert("RGB")
        if image.size != (self.image_size, self.image_size):
            image = image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        return np.array(image, dtype=np.uint8)


def normalise(pixels: Tensor, mean: Sequence[float] = (0.5,) * 3, std: Sequence[float] = (0.5,) * 3) -> Tensor:
    """Bytes (N, H, W, 3) to (N, 3, H, W): values between 0 and 1 less their mean, over their deviation."""
    scale = pixels.new_tensor([255.0 * value for value in std], dtype=torch.float32)
    shift = pixels.new_tensor([a / b for a, b in zip(mean, std, strict=True)], dtype=torch.float32)
    return (pixels.float() / scale - shift).permute(0, 3, 1, 2).contiguous()


def _image_size(settings: Any, path: Path) -> int:
    size = settings.get("size") if isinstance(settings, dict) else None
    if not isinstance(size, dict) or not isinstance(size.get("height"), int) or size["height"] != size.get("width"):
        raise ArtefactError(f"backbone {path}: preprocessor_config.json has size {size!r}; it must be a square")
    return size["height"]
