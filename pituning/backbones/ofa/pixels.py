"""Images as OFA sees them: squashed to a square, not cropped, with values from −1 to 1. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

MEAN, DEVIATION = 0.5, 0.5
"""Of every channel; only the authors' ImageNet script uses other values."""


def pixel_values(images: Sequence[Image.Image], size: int) -> np.ndarray:
    """(B, 3, size, size) float32 pixels of images of any size and mode."""
    squashed = [image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for image in images]
    pixels = np.stack([np.asarray(image, dtype=np.float32) for image in squashed])  # (B, size, size, 3)
    return np.ascontiguousarray(((pixels / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2))


def preprocessor_config(size: int) -> dict:
    """What ``preprocessor_config.json`` says of `pixel_values`, in the field names of transformers."""
    return {
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": int(Image.Resampling.BICUBIC),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN] * 3,
        "image_std": [DEVIATION] * 3,
    }
