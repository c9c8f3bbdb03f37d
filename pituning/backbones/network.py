"""The two halves of a forward pass: the encoder once, the decoder as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Florence2ForConditionalGeneration
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from pituning.backbones.encoded import Batch


class Network:
    """Runs the language model of a Florence-2, bypassing the wrappers that cost time per call.

    Args:
        model: the Florence-2 (PEFT layers may have been injected into it).
        prompt: the decoder's initial key-value cache for a batch of the given size, or None: how prefixes act.
    """

    def __init__(
        self,
        model: Florence2ForConditionalGeneration,
        prompt: Callable[[int], EncoderDecoderCache | None] | None = None,
    ):
        self.model = model
        self.language_model: Any = model.model.language_model
        self.prompt = prompt

    def encode(self, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
        """Encoder states (B, T, D) of embedded inputs (B, T, D) and their mask (B, T)."""
        return self.language_model.encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask)[0]

    def states(self, batch: Batch) -> Tensor:
        """Encoder states (B, T, D) of a batch: those it carries, or computed."""
        return batch.states if batch.states is not None else self.encode(batch.inputs_embeds, batch.attention_mask)

    def start_cache(self, size: int) -> EncoderDecoderCache | None:
        return self.prompt(size) if self.prompt is not None else None

    def decode(
        self,
        states: Tensor,
        attention_mask: Tensor,
        decoder_input_ids: Tensor,
        cache: EncoderDecoderCache | None = None,
    ) -> Tensor:
        """Logits (B, U, V) of decoder inputs (B, U); with a ``cache``, of the inputs after those it holds."""
        hidden = self.language_model.decoder(
            input_ids=decoder_input_ids,
            encoder_hidden_states=states,
            encoder_attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )[0]
        return self.model.lm_head(hidden)

    def __call__(self, batch: Batch) -> Tensor:
        """Logits (B, U, V) of a batch under teacher forcing; the loss of `nll_per_example` is taken from them."""
        states = self.states(batch)
        cache = self.start_cache(len(batch))
        return self.decode(states, batch.attention_mask, batch.decoder_input_ids, cache)

    def full(self, batch: Batch) -> Tensor:
        """Like calling, but from token ids and pixels, so that embeddings and the vision tower get gradients too."""
        return self.model(
            input_ids=batch.input_ids,
            pixel_values=batch.pixel_values,
            attention_mask=batch.attention_mask,
            decoder_input_ids=batch.decoder_input_ids,
            use_cache=False,
        ).logits


def empty_cache() -> EncoderDecoderCache:
    """A decoder cache that holds nothing yet."""
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


class ParameterSwap:
    """Runs modules with other tensors as some parameters: `torch.func.functional_call` without its overhead.

    Args:
        root: the module that holds the parameters.
        names: their dotted names, as in ``root.named_parameters()``.
    """

    def __init__(self, root: nn.Module, names: Sequence[str]):
        self.names = tuple(names)
        self._places: list[tuple[dict[str, Any], str]] = []
        for name in self.names:
            owner, _, key = name.rpartition(".")
            parameters = root.get_submodule(owner)._parameters
            if key not in parameters:
                raise KeyError(name)
            self._places.append((parameters, key))

    @contextmanager
    def __call__(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """Within the context the parameters are ``tensors``, in the order of the names; gradients flow into them."""
        before = [parameters[key] for parameters, key in self._places]
        try:
            for (parameters, key), tensor in zip(self._places, tensors, strict=True):
                parameters[key] = tensor
            yield
        finally:
            for (parameters, key), tensor in zip(self._places, before, strict=True):
                parameters[key] = tensor


def nll_per_example(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p(y | x) of each example: summed over its answer tokens.

    Args:
        logits: (B, U, V).
        labels: (B, U), −100 where padded.

    Returns:
        (B,) losses in nats.
    """
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none"
    )
    return losses.view(labels.shape).sum(dim=1)
