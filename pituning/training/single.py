"""Training one expert, and fine-tuning a whole backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pituning.backbones.base import Backbone
from pituning.backbones.encoded import Batch, EncodedExamples, nll_per_example
from pituning.backbones.swap import ParameterSwap
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


@dataclass(frozen=True)
class TunedBackbone:
    """All parameters of a backbone after fine-tuning; the backbone itself is as it was.

    Args:
        parameters: in the order of the model's named parameters.
    """

    backbone: Backbone
    parameters: tuple[Tensor, ...]

    @contextmanager
    def using(self) -> Iterator[Backbone]:
        """Within the context the backbone runs with the tuned parameters; examples' image features differ, too."""
        names = [name for name, _ in self.backbone.model.named_parameters()]
        with ParameterSwap(self.backbone.model, names)(self.parameters):
            yield self.backbone


def full_finetune(
    backbone: Backbone,
    encoded: EncodedExamples,
    config: TrainConfig,
    *,
    reporter: Reporter | None = None,
    series: str = "full",
    evaluate: Callable[[TunedBackbone], Mapping[str, float]] | None = None,
    checkpoint: Path | None = None,
    announce: bool = True,
) -> tuple[TunedBackbone, FitResult]:
    """Trains every parameter of a backbone, a vision tower in it included, beside the frozen ones.

    Args:
        encoded: examples, encoded with ``keep_pixels=True`` where they have images that ``model`` sees.

    Raises:
        BadInput: when there are images but no pixels were kept.
        RunFailed: when the training diverges.
    """
    if backbone.eyes_inside and encoded.features is not None and encoded.pixels is None:
        raise BadInput("full fine-tuning needs pixels; encode the examples with keep_pixels=True")
    packed = next((name for name, each in backbone.model.named_parameters() if not each.is_floating_point()), None)
    if packed is not None:
        raise BadInput(
            f"full fine-tuning trains every weight, and {packed!r} of backbone {backbone.name!r} is packed; load it "
            "without quantize",
            field="quantize",
        )
    names = [name for name, _ in backbone.model.named_parameters()]
    learned = [parameter.detach().clone().requires_grad_(True) for parameter in backbone.model.parameters()]
    swap = ParameterSwap(backbone.model, names)

    def loss(batch: Batch) -> Tensor:
        with swap(learned):
            return nll_per_example(backbone.full_logits(batch), batch.labels)

    def state() -> TunedBackbone:
        return TunedBackbone(backbone, tuple(parameter.detach() for parameter in learned))

    result = fit(
        learned,
        loss,
        encoded,
        config,
        reporter=reporter,
        series=series,
        evaluate=None if evaluate is None else lambda _: evaluate(state()),
        checkpoint=checkpoint,
        announce=announce,
    )
    return state(), result
