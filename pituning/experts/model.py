"""A backbone with one kind of expert in it, whose parameters are one flat vector."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import PeftModel, get_peft_model
from torch import Tensor
from transformers.cache_utils import EncoderDecoderCache

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.network import Network, ParameterSwap, nll_per_example
from pituning.backbones.prediction import predict
from pituning.errors import BadInput
from pituning.experts import kinds
from pituning.experts.space import ExpertSpace, TensorSlot
from pituning.progress import Reporter
from pituning.tasks.base import Task

ADAPTER = "default"


class ExpertModel:
    """Runs a frozen backbone with an expert given as a flat vector.

    Args:
        backbone: is copied; the copy gets the PEFT layers.
        kind: ``lora``, ``bottleneck`` or ``prefix``.
        config: settings over the kind's defaults, for example ``{"rank": 16}``.

    Attributes:
        space: the layout of the vector; ``space.size`` is P.
        peft_model: the PEFT model; its expert is whatever `load_values` wrote last, at first ``initial(0)``.
        network: the forward pass in two halves, for decoding.

    Raises:
        BadInput: for an unknown kind or setting.
    """

    def __init__(self, backbone: Backbone, kind: str, config: Mapping[str, float] | None = None):
        settings = kinds.full_config(kind, config)
        self.backbone = backbone.copy()
        self.kind = kind
        text_config = self.backbone.model.config.text_config
        self.space: ExpertSpace = kinds.build_space(kind, settings, text_config)
        self.layers: int = text_config.decoder_layers
        self.heads: int = text_config.decoder_attention_heads
        self.peft_config = kinds.peft_config(kind, settings, text_config)
        # PEFT draws from the global generator, and calls what transformers 5 deprecates.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.peft_model: PeftModel = get_peft_model(
                self.backbone.model, self.peft_config, adapter_name=ADAPTER, autocast_adapter_dtype=False
            )
        self.peft_config.base_model_name_or_path = backbone.name  # not the path that it happened to be loaded from
        self.peft_model.eval().requires_grad_(False)
        self.network = Network(self.backbone.model, prompt=self._prompt if kind == "prefix" else None)
        self._prefix: Tensor | None = None
        self._swap = None
        if kind != "prefix":
            self._swap = ParameterSwap(self.peft_model, [self.parameter_name(slot) for slot in self.space.slots()])
        self.load_values(self.initial(0))

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    def parameter_name(self, slot: TensorSlot) -> str:
        """The name of the slot's parameter in ``peft_model.named_parameters()``; for a prefix, of the whole table."""
        if self.kind == "prefix":
            return f"prompt_encoder.{ADAPTER}.embedding.weight"
        stem, _, leaf = slot.name.rpartition(".")
        return f"{stem}.{ADAPTER}.{leaf}"

    def initial(self, seed: int) -> Tensor:
        """(P,) starting values; the same seed gives the same on every machine."""
        return kinds.initial_values(self.space, seed).to(self.device)

    def tensors(self, values: Tensor) -> list[Tensor]:
        """Views of flat values (P,), one per slot, in the slots' shapes."""
        pieces = torch.split(values, list(self.space.sizes))
        return [piece.view(slot.shape) for piece, slot in zip(pieces, self.space.slots(), strict=True)]

    @contextmanager
    def using(self, values: Tensor) -> Iterator[None]:
        """Within the context `network` runs with ``values`` (P,), from any device, and gradients flow into them."""
        if values.shape != (self.space.size,):
            raise BadInput(f"{self.kind} values have shape {tuple(values.shape)}; expected ({self.space.size},)")
        values = values.to(self.device)
        if self._swap is not None:
            with self._swap(self.tensors(values)):
                yield
            return
        before, self._prefix = self._prefix, values
        try:
            yield
        finally:
            self._prefix = before

    def forward(self, values: Tensor, batch: Batch) -> Tensor:
        """Logits (B, U, V) of a batch with the expert ``values`` (P,), differentiable in them."""
        with self.using(values):
            return self.network(batch)

    def loss(self, values: Tensor, batch: Batch) -> Tensor:
        """(B,) −log p(y | x; θ, φ) in nats, summed over answer tokens."""
        return nll_per_example(self.forward(values, batch), batch.labels)

    def predict(
        self,
        values: Tensor,
        encoded: EncodedExamples,
        task: Task,
        *,
        batch_size: int = 64,
        reporter: Reporter | None = None,
    ) -> list[str]:
        """The answers with the expert ``values`` (P,), in the order of the examples."""
        with self.using(values.detach()):
            return predict(self.network, self.backbone, encoded, task, batch_size=batch_size, reporter=reporter)

    def prepare(self, encoded: EncodedExamples) -> EncodedExamples:
        """The examples with what this kind leaves unchanged computed once: for a prefix, the encoder's states.

        What runs on them is the same to rounding; a prefix trains several times as fast.
        """
        return encoded.with_states(self.network.encode) if self.kind == "prefix" else encoded

    def load_values(self, values: Tensor) -> None:
        """Writes ``values`` (P,) into the modules of `peft_model`; outside `using`, `network` runs with them."""
        values = values.detach().to(self.device)
        with torch.no_grad():
            for name, tensor in self.checkpoint(values).items():
                self._parameter(name).copy_(tensor)
        if self.kind == "prefix":
            self._prefix = values.clone()

    def checkpoint(self, values: Tensor) -> dict[str, Tensor]:
        """Flat values (P,) as the tensors of a PEFT checkpoint, by name."""
        if self.kind == "prefix":
            return {kinds.PREFIX_TENSOR: kinds.prefix_table(values, *self._prefix_shape)}
        return dict(zip(self.space.names, self.tensors(values), strict=True))

    def values_of(self, checkpoint: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `checkpoint`: flat float32 values (P,) of tensors whose names and shapes have been checked."""
        if self.kind == "prefix":
            return kinds.prefix_values(checkpoint[kinds.PREFIX_TENSOR].float(), *self._prefix_shape).to(self.device)
        return torch.cat([checkpoint[name].float().flatten() for name in self.space.names]).to(self.device)

    def _parameter(self, name: str) -> Tensor:
        if self.kind == "prefix":
            return self.peft_model.prompt_encoder[ADAPTER].embedding.weight
        stem, _, leaf = name.rpartition(".")
        return self.peft_model.get_parameter(f"{stem}.{ADAPTER}.{leaf}")

    @property
    def _prefix_shape(self) -> tuple[int, int, int]:
        """Layers, virtual tokens, width."""
        tokens, width = next(self.space.slots()).shape
        return self.layers, tokens, width

    def _prompt(self, size: int) -> EncoderDecoderCache:
        assert self._prefix is not None
        layers, tokens, width = self._prefix_shape
        pairs = self._prefix.view(1, layers, 2, tokens, width).expand(size, -1, -1, -1, -1)
        return kinds.prefix_cache(pairs, self.heads)
