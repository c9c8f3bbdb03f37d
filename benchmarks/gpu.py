"""Fisher information, a step of π-tuning and a 16-shot run on a GPU, in seconds and shares of its peak.

Run with ``pituning bench gpu``; ``--device cpu --model tiny`` tries the command where there is none. Weights are
random, for speed does not depend on what they are. Whatever might make a step faster (autocast, compilation, CUDA
graphs) is measured beside the plain step: it is worth keeping only where it shows here.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.interpolate import mixture_step, optimised, plain_step
from benchmarks.memory import WordCounter
from benchmarks.setting import make_backbone, make_examples
from pituning.backbones.base import Backbone
from pituning.backbones.causal import CausalBackbone
from pituning.backbones.device import best_device
from pituning.backbones.encoded import EncodedExamples, TokenRows
from pituning.embedding.fisher import fisher
from pituning.experts.kinds import KINDS
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent
from pituning.training.config import TrainConfig
from pituning.tuning.config import RATE_FACTORS, STEPS
from pituning.tuning.interpolation import Mixture
from pituning.tuning.learners import MixtureLearner
from pituning.tuning.selection import choose, make_folds, train

EXPERTS, DONORS = 8, 3
SHOTS, CLASSES = 16, 4
ROUNDS = 5
SQUARE = {"cuda": 8192, "cpu": 1024}
"""Width of the matrices whose product tells the peak."""


@dataclass(frozen=True)
class Decoder:
    """The shape of a Llama-like decoder."""

    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int = 128_256


@dataclass(frozen=True)
class Seeing:
    """The shape of the language part of a Florence-2; features of images are given."""

    width: int
    layers: int


MODELS: dict[str, Decoder | Seeing] = {
    "florence2-large": Seeing(1024, 12),
    "decoder-3b": Decoder(3072, 8192, 28, 24),
    "tiny": Seeing(64, 1),
    "tiny-decoder": Decoder(64, 128, 2, 4, vocabulary=500),
}


def run(
    *, model: str = "florence2-large", device: str | None = None, dtype: str = "bfloat16", batch_size: int = 8,
    steps: int = STEPS, reporter: Reporter | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measures LoRA on one model.

    Args:
        model: a name of `MODELS`.
        dtype: of the backbone; experts are float32.
        steps: most of each training of the 16-shot run.

    Returns:
        ``peak_tflops``, the measured speed of a matrix product. ``step``: of ``peft``, ``pi`` (8 experts), and ``pi``
        with each of ``autocast``, ``compiled``, ``cuda graphs`` seconds and share of the peak, or why it could not be
        done. ``fisher``: seconds, share, ratio to forward and backward of the same examples. ``run``: seconds of a
        mixture's choice, training and answers with 16 shots of 4 classes. ``memory_gib``, the peak.
    """
    report, place = reporter or Silent(), best_device(device)
    report.phase(f"measure {model} on {place}", 8)
    backbone, encoded = make(model, place, getattr(torch, dtype), SHOTS * CLASSES)
    peak = _peak(place, backbone.dtype)
    report.advance()
    mixture = Mixture(ExpertModel(backbone, "lora"))
    batch = encoded.batch(range(batch_size))

    def step(work: Callable[[], None]) -> dict[str, Any]:
        report.advance()
        try:
            return _measured(work, place, peak)
        except Exception as error:  # a variant that this machine has not is told, and the others are measured
            return {"not measured": f"{type(error).__name__}: {error}"[:200]}

    pi = mixture_step(mixture, EXPERTS, batch)
    taken = {"peft": step(plain_step(mixture.model, batch)), "pi": step(pi)}
    with torch.autocast(place.type, torch.bfloat16):
        taken["autocast"] = step(pi)
    for name, mode in (("compiled", "default"), ("cuda graphs", "reduce-overhead")):
        taken[name] = step(_compiled(mixture, batch, mode))
    values = mixture.model.initial(0).to(place)
    leaf = values.clone().requires_grad_(True)
    plain = _measured(optimised([leaf], lambda: mixture.model.loss(leaf, batch).sum()), place, peak)
    few = encoded.subset(range(batch_size))
    exact = _measured(lambda: _nothing(fisher(mixture.model, values, few, batch_size=batch_size)), place, peak)
    report.advance()
    took = _run(mixture, encoded, steps, place)
    report.advance()
    used = torch.cuda.max_memory_allocated() if place.type == "cuda" else None
    return {
        "model": model,
        "device": _name(place),
        "dtype": dtype,
        "batch": batch_size,
        "peak_tflops": round(peak / 1e12, 2),
        "step": taken,
        "fisher": {**exact, "ratio_vs_backward": round(exact["seconds"] / plain["seconds"], 3)},
        "run": took,
        "memory_gib": None if used is None else round(used / 2**30, 2),
    }


