"""Training one expert, and fine-tuning a whole backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import EncodedExamples
from pituning.backbones.network import nll_per_example
from pituning.errors import BadInput
from pituning.experts.model import ExpertModel
from pituning.progress import Reporter
from pituning.training.config import TrainConfig
from pituning.training.loop import FitResult, fit


@dataclass
class TrainedExpert:
    """Trained values (P,) and how the training went."""

    values: Tensor
    fit: FitResult


def train_expert(
    model: ExpertModel,
    encoded: EncodedExamples,
    config: TrainConfig,
    *,
    start: Tensor | None = None,
    reporter: Reporter | None = None,
    series: str = "single",
    evaluate: Callable[[Tensor], Mapping[str, float]] | None = None,
    checkpoint: Path | None = None,
    announce: bool = True,
) -> TrainedExpert:
    """Trains an expert with the backbone frozen (design, section 3).

    Args:
        start: values (P,) to go on from; by default the initialisation of ``config.seed``.
        evaluate: called with the current values at each evaluation.
        checkpoint: see `fit`.

    Raises:
        RunFailed: when the training diverges.
    """
    values = (model.initial(config.seed) if start is None else start.detach().clone()).to(model.device)
    values.requires_grad_(True)
    result = fit(
        [values],
        lambda batch: model.loss(values, batch),
        encoded,
        config,
        reporter=reporter,
        series=series,
        evaluate=None if evaluate is None else lambda _: evaluate(values.detach()),
        checkpoint=checkpoint,
        announce=announce,
    )
    return TrainedExpert(values.detach(), result)


def full_finetune(
    backbone: Backbone,
    encoded: EncodedExamples,
    config: TrainConfig,
    *,
    reporter: Reporter | None = None,
    series: str = "full",
    evaluate: Callable[[Backbone], Mapping[str, float]] | None = None,
    checkpoint: Path | None = None,
    announce: bool = True,
) -> tuple[Backbone, FitResult]:
    """Trains every parameter of a copy of the backbone, the vision tower included.

    Examples for the tuned copy must be encoded by the copy itself: its image features differ.

    Args:
        encoded: examples, encoded with ``keep_pixels=True`` where they have images.

    Raises:
        BadInput: when there are images but no pixels were kept.
        RunFailed: when the training diverges.
    """
    if encoded.features is not None and encoded.pixels is None:
        raise BadInput("full fine-tuning needs pixels; encode the examples with keep_pixels=True")
    tuned = backbone.copy()
    tuned.model.requires_grad_(True)
    result = fit(
        list(tuned.model.parameters()),
        lambda batch: nll_per_example(tuned.network.full(batch), batch.labels),
        encoded,
        config,
        reporter=reporter,
        series=series,
        evaluate=None if evaluate is None else lambda _: evaluate(tuned),
        checkpoint=checkpoint,
        announce=announce,
    )
    tuned.model.requires_grad_(False)
    return tuned, result
