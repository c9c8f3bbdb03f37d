"""Diagonal Fisher information of an expert's parameters, from exact per-example gradients.

F = E_x[(∇_φ log p(y | x; θ, φ))²], elementwise, one gradient per example (design, section 3). The gradient of a linear
map's weight for one example is the sum over its positions of output gradient times input, so one batched backward pass
gives the gradients of all its examples: hooks keep the inputs (B, T, d_in) and outputs (B, T, d_out) of the expert's
linear maps, autograd differentiates with respect to those outputs and never forms a weight's summed gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.network import Network, nll_per_example
from pituning.embedding.sampling import sample_answers
from pituning.errors import BadInput
from pituning.experts.kinds import prefix_cache
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent

Labels = Literal["data", "model"]
Estimator = Literal["example", "batch"]


@dataclass(frozen=True)
class FisherResult:
    """The diagonal of the Fisher information.

    Args:
        mean: (P,) float32, over all examples.
        groups: (G, P) means over random groups of examples of nearly equal size; bootstrap resamples them.
        examples: how many examples there were.
    """

    mean: np.ndarray
    groups: np.ndarray
    examples: int


def fisher(
    model: ExpertModel,
    values: Tensor,
    encoded: EncodedExamples,
    *,
    labels: Labels = "data",
    estimator: Estimator = "example",
    groups: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> FisherResult:
    """The diagonal Fisher information of an expert on examples, with the model in evaluation mode.

    Args:
        values: (P,) the expert.
        labels: ``data`` takes the examples' answers (empirical Fisher), ``model`` samples answers from the model (the
            Fisher information proper, as Task2Vec does).
        estimator: ``example`` squares one gradient per example. ``batch`` squares the gradient of a mini-batch's mean
            loss, as the released code of Wu et al. (ICML 2023) does; it is not the Fisher information.
        groups: into how many groups the examples are dealt, at most as many as there are.
        seed: of the groups, and of the answers where they are sampled.
        reporter: told of each example; the phase is the caller's.

    Raises:
        BadInput: when there are no examples, or for an unknown choice.
    """
    if labels not in ("data", "model") or estimator not in ("example", "batch"):
        raise BadInput(f"labels={labels!r}, estimator={estimator!r}; choose data or model, and example or batch")
    count = len(encoded)
    if count == 0:
        raise BadInput("there are no examples to embed; add some")
    if groups < 1:
        raise BadInput(f"groups is {groups}; give a whole number of at least 1", field="groups")
    reporter = reporter or Silent()
    values = values.detach().to(model.device)
    if labels == "model":
        encoded = sample_answers(model, values, encoded, batch_size=batch_size, seed=seed)
    groups = min(groups, count)
    members = np.empty(count, dtype=np.int64)
    members[np.random.default_rng([seed, groups]).permutation(count)] = np.arange(count) % groups
    sums = values.new_zeros(groups, model.space.size)
    squares = _example_squares(model, values) if estimator == "example" else _batch_squares(model, values)
    order = np.lexsort((np.arange(count), encoded.prompt_lengths))
    with ExitStack() as stack:
        add = squares(stack)
        for begin in range(0, count, batch_size):
            rows = order[begin : begin + batch_size]
            belongs = torch.from_numpy(np.arange(groups)[:, None] == members[rows][None, :]).to(values)  # (G, B)
            add(encoded.batch(rows), belongs, sums)
            reporter.advance(len(rows))
    sizes = torch.from_numpy(np.bincount(members, minlength=groups)).to(values)
    mean = sums.sum(0) / count
    return FisherResult(
        mean=mean.float().cpu().numpy(), groups=(sums / sizes[:, None]).float().cpu().numpy(), examples=count
    )


def example_gradients(model: ExpertModel, values: Tensor, batch: Batch) -> Tensor:
    """(B, P) gradients of −log p(y | x) of each example of a batch."""
    with ExitStack() as stack:
        pieces = list(_gradients(model, values.detach(), stack)(batch))
    return torch.cat([piece.flatten(1) for piece in pieces], dim=1)


Add = Callable[[Batch, Tensor, Tensor], None]
"""Adds the squares of a batch to sums (G, P), each example to the groups that ``belongs`` (G, B) names."""


def _example_squares(model: ExpertModel, values: Tensor) -> Callable[[ExitStack], Add]:
    def prepare(stack: ExitStack) -> Add:
        gradients = _gradients(model, values, stack)

        def add(batch: Batch, belongs: Tensor, sums: Tensor) -> None:
            position = 0
            for gradient in gradients(batch):
                flat = gradient.flatten(1)
                sums[:, position : position + flat.shape[1]].addmm_(belongs, flat.square_())
                position += flat.shape[1]

        return add

    return prepare


def _batch_squares(model: ExpertModel, values: Tensor) -> Callable[[ExitStack], Add]:
    def add(batch: Batch, belongs: Tensor, sums: Tensor) -> None:
        leaf = values.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.loss(leaf, batch).mean(), leaf)
        sums += belongs.sum(1, keepdim=True) * gradient.square()

    return lambda stack: add


def _gradients(model: ExpertModel, values: Tensor, stack: ExitStack) -> Callable[[Batch], Iterator[Tensor]]:
    """A function from a batch to its per-example gradients, one tensor (B, *shape) per slot in the slots' order.

    What it installs in the model stays until ``stack`` closes.
    """
    if model.kind == "prefix":
        return lambda batch: _prefix_gradients(model, values, batch)
    recorder = _Recorder()
    for path in dict.fromkeys(model.parameter_name(slot).rpartition(".")[0] for slot in model.space.slots()):
        recorder.watch(model.peft_model.get_submodule(path), stack)
    stack.enter_context(model.using(values))

    def gradients(batch: Batch) -> Iterator[Tensor]:
        recorder.clear()
        loss = nll_per_example(model.network(batch), batch.labels).sum()
        yield from recorder.gradients(loss)

    return gradients


def _prefix_gradients(model: ExpertModel, values: Tensor, batch: Batch) -> Iterator[Tensor]:
    """A prefix of its own for every example makes autograd keep the examples apart."""
    tokens, width = next(model.space.slots()).shape
    pairs = values.view(1, model.layers, 2, tokens, width).repeat(len(batch), 1, 1, 1, 1).requires_grad_(True)
    network = Network(model.backbone.model, prompt=lambda size: prefix_cache(pairs, model.heads))
    loss = nll_per_example(network(batch), batch.labels).sum()
    (gradient,) = torch.autograd.grad(loss, pairs)
    yield from gradient.flatten(1, 2).unbind(1)  # (B, n, D): keys and values of each layer in turn


class _Recorder:
    """Keeps inputs and outputs of linear maps during a forward pass."""

    def __init__(self) -> None:
        self.modules: list[nn.Linear] = []
        self.seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def watch(self, module: nn.Module, stack: ExitStack) -> None:
        if not isinstance(module, nn.Linear):
            raise TypeError(f"{type(module).__name__} is not a linear map")
        self.modules.append(module)
        handle = module.register_forward_hook(self._keep)
        stack.callback(handle.remove)

    def clear(self) -> None:
        self.seen.clear()

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if module in self.seen:
            raise RuntimeError("an expert's linear map ran twice in one forward pass")
        if not output.requires_grad:
            # With everything frozen the first maps are where the graph begins.
            output.requires_grad_(True)
        self.seen[module] = (inputs[0].detach(), output)

    def gradients(self, loss: Tensor) -> Iterator[Tensor]:
        """Weight (B, d_out, d_in), then bias (B, d_out) where there is one, of each module in turn."""
        kept = [self.seen[module] for module in self.modules]
        gradients = torch.autograd.grad(loss, [output for _, output in kept])
        for module, (entered, _), gradient in zip(self.modules, kept, gradients, strict=True):
            yield torch.bmm(gradient.transpose(1, 2), entered)
            if module.bias is not None:
                yield gradient.sum(1)
        self.seen.clear()
