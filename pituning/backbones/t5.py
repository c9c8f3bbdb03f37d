"""T5 and its kin (Raffel et al. 2020): T5, Flan-T5, mT5 and UMT5, text to text.

The stock model runs as a whole from the encoder's states on, so that scaled outputs and tied or untied heads are its
own. Positions are relative, so that no window is the model's; prompts are cut where its tokenizer says, else at the 512
tokens that T5 was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from pituning.backbones.base import Backbone
from pituning.backbones.blocks import find_blocks
from pituning.backbones.cutting import cut
from pituning.backbones.encoded import Batch, EncodedExamples, TokenRows
from pituning.backbones.encoder_decoder import EncoderDecoderBackbone
from pituning.backbones.families import FAMILIES
from pituning.backbones.inputs import no_images
from pituning.backbones.loading import from_pretrained
from pituning.backbones.places import AttentionShape, Block
from pituning.progress import Reporter
from pituning.tasks.base import Example, Task

USUAL_TOKENS = 512
LONGEST = 2**20
"""What a tokenizer says beyond this stands for no limit."""
STACKS = {stack: f"{stack}.block" for stack in ("encoder", "decoder")}


class T5Backbone(EncoderDecoderBackbone):
    """A T5: every prompt is its text and the end token."""

    record = FAMILIES["t5"]

    def __init__(self, model: Any, tokenizer: Any, **given: Any):
        super().__init__(model, tokenizer, **given)
        config = model.config
        self.end_token = int(tokenizer.eos_token_id)
        self.pad_token = int(config.pad_token_id)
        start = config.decoder_start_token_id
        self.start_token = self.pad_token if start is None else int(start)
        stated = int(tokenizer.model_max_length)
        self.max_tokens = stated if stated <= LONGEST else USUAL_TOKENS

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = from_pretrained(AutoModelForSeq2SeqLM, path, dtype)
        return cls(model, tokenizer, name=name, fingerprint=fingerprint, device=device)

    def find_blocks(self) -> tuple[Block, ...]:
        return find_blocks(self.model, STACKS)

    def find_attention(self) -> AttentionShape:
        config = self.model.config
        layers = range(config.num_decoder_layers)
        return AttentionShape(
            layers=tuple(f"{STACKS['decoder']}.{layer}.layer.0.SelfAttention" for layer in layers),
            names=tuple(f"decoder.{layer}" for layer in layers),
            heads=config.num_heads,
            head_width=config.d_kv,
            query_heads=config.num_heads,
            encoder_decoder=True,
        )

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        rows = super().token_ids(texts)
        special = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        # Special tokens are pieces of the vocabulary too, which a text may spell: a blank takes them apart.
        for row, (ids, text) in enumerate(zip(rows, texts, strict=True)):
            if special.intersection(ids):
                for token in self.tokenizer.all_special_tokens:
                    text = text.replace(token, f"{token[0]} {token[1:]}")
                rows[row] = super().token_ids([text])[0]
        return rows

    def encode(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        keep_pixels: bool = False,
        reporter: Reporter | None = None,
    ) -> EncodedExamples:
        examples = list(examples)
        no_images(task, examples, self.name)
        prompts = cut(
            self.prompt_tokens(task, [task.prompt(example) for example in examples]), self.max_tokens - 1, reporter
        )
        answers = self.answer_ids([example.answer for example in examples])
        return EncodedExamples(
            prompts=TokenRows([*ids, self.end_token] for ids in prompts),
            answers=TokenRows([*ids[: self.max_tokens], self.end_token] for ids in answers),
            backbone=self,
        )

    def encode_states(self, inputs_embeds: Tensor, attention_mask: Tensor, batch: Batch) -> Tensor:
        return self.model.get_encoder()(inputs_embeds=inputs_embeds, attention_mask=attention_mask)[0]

    def decode(
        self, states: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor, cache: EncoderDecoderCache | None
    ) -> Tensor:
        return self.model(
            encoder_outputs=BaseModelOutput(states),
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        ).logits

    def full_logits(self, batch: Batch) -> Tensor:
        return self.model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
            use_cache=False,
        ).logits