def make(name: str, device: torch.device, dtype: torch.dtype, count: int) -> tuple[Backbone, EncodedExamples]:
    """A model with random weights, and so many examples."""
    shape, backbone = MODELS[name], None
    if isinstance(shape, Seeing):
        made = make_backbone(d_model=shape.width, layers=shape.layers)
        backbone, encoded = made, make_examples(made, count)
    else:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.inner,
            num_hidden_layers=shape.layers, num_attention_heads=shape.heads, max_position_embeddings=512,
        )  # fmt: skip
        decoder = LlamaForCausalLM(config).eval()
        backbone = CausalBackbone(decoder, WordCounter(), name="random", fingerprint="0" * 64)
        ids = np.random.default_rng(0).integers(10, shape.vocabulary, (count, 66))
        encoded = EncodedExamples(prompts=TokenRows(ids[:, :64]), answers=TokenRows(ids[:, 64:]), backbone=backbone)
    backbone.model.to(device=device, dtype=dtype)
    return backbone, encoded


def _compiled(mixture: Mixture, batch: Any, mode: str) -> Callable[[], None]:
    """The step with a model that is compiled; the mixture itself is not."""
    backbone = mixture.backbone
    step = mixture_step(mixture, EXPERTS, batch)

    def work() -> None:
        plain = backbone.model.forward
        try:
            backbone.model.forward = fast
            step()
        finally:
            backbone.model.forward = plain

    fast = torch.compile(backbone.model.forward, mode=mode)
    return work


def _run(mixture: Mixture, encoded: EncodedExamples, steps: int, device: torch.device) -> dict[str, float]:
    """Choice, training and answers of a mixture of an own expert and three donors."""
    model = mixture.model
    answers = [str(row % CLASSES) for row in range(len(encoded))]
    experts = torch.stack([model.initial(seed) for seed in range(DONORS + 1)]).to(device)
    learner = MixtureLearner(
        mixture=mixture, names=("own", *map(str, range(DONORS))), experts=experts,
        alpha=torch.zeros(len(experts), device=device), learn_alpha=True, trained=len(experts),
    )  # fmt: skip
    folds = make_folds(answers, closed=True, count=0, seed=0)
    config = TrainConfig(steps=steps, batch_size=8, warmup=steps // 10)
    rates = [KINDS[model.kind].rate * factor * model.backbone.rate_factor for factor in RATE_FACTORS]
    began = _now(device)
    choice = choose(learner, encoded, folds, rates, config, method="mixture", reporter=Silent())
    chosen = _now(device)
    state = train(learner, encoded, choice, config, method="mixture", reporter=Silent())
    trained = _now(device)
    learner.losses(state, encoded)
    ended = _now(device)
    return {
        "choose_s": round(chosen - began, 3), "train_s": round(trained - chosen, 3),
        "answer_s": round(ended - trained, 3), "steps": choice.steps,
    }  # fmt: skip


def _measured(work: Callable[[], None], device: torch.device, peak: float) -> dict[str, Any]:
    """The best time of a piece of work, and the share of the peak at which its matrix products run."""
    gc.collect()
    work()  # the first one compiles, and makes the optimiser's moments
    with FlopCounterMode(display=False) as counter:
        work()
    best = min(_once(work, device) for _ in range(ROUNDS))
    return {"seconds": float(f"{best:.4g}"), "share_of_peak": round(counter.get_total_flops() / best / peak, 3)}


def _once(work: Callable[[], None], device: torch.device) -> float:
    began = _now(device)
    work()
    return _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a square matrix product."""
    width = SQUARE[device.type]
    matrix = torch.randn(width, width, device=device, dtype=dtype)
    product: Callable[[], Tensor] = lambda: matrix @ matrix  # noqa: E731
    product()
    return 2 * width**3 / min(_once(lambda: _nothing(product()), device) for _ in range(ROUNDS))


def _nothing(_value: Any) -> None: ...


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
