"""What a vision encoder must do to be a part: a grid of features of square pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pituning.backbones.seeing import normalise


class VisionPart(ABC):
    """A frozen encoder, in float32.

    Attributes:
        image_size: side of its pictures in pixels.
        image_mean, image_std: of each channel, of values between 0 and 1.
        channels: C, of its features.
        side: of its grid of features.
        fingerprint: 64 hexadecimal digits over its files.
    """

    image_size: int
    image_mean: Sequence[float]
    image_std: Sequence[float]
    channels: int
    side: int
    fingerprint: str
    model: Any

    @classmethod
    @abstractmethod
    def load(cls, source: Path | None, device: torch.device) -> VisionPart:
        """The encoder.

        Args:
            source: directory of its checkpoint; None where it comes as a package.

        Raises:
            BadInput: a package is not installed, or the model gives no grid of features.
            ArtefactError: its files are missing or damaged.
        """

    @abstractmethod
    def grid(self, pixel_values: Tensor) -> Tensor:
        """(N, C, S, S) features of normalised pixels (N, 3, H, W)."""

    @property
    def parameters(self) -> int:
        """How many numbers it is."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @torch.no_grad()
    def features(self, pixels: Tensor, side: int, *, colours: bool = False) -> Tensor:
        """(N, side², C) features in float16, on the CPU, row by row, of pixels (N, H, W, 3) given as bytes.

        Args:
            side: of the grid that is left; cells are averaged where it is smaller than the encoder's.
            colours: append the mean colour of each cell, 3 channels of values from 0 to 1.
        """
        device = next(self.model.parameters()).device
        grid = self.grid(normalise(pixels.to(device), self.image_mean, self.image_std))
        if side != grid.shape[2]:
            grid = torch.nn.functional.adaptive_avg_pool2d(grid, side)
        if colours:
            whole = pixels.to(device).permute(0, 3, 1, 2).float() / 255
            grid = torch.cat([grid, torch.nn.functional.adaptive_avg_pool2d(whole, side)], dim=1)
        return grid.flatten(2).transpose(1, 2).contiguous().half().cpu()
