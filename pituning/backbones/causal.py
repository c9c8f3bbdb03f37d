"""Decoder-only language models of stock transformers classes: Gemma 3, Qwen 3, Llama, SmolLM and others.

Prompts are padded on the left and positions are counted over what is no padding, so that neither the side nor the
length of the padding, nor who else is in the batch, changes anything. Answers follow the prompt, padded on the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache

from pituning.backbones.base import Backbone, Decoding
from pituning.backbones.blocks import find_blocks
from pituning.backbones.chat import Turn, turn_of
from pituning.backbones.cutting import PromptTokens, cut
from pituning.backbones.encoded import IGNORED, Batch, EncodedExamples, TokenRows, mask_of, padded
from pituning.backbones.families import FAMILIES
from pituning.backbones.inputs import no_images
from pituning.backbones.loading import from_pretrained
from pituning.backbones.places import AttentionShape, Block
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter
from pituning.tasks.base import Example, Task

STACK = "decoder"
UNLIMITED = 2**20
TYPES = frozenset(("token_type_ids", "mm_token_type_ids"))
"""What processors make of each token beside its id."""


class CausalBackbone(Backbone):
    """A decoder-only language model."""

    record = FAMILIES["causal"]

    def __init__(self, model: Any, tokenizer: Any, **given: Any):
        super().__init__(model, tokenizer, **given)
        # The last places of a sequence are a slice of it, for which PyTorch would copy the vocabulary's whole matrix
        # once for each row of the batch.
        model.get_output_embeddings().register_forward_pre_hook(_in_one_piece)
        config = model.config.get_text_config()
        self.turn = turn_of(tokenizer)
        self.end_token = self.turn.end
        self.pad_token: int = next(
            token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, self.end_token) if token is not None
        )
        self.max_tokens = int(getattr(config, "max_position_embeddings", None) or UNLIMITED)

    @classmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        if tokenizer.eos_token_id is None:
            raise ArtefactError(f"backbone {path} has a tokenizer without an end token; set eos_token in its config")
        model = from_pretrained(AutoModelForCausalLM, path, dtype)
        return cls(model, tokenizer, name=name, fingerprint=fingerprint, device=device)

    # What it is.

    @property
    def stack_path(self) -> str:
        """The dotted path of the layers."""
        layers = self.model.get_decoder().layers
        return next(path for path, module in self.model.named_modules() if module is layers)

    def find_blocks(self) -> tuple[Block, ...]:
        return find_blocks(self.model, {STACK: self.stack_path})

    def find_attention(self) -> AttentionShape:
        config = self.model.config.get_text_config()
        heads = int(config.num_attention_heads)
        layers = range(int(config.num_hidden_layers))
        return AttentionShape(
            layers=tuple(f"{self.stack_path}.{layer}.self_attn" for layer in layers),
            names=tuple(f"{STACK}.{layer}" for layer in layers),
            heads=int(getattr(config, "num_key_value_heads", None) or heads),
            head_width=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
            query_heads=heads,
            encoder_decoder=False,
        )

    # Examples in.

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
        asked = self.prompt_tokens(task, [task.prompt(example) for example in examples])
        prompts, answers = self.framed(asked, [example.answer for example in examples], task, reporter)
        return EncodedExamples(prompts=prompts, answers=answers, backbone=self)

    def framed(
        self,
        asked: Sequence[PromptTokens],
        texts: Sequence[str],
        task: Task,
        reporter: Reporter | None,
        turns: Sequence[Turn] | None = None,
    ) -> tuple[TokenRows, TokenRows]:
        """Prompts in their turn, cut to the model's window, and answers with their end.

        Args:
            turns: of each prompt, where not all have the same.
        """
        turns = turns or [self.turn] * len(asked)
        longest = max(len(ids) for ids in self.answer_ids(list(dict.fromkeys([*texts, *(task.labels or ())]))))
        around = max(len(turn.head) + len(turn.tail) for turn in turns)
        room = self.max_tokens - around - longest - 1 - self.answer_room
        if room < 1:
            raise BadInput(
                f"task {task.name!r}: answers of {longest} tokens leave no room for a prompt in the {self.max_tokens} "
                f"tokens of backbone {self.name!r}; shorten them or choose another",
                field="backbone",
            )
        pairs = zip(turns, cut(asked, room, reporter), strict=True)
        return (
            TokenRows([*turn.head, *ids, *turn.tail] for turn, ids in pairs),
            TokenRows([*ids, self.end_token] for ids in self.answer_ids(texts)),
        )

    def collate(self, encoded: EncodedExamples, rows: Sequence[int]) -> Batch:
        prompts = [encoded.prompts[i] for i in rows]
        return Batch(
            input_ids=torch.from_numpy(padded(prompts, self.pad_token, left=True)).to(self.device),
            attention_mask=torch.from_numpy(mask_of(prompts, left=True)).to(self.device),
            labels=torch.from_numpy(padded([encoded.answers[i] for i in rows], IGNORED)).to(self.device),
        )

    # Logits out.

    def logits(self, batch: Batch) -> Tensor:
        fed = batch.labels[:, :-1]
        inside = fed != IGNORED
        ids = torch.cat([batch.input_ids, fed.masked_fill(~inside, self.pad_token)], dim=1)
        mask = torch.cat([batch.attention_mask, inside.to(batch.attention_mask)], dim=1)
        return self._run(batch, ids, mask, batch.labels.shape[1], keep=False)[0]

    def start(self, batch: Batch, *, steps: int | None = None) -> Decoding:
        output = self._run(batch, batch.input_ids, batch.attention_mask, 1, keep=steps != 1)
        logits, mask, positions, cache = output
        # The batch comes first, also where a position is a vector: so the rows of a decoding can be chosen.
        return Decoding(logits=logits[:, -1], mask=mask, cache=cache, extra=positions[..., -1].movedim(-1, 0))

    def step(self, decoding: Decoding, tokens: Tensor) -> Decoding:
        mask = torch.cat([decoding.mask, decoding.mask.new_ones(len(tokens), 1)], dim=1)
        places = decoding.extra + 1
        output = self.model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=places.movedim(0, -1)[..., None],
            past_key_values=decoding.cache,
            use_cache=True,
        )
        return replace(decoding, logits=output.logits[:, -1], mask=mask, extra=places)

    def beside(self, batch: Batch, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What the model is given beside whole sequences (B, T) and their mask: at least ``position_ids`` (…, B, T)."""
        return {"position_ids": (mask.cumsum(dim=1) - 1).clamp_min(0)}

    def embedded(self, batch: Batch, ids: Tensor) -> Tensor | None:
        """(B, T, D) what whole sequences are embedded as, where something else than their ids decides that."""
        return None

    def visible(self, mask: Tensor, queries: int, answers: int) -> Tensor:
        """What the model is given as ``attention_mask`` with whole sequences: here, what is no padding.

        Args:
            mask: (B, S) of everything that stands there, a prefix too; 1 where it is no padding.
            queries: how many tokens are fed; what stands before them is in the cache.
            answers: how many of them, at the end, are of answers.
        """
        return mask

    def _run(
        self, batch: Batch, ids: Tensor, mask: Tensor, kept: int, *, keep: bool
    ) -> tuple[Tensor, Tensor, Tensor, DynamicCache | None]:
        """The last ``kept`` logits of whole sequences, with the mask, positions and cache that they leave."""
        size, front = len(ids), 0
        cache = DynamicCache(config=self.model.config.get_text_config()) if keep or self._past is not None else None
        given: dict[str, Any] = {"input_ids": ids, **self.beside(batch, ids, mask)}
        positions, embeds = given["position_ids"], self.embedded(batch, ids)
        if self._past is not None and cache is not None:
            for layer, (keys, values) in enumerate(self._past(size)):
                cache.update(keys, values, layer)
            front = keys.shape[2]
            mask = torch.cat([mask.new_ones(size, front), mask], dim=1)
        if self._prompt is not None:
            prompt = self._prompt(size)
            embeds = self.model.get_input_embeddings()(ids) if embeds is None else embeds
            count = prompt.shape[1]
            # Right before what is no padding: padding between would count in layers of sliding windows.
            order = after_padding(mask, count)
            whole = torch.cat([prompt.to(embeds.dtype), embeds], dim=1)
            embeds = whole.gather(1, order[:, :, None].expand(-1, -1, whole.shape[2]))
            mask = torch.cat([mask.new_ones(size, count), mask], dim=1).gather(1, order)
            for name in TYPES.intersection(given):
                given[name] = torch.cat([given[name].new_zeros(size, count), given[name]], dim=1).gather(1, order)
            places = torch.arange(count, device=ids.device).expand(*positions.shape[:-1], count)
            positions = torch.cat([places, positions + count], dim=-1)
            positions = positions.gather(-1, order.expand(*positions.shape[:-1], order.shape[1]))
        if embeds is not None:
            given["inputs_embeds"] = embeds
            del given["input_ids"]
        given["position_ids"] = positions = positions + front
        seen = self.visible(mask, mask.shape[1] - front, ids.shape[1] - batch.input_ids.shape[1])
        output = self.model(
            **given, attention_mask=seen, past_key_values=cache, use_cache=cache is not None, logits_to_keep=kept
        )
        return output.logits, mask, positions, cache


def _in_one_piece(_module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in given)


def after_padding(mask: Tensor, count: int) -> Tensor:
    """(B, n + T) where each place takes from, for n new tokens that stand first to come after the padding of (B, T)."""
    padding = (mask.cumsum(dim=1) == 0).sum(dim=1, keepdim=True)
    place = torch.arange(count + mask.shape[1], device=mask.device).expand(len(mask), -1)
    return torch.where(place < padding, place + count, torch.where(place < padding + count, place - padding, place))
