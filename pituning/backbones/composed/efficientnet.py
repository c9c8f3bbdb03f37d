"""EfficientNet-Lite0 from its two packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pituning.backbones.composed.vision import VisionPart
from pituning.backbones.composed.vision_parts import VISION_PARTS, part_file
from pituning.errors import ArtefactError
from pituning.workspace.atomic import sha256_file

NAME = "efficientnet-lite0"


class EfficientNetLite0(VisionPart):
    """The features after its last convolution: 7 x 7 cells of 1280 channels, the outputs of a ReLU6."""

    image_size = 224
    image_mean = (0.485, 0.456, 0.406)
    image_std = (0.229, 0.224, 0.225)
    channels = 1280
    side = 7

    def __init__(self, model: Any, fingerprint: str):
        self.model, self.fingerprint = model, fingerprint

    @classmethod
    def load(cls, source: Path | None, device: torch.device) -> VisionPart:
        path = part_file(VISION_PARTS[NAME])
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name(NAME)
        try:
            # The restricted unpickler: tensors and containers only.
            weights = torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(weights)
        except Exception as error:
            reason, fix = str(error).splitlines()[0], VISION_PARTS[NAME].install
            raise ArtefactError(f"{path} cannot be loaded ({reason}); install it again: {fix}") from error
        return cls(model.to(device).eval().requires_grad_(False), sha256_file(path))

    def grid(self, pixel_values: Tensor) -> Tensor:
        features: Tensor = self.model.extract_features(pixel_values)
        return features
