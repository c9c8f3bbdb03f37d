"""The frozen foundation model: (optional image) + text in, text out.

`Backbone` is the contract that everything else stands on: decoding, scoring of labels, sampling, Fisher information and
mixtures know only what stands here, and no family. In prose:

- `encode` takes examples verbatim; the checkpoint's own tokenizer, image processor and chat template decide what the
  model sees. `collate` pads encoded examples to a batch. Padding, its side and its length, and who else is in the
  batch change nothing.
- `logits` are those of the answer's tokens under teacher forcing, (B, U, V), whatever stands before the answer.
- `start` runs the prompts and gives the logits of the first answer token; `step` feeds a token of each row and gives
  those of the next. Fed the answer's own tokens they give what `logits` gives.
- `blocks` are the linear maps at which experts attach. An expert acts by hooks on them, or by what `conditioned` puts
  in front (keys and values, embeddings); outside such a context the model is as it was loaded. It is never copied.

docs/architecture.md tells how to add a family; ``tests/backbones/contract.py`` holds every one to this.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from pituning.backbones.cutting import PromptTokens
from pituning.backbones.encoded import Batch, EncodedExamples, nll_per_example
from pituning.backbones.places import FILE as PLACES_FILE
from pituning.backbones.places import IMAGE_ROLE, REFERENCE_WIDTH, AttentionShape, Block, Places
from pituning.backbones.recompute import checkpointed
from pituning.backbones.spelling import Spelling
from pituning.progress import Reporter
from pituning.tasks.base import Example, Task
from pituning.tasks.members import Spans, members_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from pituning.backbones.families import FamilyRecord

__all__ = ["AttentionShape", "Backbone", "Batch", "Decoding", "EncodedExamples", "KeysAndValues", "nll_per_example"]

TOKENISED = 4096
"""Prompts that are tokenised at once."""

KeysAndValues = Callable[[int], Sequence[tuple[Tensor, Tensor]]]
"""For a batch of B: of each layer of the decoder keys and values (B, heads, n, head width) to stand in front."""


@dataclass
class Decoding:
    """Where the decoding of a batch stands.

    Args:
        logits: (B, V) of the next token.
        mask: (B, T) what of the prompt counts, or what of everything so far, as the family needs it.
        cache: keys and values so far; None where only one step was asked for.
        states: (B, T, D) of an encoder.
        extra: what else the family keeps.
    """

    logits: Tensor
    mask: Tensor
    cache: Any = None
    states: Tensor | None = None
    extra: Any = None

    def select(self, rows: Tensor) -> Decoding:
        """The decoding of some rows (N,), each as often as it is named; this one must not be used any more."""
        if self.cache is not None:
            self.cache.reorder_cache(rows)
        return Decoding(
            logits=self.logits[rows],
            mask=self.mask[rows],
            cache=self.cache,
            states=None if self.states is None else self.states[rows],
            extra=self.extra[rows] if isinstance(self.extra, Tensor) else self.extra,
        )


class Backbone(Spelling, ABC):
    """A frozen model in evaluation mode; see the module for the contract.

    Args:
        model: the transformers model; none of its parameters asks for gradients.
        tokenizer: text to ids and back.
        name: what people read.
        fingerprint: 64 hexadecimal digits over weights, config and tokenizer; experts and embeddings carry it.

    Attributes:
        end_token: id that ends an answer.
        pad_token: id that fills up.
        max_tokens: how many tokens prompt and answer may have together, or the prompt of an encoder-decoder.
    """

    record: FamilyRecord
    image_size: int = 224
    """Side of the pictures that it is given, in pixels."""
    expert_settings: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    """What experts of a kind have here instead of the kind's own defaults, by the kind's name."""
    eyes_inside: ClassVar[bool] = True
    """Whether what sees pictures is a part of ``model``, which full fine-tuning trains."""
    answer_room: ClassVar[int] = 32
    """Positions that answers leave free, for prefixes."""
    end_token: int
    pad_token: int
    max_tokens: int

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        fingerprint: str,
        device: torch.device | str = "cpu",
    ):
        # What has been spread over devices or packed must stay where it is.
        placed = getattr(model, "hf_device_map", None) is not None
        self.device = model.get_input_embeddings().weight.device if placed else torch.device(device)
        self.model: Any = (model if placed else model.to(self.device)).eval().requires_grad_(False)
        self.tokenizer: Any = tokenizer
        self.name = name
        self.fingerprint = fingerprint
        self._past: KeysAndValues | None = None
        self._prompt: Callable[[int], Tensor] | None = None
        self.spaces: dict[Any, Any] = {}
        """Layouts of experts that were measured on this model, kept by whoever measures them."""

    @staticmethod
    def load(
        path: Path,
        *,
        name: str | None = None,
        device: torch.device | str | None = None,
        dtype: str | None = None,
        quantize: str | None = None,
    ) -> Backbone:
        """A backbone from a directory that `save_pretrained` wrote; nothing is downloaded or unpickled.

        Args:
            name: by default the directory's name.
            device: by default the `best_device`, or all GPUs where the model is too large for one; ``auto`` takes them
                all.
            dtype: ``float32``, ``bfloat16`` or ``auto``; by default what ``$PITUNING_DTYPE`` says, else ``auto``.
            quantize: ``4bit`` or ``8bit`` packs the frozen weights; by default what ``$PITUNING_QUANTIZE`` says, else
                they are not packed.

        Raises:
            BadInput: for a device or a precision that this machine does not have, or without what packs weights.
            ArtefactError: the directory or a file of it is missing, truncated or of a model that no family runs.
        """
        from pituning.backbones.loading import load_backbone

        return load_backbone(Path(path), name=name, device=device, dtype=dtype, quantize=quantize)

    @classmethod
    @abstractmethod
    def open(cls, path: Path, *, name: str, fingerprint: str, device: torch.device, dtype: torch.dtype) -> Backbone:
        """The backbone in a directory whose files are there; may raise whatever transformers raises."""

    # What it is.

    @property
    def dtype(self) -> torch.dtype:
        """Of the frozen weights; of packed ones, in which they compute."""
        return next(parameter.dtype for parameter in self.model.parameters() if parameter.is_floating_point())

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of the tasks that it can do."""
        return self.record.modalities

    @property
    def vocabulary(self) -> int:
        """How many tokens there are to choose from, V."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def width(self) -> int:
        """D, of the embedded tokens."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    @property
    def rate_factor(self) -> float:
        """What a kind's usual learning rate is multiplied by; see `Places.rate_factor`."""
        return self.places().rate_factor

    @property
    def evaluation_batch(self) -> int:
        """How many examples run together where nothing is learned: of wide models fewer, since with few there is less
        padding, and a few fill the processor already."""
        return 64 if self.width <= 2 * REFERENCE_WIDTH else 16

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The linear maps at which experts attach."""
        return self.find_blocks()

    @abstractmethod
    def find_blocks(self) -> tuple[Block, ...]:
        """Reads `blocks` from the model."""

    @cached_property
    def attention(self) -> AttentionShape:
        """The attention at which prefixes attach."""
        return self.find_attention()

    @cached_property
    def eyes(self) -> tuple[Block, ...]:
        """The linear maps inside ``model`` that only pictures pass; they take an expert where they are asked to."""
        return self.find_eyes()

    def find_eyes(self) -> tuple[Block, ...]:
        """Reads `eyes` from the model; here, there are none."""
        return ()

    @cached_property
    def picture_modules(self) -> frozenset[str]:
        """Where experts can act and that takes part only where there is a picture."""
        return frozenset(block.module for block in (*self.blocks, *self.eyes) if block.role == IMAGE_ROLE)

    def sees_by(self, modules: Collection[str]) -> bool:
        """Whether some of these modules are `eyes`."""
        return any(block.module in modules for block in self.eyes)

    @abstractmethod
    def find_attention(self) -> AttentionShape:
        """Reads `attention` from the model."""

    def places(self) -> Places:
        """Where experts attach, to be kept beside the weights."""
        return Places(blocks=self.blocks, attention=self.attention, width=self.width, eyes=self.eyes)

    @staticmethod
    def places_of(path: Path) -> Places:
        """Those of the backbone in a directory, which is loaded only where they were not kept."""
        return Places.read(path) if (path / PLACES_FILE).is_file() else Backbone.load(path).places()

    @cached_property
    def _modules(self) -> dict[str, nn.Module]:
        return dict(self.model.named_modules())

    def module(self, path: str) -> Any:
        """The module at a dotted path of the model."""
        return self._modules[path]

    @cached_property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers that hold the `blocks`, in the order of the forward pass."""
        paths: dict[str, None] = {}
        for block in self.blocks:
            number = block.layer.rpartition(".")[2]
            match = re.match(rf"(?:.+?\.)?{re.escape(number)}(?=\.)", block.module)
            paths.setdefault(match[0] if match else block.module)
        return tuple(self.module(path) for path in paths)

    @property
    def trained_part(self) -> str:
        """What the dotted names of the language model's parameters begin with: BitFit trains the biases there."""
        return ""

    # Examples in.

    @abstractmethod
    def encode(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        keep_pixels: bool = False,
        reporter: Reporter | None = None,
    ) -> EncodedExamples:
        """Tokenises examples and computes their image features once; prompts that are too long are cut.

        Args:
            task: whose instruction opens the prompts.
            keep_pixels: also keep the pixels, for full fine-tuning.
            reporter: is told how many prompts were cut.

        Raises:
            BadInput: there are no examples, only some of them have an image, or the model cannot see.
        """

    @abstractmethod
    def collate(self, encoded: EncodedExamples, rows: Sequence[int]) -> Batch:
        """The examples at ``rows``, padded to the longest."""

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids without the ends. A user's text that spells a special token (``<image>``) stays text."""
        if not texts:
            return []
        return self.tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
        )["input_ids"]

    def prompt_tokens(self, task: Task, prompts: Sequence[str]) -> list[PromptTokens]:
        """The tokens of prompts, with the places of the texts of a pair, so that they can be cut there.

        Args:
            prompts: as `Task.prompt` makes them, in the spelling of this backbone.
        """
        spans, found = members_of(task), []
        for begin in range(0, len(prompts), TOKENISED):  # lists of numbers take ten times the room of arrays
            found += self._prompt_tokens(prompts[begin : begin + TOKENISED], spans)
        return found

    def _prompt_tokens(self, prompts: Sequence[str], spans_of: Callable[[str], Spans]) -> list[PromptTokens]:
        spans = list(map(spans_of, prompts))
        if not self.tokenizer.is_fast or not any(spans):
            return [PromptTokens(array("i", ids)) for ids in self.token_ids(prompts)]
        encoded = self.tokenizer(
            list(prompts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False,
            return_offsets_mapping=True,
        )  # fmt: skip
        ids = (array("i", each) for each in encoded["input_ids"])
        return list(map(PromptTokens.of, ids, encoded["offset_mapping"], spans))

    def answer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of answers as `encode` makes them, without the end."""
        return self.located(self.token_ids([self.spelled(text) for text in texts]), texts)

    def text_of(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Answers from their token ids."""
        texts = [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]
        return self.with_locations(texts, ids)

    def predict(self, encoded: EncodedExamples, task: Task, *, batch_size: int | None = None) -> list[str]:
        """The answers of the backbone with whatever acts on it, in the order of the examples."""
        from pituning.backbones.prediction import predict

        return predict(self, encoded, task, batch_size=batch_size)

    # Logits out.

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """(B, U, V) of the answer's tokens under teacher forcing."""

    def full_logits(self, batch: Batch) -> Tensor:
        """Like `logits`, but from token ids and pixels, so that embeddings and the vision tower get gradients too."""
        return self.logits(batch)

    def loss(self, batch: Batch) -> Tensor:
        """(B,) −log p(y | x; θ) in nats, summed over answer tokens."""
        logits = self.logits(batch)
        return nll_per_example(logits, batch.labels.to(logits.device))

    @abstractmethod
    def start(self, batch: Batch, *, steps: int | None = None) -> Decoding:
        """Runs the prompts.

        Args:
            steps: how many tokens will be asked for, where that is known; of one no cache is kept.
        """

    @abstractmethod
    def step(self, decoding: Decoding, tokens: Tensor) -> Decoding:
        """Feeds one token of each row (B,)."""

    # What experts do to it.

    @contextmanager
    def conditioned(
        self, *, past: KeysAndValues | None = None, prompt: Callable[[int], Tensor] | None = None
    ) -> Iterator[None]:
        """Within the context keys and values, or embeddings (B, n, D), stand in front of everything."""
        before = self._past, self._prompt
        self._past, self._prompt = past, prompt
        try:
            yield
        finally:
            self._past, self._prompt = before

    @contextmanager
    def changed(self, modules: Collection[str]) -> Iterator[None]:
        """Within the context these modules do something else: nothing that was computed with them before is used."""
        yield

    def beside_ids(self, ids: Tensor, answers: int = 0) -> dict[str, Tensor]:
        """What transformers itself must be told, as keywords, beside token ids without padding.

        Args:
            ids: (B, T) of prompts, or of prompts and answers.
            answers: how many of them, at the end, are of answers.
        """
        return {}

    def beside_pictures(self, batch: Batch, answers: int = 0) -> dict[str, Any]:
        """What transformers itself must be told of the pictures of a batch, as keywords, beside its token ids.

        Args:
            answers: how many tokens of answers follow those of the prompts.
        """
        # With the pixels at hand, what the backbone itself has made of them is not for the model.
        return dict(batch.images) if batch.pixel_values is None else {"pixel_values": batch.pixel_values}

    def beside_prefix(self, length: int) -> dict[str, int]:
        """What the model itself must be told, as keywords, when PEFT puts a prefix of some tokens in front of it."""
        return {}

    @contextmanager
    def checkpointing(self) -> Iterator[None]:
        """Within the context the layers run again for the gradients instead of keeping what they computed: far less
        memory, about 40 % more time, the same outputs and gradients."""
        with checkpointed(self.layers):
            yield

    def skeleton(self) -> nn.Module:
        """A model of the same structure without weights, to inject into and read."""
        with torch.device("meta"):
            return type(self.model)(self.model.config)

    def seen_anew(self, encoded: EncodedExamples) -> EncodedExamples:
        """The examples as the model sees them with other parameters in place: image features are computed again."""
        return encoded.without_states()

    def encoder_states(self, encoded: EncodedExamples) -> EncodedExamples:
        """The examples with what an expert of the decoder alone leaves unchanged computed once; here, nothing."""
        return encoded
