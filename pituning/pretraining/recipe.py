"""Pretrains the embedded backbone: an endless seeded stream of samples, AdamW, warm-up, plateau, decay; resumable.

The stream is a function of (seed, step), so a run that was stopped continues with the very samples it would have seen.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.distributed
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

from pituning.pretraining.architecture import build_model, save_backbone, train_tokenizer
from pituning.pretraining.objectives import Sample, image_samples, pseudo_word, text_samples
from pituning.progress import Reporter, Silent
from pituning.tasks.mini.drawing import draw

SEEN_DRAWS = 3000
"""Draws from the mixture after which a token that never came counts as unseen."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """The recipe. ``steps`` may be raised or lowered between two parts of one run, all else must stay."""

    steps: int = field(default=7700, metadata={"help": "optimiser steps"})
    images: int = field(default=44, metadata={"help": "images per step; most come with two prompts"})
    texts: int = field(default=68, metadata={"help": "text-only samples per step"})
    learning_rate: float = field(default=1.8e-3, metadata={"help": "peak learning rate of AdamW"})
    warmup: int = field(default=200, metadata={"help": "steps of linear warm-up"})
    decay: float = field(default=0.4, metadata={"help": "last part of the run in which the rate falls to zero"})
    weight_decay: float = field(default=0.02, metadata={"help": "AdamW's decoupled weight decay"})
    clip: float = field(default=1.0, metadata={"help": "largest norm of the gradient"})
    workers: int = field(default=2, metadata={"help": "processes of one thread that share a step's batch (CPU)"})
    seed: int = field(default=0, metadata={"help": "of weights and data"})
    blind: bool = field(default=False, metadata={"help": "leave the images out: the text-only baseline"})
    d_model: int = 128
    layers: int = 3
    vision_dims: tuple[int, int] = (64, 128)
    image_size: int = 48
    vocab_size: int = 1200


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Warm-up, plateau, then a linear fall to zero (the plateau lets a later part prolong the run)."""
    fall = config.decay * config.steps
    return config.learning_rate * min(1.0, (step + 1) / config.warmup, max(0.0, (config.steps - step) / fall))


def corpus_tokenizer(config: PretrainConfig) -> PreTrainedTokenizerFast:
    """Trained on pretraining text and made-up words alone: downstream label words are spelt in pieces."""
    rng = Random(config.seed)
    texts: list[str] = []
    for _ in range(4000):
        texts += [f"{s.prompt} {s.answer}" for s in text_samples(rng, 4) + image_samples(rng, "pretrain")]
    texts += [" ".join(pseudo_word(rng) for _ in range(6)) for _ in range(6000)]
    # Location tokens are added afterwards and must not be learnt as text.
    return train_tokenizer((t.split("<loc")[0] for t in texts), vocab_size=config.vocab_size)


@dataclass
class Tokens:
    """A padded micro-batch: prompts (B, T) with their mask, answers (B, U) with -100, row of its image per prompt."""

    ids: Tensor
    mask: Tensor
    labels: Tensor
    owner: Tensor | None


def draw_unique(samples: Sequence[Sample], image_size: int) -> tuple[Tensor, dict[object, int]]:
    """Pixels (N, 3, S, S) of the images, each drawn once however many samples share it, and the row of each."""
    rows: dict[object, int] = {}
    for sample in samples:
        rows.setdefault(sample.image, len(rows))
    drawn = np.stack([np.asarray(draw(content, image_size)) for content in rows])  # type: ignore[arg-type]
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1.0, rows


def collate(samples: Sequence[Sample], tokenizer: PreTrainedTokenizerFast, rows: dict[object, int] | None) -> Tokens:
    """Tokenises and pads; ``rows`` tells where each image's features will stand (None: no images)."""

    def padded(ragged: list[list[int]], fill: int) -> Tensor:
        width = max(len(row) for row in ragged)
        return torch.tensor([row + [fill] * (width - len(row)) for row in ragged])

    prompts = tokenizer([s.prompt for s in samples]).input_ids
    eos = tokenizer.eos_token_id
    answers = [[*ids, eos] for ids in tokenizer([s.answer for s in samples], add_special_tokens=False).input_ids]
    return Tokens(
        ids=padded(prompts, tokenizer.pad_token_id),
        mask=padded([[1] * len(row) for row in prompts], 0),
        labels=padded(answers, -100),
        owner=None if rows is None else torch.tensor([rows[s.image] for s in samples]),
    )


