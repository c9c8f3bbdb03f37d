"""The image stem: a ResNet without its fourth stage (He et al. 2016; stride on the 3 x 3 convolution)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pituning.backbones.ofa.config import RESNET_BLOCKS

STRIDE = 16
"""Pixels per patch, in each direction."""

CHANNELS = 1024
"""Features per patch."""


def patch_grid(height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of the patches of an image; a last patch may be partly outside."""
    return -(-height // STRIDE), -(-width // STRIDE)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with the stored statistics, in training mode as well: a frozen backbone must not drift.

    The released training code let the statistics move; an expert would then depend on a backbone that nobody saved.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut: (B, C, H, W) to (B, 4 · width, H / stride, W / stride)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = FrozenBatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = FrozenBatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = FrozenBatchNorm2d(4 * width)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride=stride, bias=False), FrozenBatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """(B, 3, H, W) pixels to (B, 1024, rows, columns) features, with `patch_grid`'s rows and columns.

    Args:
        size: a key of `RESNET_BLOCKS`.
    """

    def __init__(self, size: str):
        super().__init__()
        first, second, third = RESNET_BLOCKS[size]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = FrozenBatchNorm2d(64)
        self.layer1 = _stage(64, 64, first, stride=1)
        self.layer2 = _stage(256, 128, second, stride=2)
        self.layer3 = _stage(512, 256, third, stride=2)

    def forward(self, pixels: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(pixels)))
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        return self.layer3(self.layer2(self.layer1(x)))


def _stage(channels: int, width: int, blocks: int, *, stride: int) -> nn.Sequential:
    rest = [Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(channels, width, stride), *rest)
