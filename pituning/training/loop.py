"""The one training loop: seeded, cancellable, resumable bit for bit."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.errors import ArtefactError, BadInput, Diverged, OutOfMemory, RunCancelled
from pituning.progress import Reporter, Silent
from pituning.training.config import TrainConfig, without_defaults
from pituning.training.order import batch_order
from pituning.workspace.atomic import write_bytes

FORMAT_VERSION = 2
MOMENTS = ("exp_avg", "exp_avg_sq")
RANDOM = "random"
"""Under which a checkpoint holds the state of torch's random numbers; the order of examples needs none."""

LOG_EVERY = 5
"""Steps between two points of a loss curve."""


@dataclass
class FitResult:
    """What a training did.

    Args:
        steps: steps done in all, those before a resume included.
        losses: mean of sum/√length over each step's batch.
        evaluations: ``(step, values)`` as `fit`'s ``evaluate`` gave them.
        seconds: wall clock of this call.
    """

    steps: int
    losses: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0


def fit(
    parameters: Sequence[Tensor],
    loss_fn: Callable[[Batch], Tensor],
    encoded: EncodedExamples,
    config: TrainConfig,
    *,
    reporter: Reporter | None = None,
    series: str = "train",
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
    checkpoint: Path | None = None,
    announce: bool = True,
) -> FitResult:
    """Minimises the mean of loss/√length by AdamW, in place.

    The square root weighs long answers more than a mean over tokens and less than a sum.

    Args:
        parameters: leaf tensors that require gradients.
        loss_fn: (B,) −log p of a batch, summed over tokens, as a function of the parameters.
        series: the name of the curve, and of the phase ``train <series>``.
        evaluate: called after every ``eval_every`` steps and at the end with the number of steps done.
        checkpoint: a file that is kept up to date; if it exists, training goes on from it. It is removed by the caller.
        announce: whether to open a phase of ``steps`` at the reporter.

    Raises:
        Diverged: when the loss or the gradient is no longer a finite number; the last good checkpoint is kept.
        OutOfMemory: when a step does not fit; the error has the largest batch that was found to fit.
        RunCancelled: from the reporter; the checkpoint, if one is kept, is up to date.
        ArtefactError: when the checkpoint belongs to another training or is damaged.
    """
    reporter = reporter or Silent()
    parameters = list(parameters)
    if len(encoded) == 0:
        raise BadInput("there are no examples to train on; add some")
    began = time.monotonic()
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    identity = _identity(parameters, encoded, config)
    result = FitResult(steps=0)
    if checkpoint is not None and checkpoint.exists():
        result = _restore(checkpoint, identity, parameters, optimiser)
    if announce:
        reporter.phase(f"train {series}", config.steps)
    if result.steps:
        reporter.log(f"goes on from the checkpoint at step {result.steps} of {config.steps}")
        reporter.advance(result.steps)
    batches = encoded.ahead(batch_order(encoded.prompt_lengths, config.batch_size, config.seed, start=result.steps))

    def evaluate_if_due() -> None:
        last = result.steps == config.steps
        due = last or (config.eval_every and result.steps and result.steps % config.eval_every == 0)
        if evaluate is None or not due or (result.evaluations and result.evaluations[-1][0] == result.steps):
            return
        values = dict(evaluate(result.steps))
        result.evaluations.append((result.steps, values))
        reporter.curve(series, result.steps, values)

    saved = result.steps
    logged_at = time.monotonic()
    examples = 0
    try:
        evaluate_if_due()  # where a training was cancelled between a step and its evaluation
        while result.steps < config.steps:
            rows = next(batches)
            try:
                loss = _step(parameters, loss_fn, encoded, rows, optimiser, config, result.steps, series)
            except (MemoryError, RuntimeError) as error:
                if not _is_memory(error):
                    raise
                raise _out_of_memory(parameters, loss_fn, encoded, rows, result.steps, config, series) from error
            result.steps += 1
            examples += len(rows)
            result.losses.append(loss)
            last = result.steps == config.steps
            if result.steps % LOG_EVERY == 0 or last or result.steps == 1:
                recent, now = result.losses[-LOG_EVERY:], time.monotonic()
                reporter.curve(series, result.steps, {
                    "loss": sum(recent) / len(recent),
                    "learning_rate": config.rate(result.steps - 1),
                    "examples_per_second": examples / max(now - logged_at, 1e-9),
                })  # fmt: skip
                examples, logged_at = 0, now
            evaluate_if_due()
            if checkpoint is not None and (last or result.steps % config.checkpoint_every == 0):
                reporter.advance(0)  # who keeps what was reported writes it down before there is more to go on from
                _save(checkpoint, identity, parameters, optimiser, result)
                saved = result.steps
            reporter.advance()
    except RunCancelled:
        # The reporter raises it between steps, when parameters and counter agree; a Ctrl-C may come within a step.
        if checkpoint is not None and saved < result.steps:
            _save(checkpoint, identity, parameters, optimiser, result)
        raise
    result.seconds = time.monotonic() - began
    return result


