"""What encoder-decoders with a frozen vision tower share: it runs once for each image, and features are kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pituning.backbones.encoded import Batch, EncodedExamples
from pituning.backbones.encoder_decoder import EncoderDecoderBackbone
from pituning.backbones.shelf import Shelf, too_large
from pituning.errors import ArtefactError, BadInput
from pituning.progress import Reporter
from pituning.tasks.base import Example
from pituning.workspace.atomic import read_json

IMAGE_BATCH = 64
HALF = (0.5, 0.5, 0.5)


class SeeingBackbone(EncoderDecoderBackbone):
    """An encoder-decoder that sees square pictures.

    Args:
        image_size: side of the input images, in pixels.
        image_mean, image_std: of each channel, of values between 0 and 1.
    """

    resampling: ClassVar[Image.Resampling] = Image.Resampling.BILINEAR

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        image_size: int,
        image_mean: Sequence[float] = HALF,
        image_std: Sequence[float] = HALF,
        **given: Any,
    ):
        super().__init__(model, tokenizer, **given)
        self.image_size, self.image_mean, self.image_std = image_size, tuple(image_mean), tuple(image_std)
        self._sees_anew = False

    @abstractmethod
    def features_of(self, pixel_values: Tensor) -> Tensor:
        """(N, V, D) features of normalised pixels (N, 3, H, W)."""

    @abstractmethod
    def in_place(self, embeds: Tensor, input_ids: Tensor, features: Tensor) -> Tensor:
        """Puts features (B, V, D) of pictures where they belong in embedded prompts (B, T, D), which are changed."""

    @contextmanager
    def changed(self, modules: Collection[str]) -> Iterator[None]:
        before = self._sees_anew
        self._sees_anew = before or self.sees_by(modules)
        try:
            yield
        finally:
            self._sees_anew = before

    def embedded(self, batch: Batch) -> Tensor:
        embeds = super().embedded(batch)
        if not batch.pictured or not (self._sees_anew or batch.unseen):
            return embeds
        if batch.pixel_values is None:
            raise BadInput("the expert changes what sees pictures; encode the examples with keep_pixels=True")
        return self.in_place(embeds.clone(), batch.input_ids, self.features_of(batch.pixel_values).to(embeds.dtype))

    def collate(self, encoded: EncodedExamples, rows: Sequence[int]) -> Batch:
        pictured = encoded.features is not None
        # Features may be made when they are first asked for, and kept: never by a tower that does something else.
        unseen = pictured and self._sees_anew and encoded.pixels is not None
        batch = super().collate(replace(encoded, features=None) if unseen else encoded, rows)
        batch.pictured, batch.unseen = pictured, unseen
        return batch

    def image_features(self, pixels: Tensor) -> Tensor:
        """(N, V, D) features, on the CPU, of pixels (N, H, W, 3) given as bytes."""
        with torch.no_grad():
            return self.features_of(self._normalised(pixels.to(self.device))).cpu()

    def pixel_values(self, encoded: EncodedExamples, rows: Sequence[int]) -> Tensor | None:
        return None if encoded.pixels is None else self._normalised(encoded.pixels[list(rows)].to(self.device))

    def seen_anew(self, encoded: EncodedExamples) -> EncodedExamples:
        pixels = encoded.pixels
        if pixels is None:
            return encoded.without_states()
        if isinstance(encoded.features, Shelf):
            like = encoded.features[[0]][0]
            anew = Shelf(lambda row: pixels[[row]].numpy(), self._row, range(len(encoded)), like)
            return replace(encoded, states=None, features=anew)
        rows = range(len(encoded))
        chunks = (pixels[rows[begin : begin + IMAGE_BATCH]] for begin in rows[::IMAGE_BATCH])
        return replace(encoded, states=None, features=torch.cat([self.image_features(chunk) for chunk in chunks]))

    def see(
        self, examples: Sequence[Example], keep_pixels: bool, reporter: Reporter
    ) -> tuple[Tensor | Shelf, Tensor | Shelf | None]:
        """Features (N, V, D), and pixels (N, H, W, 3) as bytes if they are kept; of many images when asked for."""
        reporter.phase("encode images", len(examples))
        features: list[Tensor] = []
        kept: list[Tensor] = []
        for begin in range(0, len(examples), IMAGE_BATCH):
            chunk = examples[begin : begin + IMAGE_BATCH]
            pixels = torch.from_numpy(np.stack([self._pixels(example) for example in chunk]))
            features.append(self.image_features(pixels))
            if too_large(features[0][0], len(examples)):
                reporter.advance(len(examples))
                return self._shelves(examples, keep_pixels, features[0][0], pixels[0])
            if keep_pixels:
                kept.append(pixels)
            reporter.advance(len(chunk))
        return torch.cat(features), torch.cat(kept) if keep_pixels else None

    def _shelves(
        self, examples: Sequence[Example], keep_pixels: bool, like: Tensor, pixels: Tensor
    ) -> tuple[Shelf, Shelf | None]:
        contents = [example.image for example in examples]
        drawn = (
            Shelf(lambda row: self._pixels(examples[row]), torch.from_numpy, contents, pixels) if keep_pixels else None
        )
        return Shelf(lambda row: self._pixels(examples[row])[None], self._row, contents, like), drawn

    def _row(self, pixels: np.ndarray) -> Tensor:
        """(V, D) features of one image (1, H, W, 3)."""
        return self.image_features(torch.from_numpy(pixels))[0]

    def _normalised(self, pixels: Tensor) -> Tensor:
        return normalise(pixels, self.image_mean, self.image_std).to(self.dtype)

    def _pixels(self, example: Example) -> np.ndarray:
        assert example.image is not None
        image = example.image.render(self.image_size).convert("RGB")
        if image.size != (self.image_size, self.image_size):
            image = image.resize((self.image_size, self.image_size), self.resampling)
        return np.array(image, dtype=np.uint8)


def normalise(pixels: Tensor, mean: Sequence[float] = HALF, std: Sequence[float] = HALF) -> Tensor:
    """Bytes (N, H, W, 3) to (N, 3, H, W): values between 0 and 1 less their mean, over their deviation."""
    scale = pixels.new_tensor([255.0 * value for value in std], dtype=torch.float32)
    shift = pixels.new_tensor([a / b for a, b in zip(mean, std, strict=True)], dtype=torch.float32)
    return (pixels.float() / scale - shift).permute(0, 3, 1, 2).contiguous()


def image_settings(path: Path) -> dict[str, Any]:
    """Size, mean and deviation as ``preprocessor_config.json`` has them, as arguments of a `SeeingBackbone`.

    Raises:
        ArtefactError: the images are no squares.
    """
    settings = read_json(path / "preprocessor_config.json")
    size = settings.get("size") if isinstance(settings, dict) else None
    if not isinstance(size, dict) or not isinstance(size.get("height"), int) or size["height"] != size.get("width"):
        raise ArtefactError(f"backbone {path}: preprocessor_config.json has size {size!r}; it must be a square")
    return {
        "image_size": size["height"],
        "image_mean": settings.get("image_mean", HALF),
        "image_std": settings.get("image_std", HALF),
    }