def micro_batches(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Long answers, long prompts and short ones apart, so that little is spent on padding."""
    buckets: tuple[list[Sample], ...] = ([], [], [])
    for sample in samples:
        long_prompt = len(sample.prompt) > (60 if sample.image is not None else 110)
        buckets[1 if long_prompt else 0 if len(sample.answer) > 24 else 2].append(sample)
    return [bucket for bucket in buckets if bucket]


def answer_logits(model: Florence2ForConditionalGeneration, tokens: Tokens, features: Tensor | None) -> Tensor:
    """Logits (B, U, vocabulary) of the answers; ``features`` (N, V, D) stand between ``<s>`` and the prompt."""
    embeds, mask = model.get_input_embeddings()(tokens.ids), tokens.mask  # (B, T, D), (B, T)
    if features is not None and tokens.owner is not None:
        own = features[tokens.owner]
        embeds = torch.cat([embeds[:, :1], own, embeds[:, 1:]], dim=1)
        mask = torch.cat([mask[:, :1], mask.new_ones(own.shape[:2]), mask[:, 1:]], dim=1)
    text = model.config.text_config
    shifted = torch.cat(
        [tokens.labels.new_full((len(embeds), 1), text.decoder_start_token_id), tokens.labels[:, :-1]], 1
    )
    shifted = shifted.masked_fill(shifted == -100, text.pad_token_id)
    return model(inputs_embeds=embeds, attention_mask=mask, decoder_input_ids=shifted, use_cache=False).logits


def answer_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the answer's token losses (B,) and its number of tokens (B,)."""
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    return losses.sum(1), (labels != -100).sum(1)


def step_samples(config: PretrainConfig, step: int) -> tuple[list[Sample], list[Sample]]:
    """The image samples and the text samples of one step."""
    rng = Random(f"{config.seed}/{step}")
    pictures = [sample for _ in range(config.images) for sample in image_samples(rng, "pretrain")]
    return pictures, text_samples(rng, config.texts)


@torch.no_grad()
def evaluate(
    model: Florence2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    config: PretrainConfig,
    *,
    per_objective: int = 200,
    with_images: bool = True,
) -> dict[str, dict[str, float]]:
    """Held-out loss per token and exact match (greedy) per objective; ``with_images=False`` blinds the model."""
    model.eval()
    device = next(model.parameters()).device
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    for group in heldout_groups(config, per_objective):
        for start in range(0, len(group), 100):
            part = group[start : start + 100]
            features, rows = None, None
            if part[0].image is not None and with_images:
                pixels, rows = draw_unique(part, config.image_size)
                features = model.get_image_features(pixels.to(device)).pooler_output
            for batch in micro_batches(part):
                tokens = to_device(collate(batch, tokenizer, rows), device)
                logits = answer_logits(model, tokens, features)
                losses, lengths = answer_losses(logits, tokens.labels)
                # Right when every token is the likeliest given the gold ones before it: what greedy decoding yields.
                right = ((logits.argmax(-1) == tokens.labels) | (tokens.labels == -100)).all(1)
                for sample, loss, length, ok in zip(
                    batch, losses.tolist(), lengths.tolist(), right.tolist(), strict=True
                ):
                    total = sums[sample.objective]
                    for i, value in enumerate((loss, length, ok, 1.0)):
                        total[i] += value
    return {
        name: {"loss": loss / length, "exact": ok / count, "count": count}
        for name, (loss, length, ok, count) in sorted(sums.items())
    }


def to_device(tokens: Tokens, device: torch.device) -> Tokens:
    """The micro-batch on ``device``."""
    owner = None if tokens.owner is None else tokens.owner.to(device)
    return Tokens(tokens.ids.to(device), tokens.mask.to(device), tokens.labels.to(device), owner)


def heldout_groups(config: PretrainConfig, per_objective: int) -> tuple[list[Sample], list[Sample]]:
    """Image and text samples from scenes that neither pretraining nor any task's split holds."""
    rng = Random(f"{config.seed}/heldout")
    counts: dict[str, int] = defaultdict(int)
    groups: tuple[list[Sample], list[Sample]] = ([], [])
    for group, make in (
        (groups[0], lambda: image_samples(rng, "heldout")),
        (groups[1], lambda: text_samples(rng, 8)),
    ):
        for _ in range(per_objective * 4):
            for sample in make():
                if counts[sample.objective] < per_objective:
                    counts[sample.objective] += 1
                    group.append(sample)
    return groups


def pretrain(
    config: PretrainConfig,
    directory: Path,
    reporter: Reporter | None = None,
    *,
    device: str = "cpu",
    save_every: int = 400,
    evaluate_every: int = 1500,
) -> Path:
    """Trains (or goes on training) in ``directory``; returns the folder of the finished checkpoint.

    On CPU ``config.workers`` processes of one thread each share every step's batch: at this model's size that is
    about 1.4 times as fast as one process with as many threads. ``directory`` holds ``state.safetensors`` (weights,
    optimiser, step), ``curve.jsonl`` and, at the end, ``backbone/``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "tokenizer").exists():
        corpus_tokenizer(config).save_pretrained(directory / "tokenizer")
    workers = config.workers if device == "cpu" else 1
    if workers == 1:
        return _train(config, directory, reporter or Silent(), device, 0, 1, save_every, evaluate_every)
    meeting = directory / f"meeting-{os.getpid()}"
    others = [
        multiprocessing.get_context("spawn").Process(
            target=_help, args=(config, directory, rank, workers, meeting, save_every, evaluate_every), daemon=True
        )
        for rank in range(1, workers)
    ]
    for process in others:
        process.start()
    try:
        _meet(meeting, 0, workers)
        return _train(config, directory, reporter or Silent(), device, 0, workers, save_every, evaluate_every)
    finally:
        for process in others:
            process.join(timeout=5)
            process.kill()
        torch.distributed.destroy_process_group()
        meeting.unlink(missing_ok=True)


def _meet(meeting: Path, rank: int, workers: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)


def _help(
    config: PretrainConfig,
    directory: Path,
    rank: int,
    workers: int,
    meeting: Path,
    save_every: int,
    evaluate_every: int,
) -> None:
    _meet(meeting, rank, workers)
    _train(config, directory, Silent(), "cpu", rank, workers, save_every, evaluate_every)


def _share(samples: list[Sample], rank: int, workers: int) -> list[Sample]:
    """Every ``workers``-th sample; what shares an image stays together, so that it is drawn and encoded once."""
    images: dict[object, int] = {}
    return [
        s
        for i, s in enumerate(samples)
        if (i if s.image is None else images.setdefault(s.image, len(images))) % workers == rank
    ]


def _train(
    config: PretrainConfig,
    directory: Path,
    report: Reporter,
    device: str,
    rank: int,
    workers: int,
    save_every: int,
    evaluate_every: int,
) -> Path:
    target = torch.device(device)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory / "tokenizer")
    model = build_model(
        tokenizer,
        d_model=config.d_model,
        layers=config.layers,
        vision_dims=config.vision_dims,
        image_size=config.image_size,
        seed=config.seed,
    ).to(target)
    parameters = dict(model.named_parameters())
    optimizers = make_optimizers(parameters, config)
    begin = _restore(directory / "state.safetensors", parameters, optimizers)
    if workers > 1:
        torch.distributed.barrier()  # nobody writes the state before all have read it
    report.phase("pretrain", config.steps)
    report.advance(begin)
    recent: dict[str, list[float]] = defaultdict(list)
    clock = time.monotonic()
    for step in range(begin, config.steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
        _gradients(model, tokenizer, config, step, rank, workers, target, recent)
        torch.nn.utils.clip_grad_norm_(parameters.values(), config.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        report.advance()
        if rank > 0:
            continue
        if (step + 1) % 100 == 0:
            values = {name: sum(v) / len(v) for name, v in sorted(recent.items())}
            line: dict[str, object] = {"step": step + 1, "seconds": round(time.monotonic() - clock, 1), "train": values}
            if (step + 1) % evaluate_every == 0:
                line["heldout"] = evaluate(model, tokenizer, config, per_objective=100, with_images=not config.blind)
                model.train()
            with (directory / "curve.jsonl").open("a") as curve:
                curve.write(json.dumps(line) + "\n")
            report.metric("pretrain", step + 1, {"loss": sum(values.values()) / len(values)})
            recent.clear()
        if (step + 1) % save_every == 0 or step + 1 == config.steps:
            _save(directory / "state.safetensors", step + 1, parameters, optimizers)
    backbone = directory / "backbone"
    if rank == 0:
        spread_unseen_embeddings(model, tokenizer, config)
        save_backbone(model, tokenizer, backbone, image_size=config.image_size, dtype=torch.float16)
        (directory / "recipe.json").write_text(json.dumps(asdict(config), indent=1))
    return backbone


def _gradients(
    model: Florence2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    config: PretrainConfig,
    step: int,
    rank: int,
    workers: int,
    device: torch.device,
    recent: dict[str, list[float]],
) -> None:
    """Leaves the gradient of the step's mean loss (sum over tokens / √length per sample) in the parameters."""
    pictures, texts = step_samples(config, step)
    count = len(pictures) + len(texts)
    pictures, texts = _share(pictures, rank, workers), _share(texts, rank, workers)
    features = leaf = rows = None
    if not config.blind:
        pixels, rows = draw_unique(pictures, config.image_size)
        features = model.get_image_features(pixels.to(device)).pooler_output
        # The tower runs once for all micro-batches: their gradients gather at a leaf and flow back together.
        leaf = features.detach().requires_grad_()
    for part in [*micro_batches(pictures), *micro_batches(texts)]:
        tokens = to_device(collate(part, tokenizer, rows if part[0].image is not None else None), device)
        losses, lengths = answer_losses(answer_logits(model, tokens, leaf), tokens.labels)
        ((losses / lengths.sqrt()).sum() / count).backward()
        for sample, loss, length in zip(part, losses.tolist(), lengths.tolist(), strict=True):
            recent[sample.objective].append(loss / length)
    if features is not None and leaf is not None:
        features.backward(leaf.grad)
    if workers > 1:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def spread_unseen_embeddings(
    model: Florence2ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig
) -> int:
    """Draws the embeddings of tokens that pretraining never showed from the normal distribution of the others.

    Tied to the output layer, they only ever learnt to be improbable, all alike; new label words that are spelt with
    them could not be told apart. The same is done when a vocabulary grows (Hewitt 2021, "Initializing new word
    embeddings for pretrained language models"). Returns how many tokens these are.
    """
    seen: set[int] = set()
    rng = Random(f"{config.seed}/seen")
    for _ in range(SEEN_DRAWS):
        for sample in image_samples(rng, "pretrain") + text_samples(rng, 4):
            seen.update(tokenizer(sample.prompt).input_ids, tokenizer(sample.answer).input_ids)
    weight = model.get_input_embeddings().weight
    unseen = sorted(set(range(len(weight))) - seen - set(tokenizer.all_special_ids))
    known = weight[sorted(seen)].double()
    centred = known - known.mean(0)
    covariance = centred.T @ centred / len(known)
    values, vectors = torch.linalg.eigh(covariance)
    draws = torch.randn(
        len(unseen), len(values), generator=torch.Generator().manual_seed(config.seed), dtype=torch.float64
    )
    drawn = known.mean(0) + (draws.to(weight.device) * values.clamp(min=0).sqrt()) @ vectors.T
    weight[unseen] = drawn.to(weight.dtype)
    return len(unseen)


def make_optimizers(parameters: dict[str, Tensor], config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms, biases and convolutions.

    Muon's step is scaled to AdamW's size (Liu et al. 2025, "Muon is scalable for LLM training"), so that both share
    one learning rate.
    """
    inner = [n for n, p in parameters.items() if p.ndim == 2 and not re.search(r"shared|embed|lm_head", n)]
    outer = [n for n in parameters if n not in set(inner)]
    return [
        torch.optim.AdamW(
            [parameters[n] for n in outer],
            config.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=config.weight_decay,
            fused=True,
        ),
        torch.optim.Muon(
            [parameters[n] for n in inner],
            config.learning_rate,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
    ]


def _save(path: Path, step: int, parameters: dict[str, Tensor], optimizers: Sequence[torch.optim.Optimizer]) -> None:
    tensors = {f"model.{name}": p.detach().contiguous() for name, p in parameters.items()}
    for name, p in parameters.items():
        for optimizer in optimizers:
            for key, value in optimizer.state.get(p, {}).items():
                if key != "step":
                    tensors[f"{key}.{name}"] = value.contiguous()
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"step": str(step)})
    temporary.replace(path)


def _restore(path: Path, parameters: dict[str, Tensor], optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Loads what `_save` wrote; 0 when there is nothing."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
        kept = set(file.keys())
        for optimizer in optimizers:
            adam = isinstance(optimizer, torch.optim.AdamW)
            keys = ("exp_avg", "exp_avg_sq") if adam else ("momentum_buffer",)
            members = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for name, p in parameters.items():
                if id(p) in members and all(f"{key}.{name}" in kept for key in keys):
                    optimizer.state[p] = {key: file.get_tensor(f"{key}.{name}").to(p.device) for key in keys}
                    if adam:
                        optimizer.state[p]["step"] = torch.tensor(float(step))
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(file.get_tensor(f"model.{name}"))
    return step