def _step(
    parameters: list[Tensor],
    loss_fn: Callable[[Batch], Tensor],
    encoded: EncodedExamples,
    rows: np.ndarray,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    series: str,
) -> float:
    rate = config.rate(step)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    value = _backward(loss_fn, encoded, rows, config)
    if math.isfinite(value):
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.clip))
    if not math.isfinite(value) or not math.isfinite(norm):
        raise Diverged(
            f"training {series!r} diverged at step {step + 1} of {config.steps} with learning rate "
            f"{config.learning_rate:g}; choose a smaller one"
        )
    optimiser.step()
    return value


def _backward(
    loss_fn: Callable[[Batch], Tensor], encoded: EncodedExamples, rows: np.ndarray, config: TrainConfig
) -> float:
    """Adds the gradients of the mean of loss/√length over some examples, in parts where there are to be several.

    Returns:
        the mean; where it is no finite number there are no gradients of the part that made it so, nor of later ones.
    """
    parts = np.array_split(rows, min(config.accumulate, len(rows)))
    value = 0.0
    with encoded.backbone.checkpointing() if config.checkpointing else nullcontext():
        for part in parts:
            batch = encoded.batch(part)
            loss = (loss_fn(batch) / batch.lengths.sqrt()).mean()
            if len(parts) > 1:
                loss = loss * (len(part) / len(rows))  # parts may differ by one example
            value += loss.item()
            if not math.isfinite(value):
                break
            loss.backward()
    return value


def _is_memory(error: Exception) -> bool:
    """Whether an exception means that there is too little memory, on a GPU or a CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text


def _out_of_memory(
    parameters: list[Tensor],
    loss_fn: Callable[[Batch], Tensor],
    encoded: EncodedExamples,
    rows: Sequence[int] | np.ndarray,
    step: int,
    config: TrainConfig,
    series: str,
) -> OutOfMemory:
    """Tries halves of the batch until one fits, forward and backward, and says how large it is."""
    size = -(-len(rows) // config.accumulate)
    longest = sorted(rows, key=lambda row: -int(encoded.prompt_lengths[row]))
    while size > 1:
        size //= 2
        for parameter in parameters:
            parameter.grad = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            _backward(loss_fn, encoded, np.array(longest[:size]), replace(config, accumulate=1))
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            continue
        what = f"training {series!r} ran out of memory at step {step + 1} of {config.steps} with a batch of {len(rows)}"
        parts = -(-len(rows) // size)
        return OutOfMemory(
            f"{what}; a batch of {size} fits, or the same batch in {parts} parts (accumulate)", batch_size=size
        )
    return OutOfMemory(f"training {series!r} ran out of memory at step {step + 1}; not even one example fits")


def _identity(parameters: Sequence[Tensor], encoded: EncodedExamples, config: TrainConfig) -> str:
    """What a checkpoint must agree with for training to go on: settings, shapes and examples."""
    digest = hashlib.sha256(json.dumps(without_defaults(asdict(config)), sort_keys=True).encode())
    digest.update(str([tuple(parameter.shape) for parameter in parameters]).encode())
    for tokens in (*encoded.prompts, *encoded.answers):
        digest.update(tokens.tobytes() + b"/")
    return digest.hexdigest()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _save(
    path: Path, identity: str, parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer, result: FitResult
) -> None:
    tensors: dict[str, Tensor] = {}
    for index, parameter in enumerate(parameters):
        tensors[f"{index}.value"] = parameter.detach().cpu().contiguous().clone()
        state = optimiser.state[parameter]
        if not state:  # a parameter that has had no gradient yet
            continue
        for moment in MOMENTS:
            tensors[f"{index}.{moment}"] = state[moment].cpu().contiguous().clone()
        tensors[f"{index}.step"] = torch.as_tensor(state["step"], dtype=torch.float32).cpu().clone()
    tensors[RANDOM] = torch.get_rng_state()
    progress = {
        "format_version": FORMAT_VERSION,
        "identity": identity,
        "sha256": _digest(tensors),
        "steps": result.steps,
        "losses": result.losses,
        "evaluations": result.evaluations,
    }
    write_bytes(path, save(tensors, {"progress": json.dumps(progress)}))


def _restore(path: Path, identity: str, parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer) -> FitResult:
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads((file.metadata() or {})["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if progress["identity"] != identity:
            raise ArtefactError(
                f"checkpoint {path} is of another training (settings or examples differ); delete it to start anew"
            )
        digest = _digest(tensors)
        if progress["sha256"] != digest:
            raise ArtefactError(
                f"checkpoint {path} is damaged: its tensors have SHA-256 {digest[:12]}…, written was "
                f"{str(progress['sha256'])[:12]}…; delete it to start anew"
            )
        for index, parameter in enumerate(parameters):
            with torch.no_grad():
                parameter.copy_(tensors[f"{index}.value"])
            if f"{index}.step" in tensors:
                # The step, too: the fused optimiser counts on the parameter's device.
                optimiser.state[parameter] = {
                    name: tensors[f"{index}.{name}"].to(parameter.device) for name in ("step", *MOMENTS)
                }
        torch.set_rng_state(tensors[RANDOM])
        return FitResult(
            steps=progress["steps"],
            losses=progress["losses"],
            evaluations=[(step, values) for step, values in progress["evaluations"]],
        )
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(f"checkpoint {path} is damaged; delete it to start anew") from error
