"""Task embeddings: the Fisher information of a task's examples at an expert, its own or a common one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pituning.backbones.encoded import EncodedExamples
from pituning.embedding.fisher import Estimator, Labels, fisher
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.experts.store import Expert
from pituning.graph.embeddings import TaskEmbedding
from pituning.progress import Reporter

ESTIMATOR_AT: dict[str, Estimator] = {"own": "example", "common": "centred"}
"""The estimator that suits a probe. A task's own expert has learned what its answers look like, so that the mean
gradient is small; at the common expert it is large and would group tasks by their answer words."""


@dataclass(frozen=True)
class Embedded:
    """An embedding, and the estimates from groups of its examples (G, P) that bootstrap resamples."""

    embedding: TaskEmbedding
    groups: np.ndarray


def embed_task(
    model: ExpertModel,
    values: Tensor,
    task: str,
    encoded: EncodedExamples,
    *,
    probe: str,
    labels: Labels = "data",
    estimator: Estimator | None = None,
    groups: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    meta: Mapping[str, object] | None = None,
    reporter: Reporter | None = None,
) -> Embedded:
    """The embedding of a task at the expert ``values`` (P,).

    Args:
        task: the task's name.
        probe: says what ``values`` are: ``own``, the task's own expert; ``common``, one expert for all tasks.
        labels, groups, seed: see `fisher`.
        estimator: see `fisher`; by default what suits the probe (`ESTIMATOR_AT`).
        meta: more for the embedding's card.

    Raises:
        BadInput: when there are no examples.
    """
    estimator = estimator or ESTIMATOR_AT.get(probe, "example")
    information = fisher(
        model, values, encoded, labels=labels, estimator=estimator, groups=groups, batch_size=batch_size, seed=seed,
        reporter=reporter,
    )  # fmt: skip
    embedding = TaskEmbedding.from_flat(
        information.mean,
        task=task,
        kind=model.kind,
        probe=probe,
        names=model.space.names,
        sizes=model.space.sizes,
        examples=information.examples,
        meta={"backbone": model.backbone.fingerprint, "labels": labels, "estimator": estimator, **(meta or {})},
    )
    return Embedded(embedding, information.groups)


def common_probe(experts: Sequence[Expert], *, exclude: str | None = None) -> Tensor:
    """(P,) the mean of the zoo's experts, which start from one initialisation and so have a meaningful mean.

    Args:
        exclude: a target, whose own expert must not be in it.

    Raises:
        BadInput: when no expert is left.
    """
    kept = [expert.values for expert in experts if exclude not in (expert.task, expert.name)]
    if not kept:
        raise BadInput("there are no experts of other tasks to take the common probe from; build the zoo first")
    return torch.stack(kept).mean(0)
