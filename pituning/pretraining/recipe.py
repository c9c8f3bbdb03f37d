"""Pretrains the embedded backbone: an endless seeded stream of samples, AdamW and Muon, warm-up, plateau, decay.

The stream is a function of (seed, step), so a run that was stopped continues with the very samples it would have seen.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed
from transformers import Florence2ForConditionalGeneration, PreTrainedTokenizerFast

from pituning.backbones.device import best_device
from pituning.pretraining.architecture import build_model, save_backbone
from pituning.pretraining.batches import answer_logits, answer_losses, collate, draw_unique, micro_batches, to_device
from pituning.pretraining.config import PretrainConfig, learning_rate
from pituning.pretraining.evaluation import evaluate
from pituning.pretraining.sample import Sample
from pituning.pretraining.state import make_optimizers, restore_state, save_state
from pituning.pretraining.stream import corpus_tokenizer, step_samples
from pituning.pretraining.unseen import spread_unseen_embeddings
from pituning.progress import Reporter, Silent

STATE = "state.safetensors"


def pretrain(
    config: PretrainConfig,
    directory: Path,
    reporter: Reporter | None = None,
    *,
    device: torch.device | None = None,
    save_every: int = 400,
    evaluate_every: int = 1500,
    start: Path | None = None,
) -> Path:
    """Trains (or goes on training) in ``directory``; returns the folder of the finished checkpoint.

    Args:
        device: by default the `best_device`.
        start: a checkpoint from which only the relating steps are taken, where ``directory`` holds no training yet.

    On CPU ``config.workers`` processes of one thread each share every step's batch: at this model's size that is
    about 1.4 times as fast as one process with as many threads. ``directory`` holds ``state.safetensors`` (weights,
    optimiser, step), ``curve.jsonl`` and, at the end, ``backbone/``.
    """
    device = best_device() if device is None else device
    directory.mkdir(parents=True, exist_ok=True)
    if start is not None and not (directory / STATE).exists():
        begin_from(start, directory, config)
    if not (directory / "tokenizer").exists():
        corpus_tokenizer(config).save_pretrained(directory / "tokenizer")
    workers = config.workers if device.type == "cpu" else 1
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


def begin_from(checkpoint: Path, directory: Path, config: PretrainConfig) -> None:
    """Leaves the state in ``directory`` as it is before the relating steps, with the weights of a checkpoint."""
    PreTrainedTokenizerFast.from_pretrained(checkpoint, local_files_only=True).save_pretrained(directory / "tokenizer")
    model = Florence2ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32, local_files_only=True)
    save_state(directory / STATE, config.relating_begins, dict(model.named_parameters()), [])


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the first process ends this one
    _meet(meeting, rank, workers)
    _train(config, directory, Silent(), torch.device("cpu"), rank, workers, save_every, evaluate_every)


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
    device: torch.device,
    rank: int,
    workers: int,
    save_every: int,
    evaluate_every: int,
) -> Path:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory / "tokenizer")
    model = build_model(
        tokenizer,
        d_model=config.d_model,
        layers=config.layers,
        vision_dims=config.vision_dims,
        image_size=config.image_size,
        seed=config.seed,
    ).to(device)
    parameters = dict(model.named_parameters())
    optimizers = make_optimizers(parameters, config)
    begin = restore_state(directory / STATE, parameters, optimizers)
    if workers > 1:
        torch.distributed.barrier()  # nobody writes the state before all have read it
    report.phase("pretrain", config.all_steps)
    report.advance(begin)
    recent: dict[str, list[float]] = defaultdict(list)
    clock = time.monotonic()
    for step in range(begin, config.all_steps):
        if step == config.relating_begins:
            optimizers = make_optimizers(parameters, config)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
        _gradients(model, tokenizer, config, step, rank, workers, device, recent)
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
            report.curve("pretrain", step + 1, {"loss": sum(values.values()) / len(values)})
            recent.clear()
        if (step + 1) % save_every == 0 or step + 1 == config.all_steps:
            save_state(directory / STATE, step + 1, parameters, optimizers)
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
