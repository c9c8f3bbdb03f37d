"""Diagonal Fisher information of an expert's parameters, from exact per-example gradients.

F = E_x[(∇_φ log p(y | x; θ, φ))²], elementwise, one gradient per example (design, section 3). The gradient of a linear
map's weight for one example is the sum over its positions of output gradient times input, so one batched backward pass
gives the gradients of all its examples (`pituning.experts.tape`); other kinds have their own exact ways.

The Fisher information is the covariance of the score ∇_φ log p, whose mean is zero when answers come from the model
itself. With the data's answers at an expert that was not trained on the task, it is not zero: the mean gradient says
what all examples want alike, above all other answer words. ``estimator="centred"`` takes its square away and leaves
the variance, what the task asks of the expert example by example.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.embedding.sampling import sample_answers
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter, Silent

Labels = Literal["data", "model"]
Estimator = Literal["example", "centred", "batch"]


@dataclass(frozen=True)
class FisherResult:
    """The diagonal of the Fisher information.

    Args:
        mean: (P,) float32, over all examples; of ``centred``, the groups' variances pooled.
        groups: (G, P) estimates from random groups of examples of nearly equal size; bootstrap resamples them.
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
        estimator: ``example`` squares one gradient per example. ``centred`` takes the unbiased variance of these
            gradients within each group, for an expert that is not the task's own. ``batch`` squares the gradient of a
            mini-batch's mean loss, as the released code of Wu et al. (ICML 2023) does; it is not the Fisher
            information.
        groups: into how many groups the examples are dealt, at most as many as there are; of ``centred``, at most
            half as many, since one example has no variance (a single one counts as it is).
        seed: of the groups, and of the answers where they are sampled.
        reporter: told of each example; the phase is the caller's.

    Raises:
        BadInput: when there are no examples, or for an unknown choice.
    """
    if labels not in ("data", "model") or estimator not in ("example", "centred", "batch"):
        raise BadInput(
            f"labels={labels!r}, estimator={estimator!r}; choose data or model, and example, centred or batch"
        )
    count = len(encoded)
    if count == 0:
        raise BadInput("there are no examples to embed; add some")
    if groups < 1:
        raise BadInput(f"groups is {groups}; give a whole number of at least 1", field="groups")
    reporter = reporter or Silent()
    values = values.detach().to(model.device)
    if labels == "model":
        encoded = sample_answers(model, values, encoded, batch_size=batch_size, seed=seed)
    centred = estimator == "centred" and count > 1
    groups = min(groups, count // 2 if centred else count)
    members = np.empty(count, dtype=np.int64)
    members[np.random.default_rng([seed, groups]).permutation(count)] = np.arange(count) % groups
    squares = values.new_zeros(groups, model.space.size)
    sums = torch.zeros_like(squares) if centred else None
    moments = _batch_moments(model, values) if estimator == "batch" else _example_moments(model, values)
    with ExitStack() as stack:
        add = moments(stack)
        for rows in encoded.by_length(batch_size):
            belongs = torch.from_numpy(np.arange(groups)[:, None] == members[rows][None, :]).to(values)  # (G, B)
            add(encoded.batch(rows), belongs, squares, sums)
            reporter.advance(len(rows))
    sizes = torch.from_numpy(np.bincount(members, minlength=groups)).to(values)[:, None]  # (G, 1)
    if sums is None:
        group_values, weights = squares / sizes, sizes / count
    else:
        # Unbiased within each group, pooled by degrees of freedom; rounding must not make a variance negative.
        group_values = ((squares - sums.square() / sizes) / (sizes - 1)).clamp_min(0)
        weights = (sizes - 1) / (count - groups)
    return FisherResult(
        mean=(group_values * weights).sum(0).float().cpu().numpy(),
        groups=group_values.float().cpu().numpy(),
        examples=count,
    )


def example_gradients(model: ExpertModel, values: Tensor, batch: Batch) -> Tensor:
    """(B, P) gradients of −log p(y | x) of each example of a batch."""
    with ExitStack() as stack:
        pieces = list(model.example_gradients(values.detach(), stack)(batch))
    return torch.cat([piece.flatten(1).to(model.device) for piece in pieces], dim=1)


Add = Callable[[Batch, Tensor, Tensor, Tensor | None], None]
"""Adds a batch's squared gradients to squares (G, P), and the gradients themselves to sums (G, P) unless that is None;
each example counts for the groups that ``belongs`` (G, B) names."""


def _example_moments(model: ExpertModel, values: Tensor) -> Callable[[ExitStack], Add]:
    def prepare(stack: ExitStack) -> Add:
        gradients = model.example_gradients(values, stack)

        def add(batch: Batch, belongs: Tensor, squares: Tensor, sums: Tensor | None) -> None:
            position = 0
            for gradient in gradients(batch):
                flat = gradient.flatten(1).to(squares.device)
                columns = slice(position, position + flat.shape[1])
                if sums is not None:
                    sums[:, columns].addmm_(belongs, flat)
                squares[:, columns].addmm_(belongs, flat.square_())
                position = columns.stop

        return add

    return prepare


def _batch_moments(model: ExpertModel, values: Tensor) -> Callable[[ExitStack], Add]:
    def add(batch: Batch, belongs: Tensor, squares: Tensor, _sums: Tensor | None) -> None:
        leaf = values.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.loss(leaf, batch).mean(), leaf)
        squares += belongs.sum(1, keepdim=True) * gradient.square()

    return lambda stack: add
